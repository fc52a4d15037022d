"""Fused projections of trainers whose rows go head by head, q, k and v of one after the other."""

from __future__ import annotations

import re

HEAD_BY_HEAD: dict[str, re.Pattern[str]] = {
    # MiniMax' own code and DiffSynth (diffsynth/models/minimax_h3_dit.py) keep q, k and v of a head together, the
    # host's checkpoints have all of q first. Names behind `diffusion_model.` and kohya's were trained on the latter.
    "MiniMax H3": re.compile(
        r"(?:base_model\.model\.|pipe\.|dit\.|module\.)*(?:token_refiner\.)?blocks\.\d+\.attn\.qkv_proj"
    ),
}
"""Architecture → modules, as the file spells them, whose rows go head by head where this model has them by kind."""
