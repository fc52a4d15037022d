"""Quantised models: patching rounds the LoRA with the weight, the forward pass does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lora_deck.benchmarks.quantised import STORAGES, NotHereError, measure

from ..test_apply import apply
from ..test_quantised import LAYER, change, weight_of
from ..test_quantised import quantised as quantised

LIVE_ERROR = 0.01
"""Largest error of the LoRA's effect."""


@pytest.mark.parametrize("name", [name for name, storage in STORAGES.items() if not storage.startswith("fast")])
def test_a_quantised_model(comfy: Any, lora_folder: Path, name: str, record_property: Any) -> None:
    """The table of docs/fidelity.md, as benchmarks/quantised.py prints it; `fast` is a product that only cards have."""
    try:
        result = measure(STORAGES[name], lora_folder)
    except NotHereError as error:
        pytest.skip(str(error))
    record_property("error of the effect", {"patched": result.patched, "live": result.live})
    assert "in the forward pass, because the model's weights are" in result.report
    assert result.live <= LIVE_ERROR and result.patched > 10 * result.live
    assert result.untouched


def test_weights_that_are_cast_when_they_are_used(comfy: Any, lora_folder: Path) -> None:
    """In the host's default mode on NVIDIA weights are as in their file until then, whatever the loader was told."""
    import torch
    from lora_deck.benchmarks.quantised import LAYER as PATH
    from lora_deck.benchmarks.quantised import NAME, load
    from lora_deck.patching.live.storage import current_weight
    from safetensors.torch import save_file

    model = load("raw float8_e4m3fn")
    layer = model.model.diffusion_model.get_submodule(PATH)
    assert layer.weight_comfy_model_dtype == torch.float8_e4m3fn
    rounded = layer.weight.detach().float()
    for module in model.model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and parameter.dtype == torch.float8_e4m3fn:
                own = torch.nn.Parameter(parameter.float() * 1.01, requires_grad=False)
                module._parameters[name] = own
    out, inner = layer.weight.shape
    save_file(
        {f"{NAME}.lora_up.weight": torch.randn(out, 2), f"{NAME}.lora_down.weight": torch.randn(2, inner)},
        lora_folder / "q.safetensors",
    )
    report = str(apply(model, None, "<lora:q>").report)
    assert "in the forward pass, because the model's weights are fp8 e4m3" in report
    expected = (rounded * 1.01).to(torch.float8_e4m3fn).float()
    assert torch.equal(current_weight(model, f"diffusion_model.{PATH}.weight"), expected)


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
