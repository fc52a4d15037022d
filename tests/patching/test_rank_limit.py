"""A tag's `dyn=` against A1111's formula, written out: (up[:, :N] · down[:N]) · alpha / full rank."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import patched
from .test_apply import UNET_MODULES, apply, write_lora

KEY = "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
NAME = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"


@pytest.mark.parametrize(("dyn", "kept"), [(3, 3), (8, 8), (99, 8), (0, 8), (-2, 6)])
def test_the_first_ranks_stay(make_model: Callable[..., Any], lora_folder: Path, dyn: int, kept: int) -> None:
    import torch
    from safetensors.torch import load_file

    write_lora(lora_folder / "a.safetensors", UNET_MODULES, seed=1, rank=8, alpha=2)
    file = load_file(lora_folder / "a.safetensors")
    model = make_model()
    base = patched(model)[KEY]
    up, down = file[f"{NAME}.lora_up.weight"][:, :kept], file[f"{NAME}.lora_down.weight"][:kept]
    expected = base + (0.5 * 2 / 8) * (up @ down)
    for tag in (f"<lora:a:0.5:0.5:{dyn}>", f"<lora:a:0.5:dyn={dyn}>"):
        torch.testing.assert_close(patched(apply(model, None, tag).model)[KEY], expected, rtol=1e-6, atol=1e-6)


def test_the_report_says_what_was_cut(make_model: Callable[..., Any], lora_folder: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    write_lora(lora_folder / "a.safetensors", UNET_MODULES, seed=1, rank=8)
    model = make_model()
    report = str(apply(model, None, "<lora:a:dyn=3>").report)
    assert "dyn=3 takes 4 modules from rank 8 to 3, alpha as it is" in report
    assert "dyn=0 is no limit" in str(apply(model, None, "<lora:a:dyn=0>").report)
    assert "dyn=9 is no less than the rank" in str(apply(model, None, "<lora:a:dyn=9>").report)
    tensors = load_file(lora_folder / "a.safetensors")
    tensors["lora_unet_mid_block_attentions_0_proj_in.diff"] = torch.zeros(320, 320, 1, 1)
    save_file(tensors, lora_folder / "b.safetensors")
    assert "dyn=3 is for plain LoRA and leaves full whole" in str(apply(model, None, "<lora:b:dyn=3>").report)


def test_another_limit_is_another_result(make_model: Callable[..., Any], lora_folder: Path) -> None:
    write_lora(lora_folder / "a.safetensors", UNET_MODULES, seed=1, rank=8)
    model = make_model()
    whole = apply(model, None, "<lora:a>").model.patches_uuid
    assert apply(model, None, "<lora:a:dyn=0>").model.patches_uuid == whole
    limited = apply(model, None, "<lora:a:dyn=3>").model.patches_uuid
    assert limited != whole and apply(model, None, "<lora:a:1:1:3>").model.patches_uuid == limited
