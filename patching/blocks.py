"""The block of a target, and the order in which blocks are listed: that of the bars."""

from __future__ import annotations

from collections.abc import Iterable

from ..stack.blocks import TEXT_ENCODERS, BlockLayout, text_encoder_of
from .keymap import Target


def block_of(target: Target, layout: BlockLayout | None) -> str:
    """Id of a target's block, parts of the middle block as one. `layout`: `None` where no model is connected."""
    if target.side == "te":
        return text_encoder_of(target.key)
    return "PRE" if layout is None else layout.block_of(target.key).partition("/")[0]


def in_order(blocks: Iterable[str], layout: BlockLayout | None) -> list[str]:
    """The ids in the order of the bars: text encoders, what comes before the blocks, the blocks, what comes after."""
    order = (*TEXT_ENCODERS, "PRE", *(layout.ids if layout is not None else ()), "POST")
    places = {block: place for place, block in enumerate(order)}
    return sorted(blocks, key=lambda block: places.get(block, len(places)))
