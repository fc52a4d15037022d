"""The language of `lbwe=`: weights for parts of blocks, `blocks:elements:ratio` items parted by commas or lines.

hako-mikan's rules: `blocks` and `elements` are words parted by spaces (empty: all), a leading `NOT` turns them around,
a range goes from either end; an element matches as a part of the weight's name; a match replaces the block's weight,
and the last match wins.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from .block_weights import BlockWeightError, describe, select
from .blocks import TEXT_ENCODERS, BlockLayout
from .presets import ELEMENT_PRESETS, find_preset


@dataclass(frozen=True, slots=True)
class ElementRule:
    """One item."""

    blocks: frozenset[str] | None
    """Ids that it is for; `None`: all."""
    elements: tuple[str, ...]
    """Parts of names; empty: all."""
    not_elements: bool
    ratio: float

    def matches(self, block: str, name: str) -> bool:
        """`block`: id as `BlockLayout.block_of` gives it. `name`: the weight's name with `_` for `.`, in lower case."""
        if self.blocks is not None and block.partition("/")[0] not in self.blocks:
            return False
        return not self.elements or any(element in name for element in self.elements) != self.not_elements


@dataclass(frozen=True, slots=True)
class ElementWeights:
    """All items of one `lbwe=`."""

    rules: tuple[ElementRule, ...]

    def of(self, block: str, name: str) -> float | None:
        """The ratio of the last rule that matches, `None` where none does."""
        return next((rule.ratio for rule in reversed(self.rules) if rule.matches(block, name)), None)


def resolve_element_weights(spec: str, layout: BlockLayout, presets: Mapping[str, str], where: str) -> ElementWeights:
    """Reads `spec`, a preset or items, against a model.

    Raises:
        BlockWeightError: neither a preset nor `blocks:elements:ratio` items, or blocks that this model has not.
    """
    known = {**ELEMENT_PRESETS, **presets}
    name = find_preset(spec.strip(), known)
    text = known[name] if name is not None else spec
    rules = []
    for item in re.split(r"[,\n]", text):
        if not item.strip():
            continue
        fields = item.split(":")
        if len(fields) != 3:
            raise BlockWeightError(
                f"Element weight {item.strip()!r} is no preset and not blocks:elements:ratio. Presets: "
                f"{', '.join(known)}. Define your own in {where}; in a tag, write the colons as \\:"
            )
        blocks, elements, ratio = fields
        rules.append(_rule(item, blocks, elements, ratio, layout))
    return ElementWeights(tuple(rules))


def _rule(item: str, blocks: str, elements: str, ratio: str, layout: BlockLayout) -> ElementRule:
    try:
        value = float(ratio)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BlockWeightError(f"Element weight {item.strip()!r}: {ratio.strip()!r} is no number.")
    words, not_blocks = _words(blocks.upper())
    parts, not_elements = _words(elements.lower().replace(".", "_"))
    ids: frozenset[str] | None = None
    if words:
        chosen: set[str] = set()
        for word in words:
            found = select(word, layout)
            if found is None:
                raise BlockWeightError(
                    f"Element weight {item.strip()!r}: this model has no block {word!r}. It has {describe(layout)}."
                )
            chosen.update(TEXT_ENCODERS if word == "BASE" else found)
        ids = frozenset({*layout.ids, *TEXT_ENCODERS, "PRE", "POST"} - chosen if not_blocks else chosen)
    return ElementRule(ids, tuple(parts), not_elements, value)


def _words(text: str) -> tuple[list[str], bool]:
    words = text.split()
    inverted = bool(words) and words[0].upper() == "NOT"
    return words[1:] if inverted else words, inverted
