"""Quantised models: patching rounds the LoRA with the weight, the forward pass does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..test_apply import apply
from ..test_quantised import KEY, LAYER, NAME, weight_of
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


def test_gguf(comfy: Any, build_model: Callable[..., Any], lora_folder: Path) -> None:
    """A stand-in of the layers that GGUF loaders bring: packed bytes with a type, unpacked at every call."""
    import enum

    import torch

    class Kind(enum.IntEnum):
        F16 = 1
        Q8_0 = 8

    class Packed(torch.Tensor):
        tensor_type = Kind.Q8_0

        @property
        def shape(self) -> Any:
            return self.tensor_shape  # type: ignore[attr-defined]

        def detach(self) -> Any:
            return self

        def requires_grad_(self, requires_grad: bool = False) -> Any:
            return self

    class Layer(torch.nn.Module):
        def __init__(self, plain: Any) -> None:
            super().__init__()
            self.in_features, self.out_features, self.bias = plain.in_features, plain.out_features, plain.bias
            blocks = plain.weight.detach().reshape(-1, 32)
            scale = (blocks.abs().amax(1, keepdim=True) / 127).half()
            values = (blocks / scale.float()).round().to(torch.int8)
            packed = torch.cat([scale.view(torch.uint8), values.view(torch.uint8)], 1)
            weight = packed.as_subclass(Packed)
            weight.tensor_shape = torch.Size(plain.weight.shape)  # type: ignore[attr-defined]
            self.weight = torch.nn.Parameter(weight, requires_grad=False)

        def get_weight(self, tensor: Any, dtype: Any) -> Any:
            packed = tensor.as_subclass(torch.Tensor)
            scale = packed[:, :2].contiguous().view(torch.float16).float()
            values = packed[:, 2:].contiguous().view(torch.int8).float()
            return (values * scale).reshape(self.out_features, self.in_features).to(dtype)

        def forward(self, x: Any) -> Any:
            return torch.nn.functional.linear(x, self.get_weight(self.weight, x.dtype), self.bias)

    from lora_deck.patching.live.storage import current_weight

    from . import sampling as s

    model = build_model(torch.float32)
    holder = model.model.diffusion_model.get_submodule(LAYER.rpartition(".")[0])
    plain = holder[int(LAYER.rpartition(".")[2])]
    layer = Layer(plain)
    write = {f"{NAME}.lora_up.weight": torch.randn(320, 8), f"{NAME}.lora_down.weight": torch.randn(8, 1280)}
    from safetensors.torch import save_file

    save_file(write, lora_folder / "g.safetensors")
    holder[int(LAYER.rpartition(".")[2])] = layer
    x = torch.randn(2, 5, 1280)
    live = apply(model, None, "<lora:g:0.3>")
    assert "because the model's weights are GGUF Q8_0" in str(live.report) and not live.model.patches
    truth = layer(x) + 0.3 * x @ write[f"{NAME}.lora_down.weight"].T @ write[f"{NAME}.lora_up.weight"].T
    assert s.difference(s.inside(live.model, lambda: layer(x)), truth, layer(x)) < 1e-5
    assert (current_weight(model, KEY) - layer.get_weight(layer.weight, torch.float32)).abs().max() == 0
