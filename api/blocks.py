"""Block weights for the bars: what a text means for a model's blocks, the blocks of a checkpoint, presets."""

from __future__ import annotations

import os
from typing import Any

from ..library.header import HeaderError, read_header
from ..library.models import contained
from ..library.presets import block_presets, put_block_preset
from ..stack.block_weights import BlockWeightError, resolve_block_weights
from ..stack.blocks import AROUND, TEXT_ENCODERS, BlockLayout, layout_of, layout_of_ids
from ..stack.errors import LoraFileError
from ..stack.presets import built_in
from .route import Asked, Param, Refused, Route

MAX_BLOCKS = 512


def _layout(ids: list[Any]) -> BlockLayout:
    if not ids or len(ids) > MAX_BLOCKS or not all(isinstance(block, str) and block.isalnum() for block in ids):
        raise Refused(400, "ids must name the blocks of a model, such as IN00, M00, OUT00.")
    return layout_of_ids(ids)


def read_text(asked: Asked) -> dict[str, Any]:
    """Weights per block of a text in the language of `lbw=`."""
    layout = _layout(asked.body["ids"])
    try:
        file = block_presets()
        found = resolve_block_weights(asked.body["text"], layout, file.presets, None, file.path)
    except (BlockWeightError, LoraFileError) as error:
        raise Refused(422, str(error)) from None
    return {"blocks": {block: found.of(block) for block in (*TEXT_ENCODERS, *AROUND, *asked.body["ids"])}}


def names(asked: Asked) -> dict[str, Any]:
    """Presets for a model with these blocks."""
    layout = _layout(asked.body["ids"])
    try:
        own = block_presets().presets
    except LoraFileError as error:
        raise Refused(422, str(error)) from None
    return {"built_in": list(built_in(layout)), "own": list(own)}


def put(asked: Asked) -> dict[str, Any]:
    """Saves a preset, or deletes it where no text is given."""
    try:
        put_block_preset(asked.body["name"], asked.body.get("text"))
        return {"own": list(block_presets().presets)}
    except (ValueError, LoraFileError) as error:
        raise Refused(422, str(error)) from None


def blocks_of_checkpoint(asked: Asked) -> dict[str, Any]:
    """The blocks of a checkpoint or diffusion model, from its header."""
    name = asked.query.get("name")
    if not name:
        raise Refused(400, "name is missing.")
    for _, root in asked.deck.library.roots.models:
        path = os.path.join(root, name.replace("\\", "/"))
        if contained(path, root) and os.path.isfile(path):
            try:
                return {"name": name, "ids": list(layout_of(read_header(path).shapes).ids)}
            except HeaderError:
                return {"name": name, "ids": []}
    raise FileNotFoundError(name)


_IDS = {"type": "array", "items": {"type": "string"}}
_STRING = {"type": "string"}
ROUTES = (
    Route("POST", "/lora-deck/blocks/read", read_text, "What block weights mean for a model", "BlockValues",
          body={"text": _STRING, "ids": _IDS}, required=("text", "ids"), refusals=(400, 415, 422)),
    Route("POST", "/lora-deck/blocks/names", names, "Presets for a model", "PresetNames",
          body={"ids": _IDS}, required=("ids",), refusals=(400, 415, 422)),
    Route("POST", "/lora-deck/blocks/preset", put, "Saves a preset; deletes it without a text", "OwnPresets",
          body={"name": _STRING, "text": _STRING}, required=("name",), refusals=(400, 415, 422)),
    Route("GET", "/lora-deck/blocks/layout", blocks_of_checkpoint, "The blocks of a checkpoint", "BlocksOf",
          (Param("name", "string", "As in the host's combo."),), refusals=(400, 404)),
)  # fmt: skip
