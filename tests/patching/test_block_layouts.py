"""Blocks counted from the host's own models at their true size (on the meta device, so without memory)."""

from __future__ import annotations

from typing import Any

import pytest
from lora_deck.stack.blocks import layout_of

from . import layouts

BLOCKS = {
    "sd15": {"IN": 12, "M": 1, "OUT": 12},
    "sdxl": {"IN": 9, "M": 1, "OUT": 9},
    "sd3-medium": {"L": 24},
    "sd3.5-large": {"L": 38},
    "flux": {"D": 19, "S": 38},
    "chroma": {"D": 19, "S": 38},
    "flux2-klein-4b": {"D": 5, "S": 20},
    "flux2-klein-9b": {"D": 8, "S": 24},
    "hunyuan-video": {"D": 20, "S": 40},
    "hidream": {"D": 16, "S": 32},
    "auraflow": {"D": 4, "S": 32},
    "qwen-image": {"L": 60},
    "wan21-t2v-1.3b": {"L": 30},
    "wan21-t2v-14b": {"L": 40},
    "wan21-vace-14b": {"L": 40, "V": 8},
    "lumina2": {"L": 26},
    "z-image": {"L": 30},
    "kandinsky5": {"L": 32},
    "omnigen2": {"L": 32},
}


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_of_the_hosts_models(comfy: Any, name: str) -> None:
    keys = layouts.diffusion_model(comfy, name).state_dict().keys()
    layout = layout_of(keys)
    assert dict(layout.counts) == BLOCKS[name]
    blocks = {layout.block_of(key) for key in keys if key.startswith("diffusion_model.")}
    parts = {block for block in blocks if "/" in block}
    assert blocks - parts == {*layout.ids, "PRE", "POST"} - ({"M00"} if parts else set())
