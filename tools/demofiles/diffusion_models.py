"""The demo's diffusion model once more, alone and in fp8 with a scale per layer, as many large models are shared."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from .checkpoint import _unet

FP8 = torch.float8_e4m3fn


def write_fp8(path: Path) -> None:
    """Writes the linear layers of the blocks in scaled fp8, all else in fp16; needs the host's ``comfy``."""
    weights = {"scaled_fp8": torch.zeros(0, dtype=FP8)}
    for key, weight in _unet().items():
        if weight.ndim != 2 or "transformer_blocks" not in key:
            weights[key] = weight.half().contiguous()
            continue
        scale = weight.abs().max() / torch.finfo(FP8).max
        weights[key] = (weight / scale).to(FP8)
        weights[f"{key.removesuffix('.weight')}.scale_weight"] = scale.float()
    save_file(weights, path)
