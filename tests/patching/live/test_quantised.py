"""Quantised models: patching rounds the LoRA with the weight, the forward pass does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..test_apply import apply
from ..test_quantised import KEY, LAYER, NAME, change, weight_of
from ..test_quantised import quantised as quantised

SIZE = 0.044
"""‖Δ‖ / ‖W‖ of usual LoRAs."""
LIVE_ERROR = 0.01
"""Largest error of the LoRA's effect."""


def effect_errors(comfy: Any, model: Any, folder: Path) -> tuple[float, float, Any]:
    """(error of the LoRA's effect on the layer's output patched, live, the live report)."""
    import torch
    from comfy.model_management import unload_all_models
    from safetensors.torch import save_file

    from . import sampling as s

    base = weight_of(comfy, model)
    generator = torch.Generator().manual_seed(3)
    up = torch.randn(base.shape[0], 8, generator=generator)
    down = torch.randn(8, base.shape[1], generator=generator)
    scale = float(SIZE * base.norm() / (up.double() @ down.double()).norm())
    save_file({f"{NAME}.lora_up.weight": up * scale, f"{NAME}.lora_down.weight": down}, folder / "q.safetensors")
    layer = model.model.diffusion_model.get_submodule(LAYER)
    dtype = model.model.get_dtype_inference()
    x = torch.randn(4, 16, base.shape[1], generator=generator).to(dtype)
    truth = x.double() @ (scale * up.double() @ down.double()).T

    def output(patcher: Any) -> Any:
        unload_all_models()
        return s.inside(patcher, lambda: layer(x)).double()

    plain = output(model)
    live = apply(model, None, "<lora:q>")
    errors = []
    for patcher in (apply(model, None, "<lora:q>", method="patch").model, live.model):
        errors.append(float((output(patcher) - plain - truth).norm() / truth.norm()))
    unload_all_models()
    return errors[0], errors[1], live.report


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2", "mxfp8", "nvfp4", "int8_tensorwise"])
def test_a_quantised_model(
    comfy: Any, quantised: Callable[[str], Any], lora_folder: Path, name: str, record_property: Any
) -> None:
    model = quantised(name)
    stored = comfy.utils.get_attr(model.model, KEY)
    before = {key: value.clone() for key, value in stored.state_dict("w").items()}
    patched, live, report = effect_errors(comfy, model, lora_folder)
    record_property("error of the effect", {"patched": patched, "live": live})
    assert "in the forward pass, because the model's weights are" in str(report)
    assert live <= LIVE_ERROR and patched > 10 * live
    after = comfy.utils.get_attr(model.model, KEY).state_dict("w")
    assert all((after[key].view(-1).float() == value.view(-1).float()).all() for key, value in before.items())


def test_raw_fp8(comfy: Any, build_model: Callable[..., Any], lora_folder: Path) -> None:
    import torch

    model = build_model(torch.float32)
    layer = model.model.diffusion_model.get_submodule(LAYER)
    layer.weight.data = layer.weight.data.to(torch.float8_e4m3fn)
    layer.comfy_cast_weights = True
    patched, live, report = effect_errors(comfy, model, lora_folder)
    assert live <= LIVE_ERROR and patched > 10 * live and "fp8 e4m3fn" in str(report)


@pytest.mark.parametrize("family", ["dora", "ia3", "oft"])
@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2", "mxfp8", "nvfp4", "int8_tensorwise"])
def test_families_that_read_the_weight(
    comfy: Any, quantised: Callable[[str], Any], lora_folder: Path, name: str, family: str
) -> None:
    """Against the formula on the dequantised weight: as exact as the model's own product, and patched never better."""
    import torch
    from comfy.model_management import unload_all_models
    from safetensors.torch import save_file

    from . import sampling as s

    model = quantised(name)
    base = weight_of(comfy, model)
    tensors, truth = change(family, base)
    save_file({k: v.contiguous() for k, v in tensors.items()}, lora_folder / "q.safetensors")
    layer = model.model.diffusion_model.get_submodule(LAYER)
    x = torch.randn(4, 16, base.shape[1], generator=torch.Generator().manual_seed(5))
    x = x.to(model.model.get_dtype_inference())
    effect = x.double() @ (truth - base).T

    def output(patcher: Any) -> Any:
        unload_all_models()
        return s.inside(patcher, lambda: layer(x)).double()

    plain = output(model)
    applied = apply(model, None, "<lora:q>", method="live")
    live = float((output(applied.model) - plain - effect).norm() / effect.norm())
    patched = float((output(apply(model, None, "<lora:q>", method="patch").model) - plain - effect).norm())
    unload_all_models()
    assert "in the forward pass, because method is live" in str(applied.report)
    # INT8 rounds the activations too, which what is turned or scaled afterwards inherits.
    assert live <= (0.05 if name == "int8_tensorwise" else 0.02), live
    assert live <= patched / effect.norm()
