"""Weights that the host keeps quantised: changed as the dequantised weight would be, and given back byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .test_apply import apply, host_chain

LAYER = "input_blocks.1.1.transformer_blocks.0.ff.net.2"
KEY = f"diffusion_model.{LAYER}.weight"
NAME = "lora_unet_input_blocks_1_1_transformer_blocks_0_ff_net_2"
FORMATS = ("float8_e4m3fn", "float8_e5m2", "mxfp8", "nvfp4", "int8_tensorwise", "convrot_w4a4")
FAMILIES = ("lora", "dora", "ia3", "oft")


@pytest.fixture(scope="module")
def quantised(comfy: Any, build_model: Callable[..., Any]) -> Callable[[str], Any]:
    """Makes a `ModelPatcher` whose one projection is stored in a format, loaded as the host loads such a file."""
    import torch

    quant_ops = pytest.importorskip("comfy.quant_ops")
    plain = {k: v.clone() for k, v in build_model().model.diffusion_model.state_dict().items()}

    def make(name: str) -> Any:
        if name not in getattr(quant_ops, "QUANT_ALGOS", {}):
            pytest.skip(f"this host has no {name}")
        layout = quant_ops.QUANT_ALGOS[name]["comfy_tensor_layout"]
        state = dict(plain)
        weight = state.pop(f"{LAYER}.weight").to(torch.bfloat16)
        scale = {} if name in ("mxfp8", "convrot_w4a4") else {"scale": "recalculate"}
        stored = quant_ops.QuantizedTensor.from_float(weight, layout, **scale)
        state.update(stored.state_dict(f"{LAYER}.weight"))
        state[f"{LAYER}.comfy_quant"] = torch.tensor(list(json.dumps({"format": name}).encode()), dtype=torch.uint8)
        return comfy.sd.load_diffusion_model_state_dict(state)

    return make


def weight_of(comfy: Any, patcher: Any) -> Any:
    """The layer's weight as the model would use it, in fp64."""
    weight = comfy.utils.get_attr(patcher.model, KEY)
    return (weight.dequantize() if hasattr(weight, "dequantize") else weight).detach().double()


def change(family: str, weight: Any) -> tuple[dict[str, Any], Any]:
    """(the file's tensors, what the family's formula makes of `weight`: (out, in) in fp64)."""
    import torch

    generator = torch.Generator().manual_seed(3)
    out, inner = weight.shape

    def noise(*shape: int, size: float) -> Any:
        return torch.randn(shape, generator=generator) * size

    if family in ("lora", "dora"):
        up, down = noise(out, 8, size=0.1), noise(8, inner, size=0.1)
        tensors = {f"{NAME}.lora_up.weight": up, f"{NAME}.lora_down.weight": down, f"{NAME}.alpha": torch.tensor(8.0)}
        result = weight + up.double() @ down.double()
        if family == "dora":
            length = result.norm(dim=1, keepdim=True).float() * (1 + noise(out, 1, size=0.1))
            tensors[f"{NAME}.dora_scale"] = length
            result = result / result.norm(dim=1, keepdim=True) * length.double()
        return tensors, result
    if family == "ia3":
        gain = 1 + noise(inner, size=0.3)
        return {f"{NAME}.weight": gain - 1, f"{NAME}.on_input": torch.tensor(True)}, weight * gain.double()
    blocks = noise(10, out // 10, out // 10, size=0.02)
    skew = (blocks - blocks.transpose(1, 2)).double()
    eye = torch.eye(out // 10, dtype=torch.float64)
    turn = (eye + skew) @ torch.linalg.inv(eye - skew)
    turned = torch.einsum("knm,knp->kmp", turn, weight.reshape(10, out // 10, inner))
    return {f"{NAME}.oft_blocks": blocks, f"{NAME}.alpha": torch.tensor(0.0)}, turned.reshape(out, inner)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", FORMATS)
def test_a_quantised_weight(
    comfy: Any, quantised: Callable[[str], Any], lora_folder: Path, name: str, family: str
) -> None:
    import torch
    from safetensors.torch import save_file

    model = quantised(name)
    stored = comfy.utils.get_attr(model.model, KEY)
    bytes_before = {k: v.clone() for k, v in stored.state_dict("w").items()}
    base = weight_of(comfy, model)
    tensors, truth = change(family, base)
    save_file({k: v.contiguous() for k, v in tensors.items()}, lora_folder / "q.safetensors")

    def error(patcher: Any) -> float:
        patcher.patch_model()
        try:
            return float((weight_of(comfy, patcher) - truth).norm() / (truth - base).norm())
        finally:
            patcher.unpatch_model()

    ours = error(apply(model, None, "<lora:q>", method="patch").model)
    nearest = stored.requantize_from_float(truth.to(torch.float32), **_scale(name))
    least = float((nearest.dequantize().double() - truth).norm() / (truth - base).norm())
    # Stochastic rounding, which the host asks for, has up to twice the error of the nearest value.
    assert ours <= 2.2 * least, (ours, least)
    if family == "lora":
        theirs, _ = host_chain(comfy, model, None, [(lora_folder / "q.safetensors", 0, 1)])
        assert ours <= 1.05 * error(theirs)
    after = comfy.utils.get_attr(model.model, KEY).state_dict("w")
    assert all(
        after[k].reshape(-1).view(torch.uint8).equal(v.reshape(-1).view(torch.uint8)) for k, v in bytes_before.items()
    )


def _scale(name: str) -> dict[str, Any]:
    return {} if name in ("mxfp8", "convrot_w4a4", "int8_tensorwise") else {"scale": "recalculate"}
