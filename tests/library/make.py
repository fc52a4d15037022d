"""Writes safetensors files, whole and broken, without torch."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SIZES = {"F16": 2, "F32": 4, "BF16": 2, "I64": 8}
SD1_KEYS = {
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight": (4, 768),
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_up.weight": (320, 4),
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.alpha": (),
}


def header_of(
    shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], int]:
    """(the header's JSON object, bytes of data behind it)"""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata is not None else {}
    at = 0
    for name, shape in shapes.items():
        count = 1
        for side in shape:
            count *= side
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [at, at + 2 * count]}
        at += 2 * count
    return header, at


def write_raw(path: Path, header: bytes, data: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


def write_lora(path: Path, metadata: Mapping[str, Any] | None = None, shapes: Mapping[str, tuple[int, ...]] = SD1_KEYS,
               fill: bytes = b"\x01") -> Path:  # fmt: skip
    """A LoRA file whose every data byte is `fill`."""
    header, size = header_of(shapes, metadata)
    return write_raw(path, json.dumps(header).encode(), fill * size)
