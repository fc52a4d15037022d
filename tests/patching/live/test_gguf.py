"""GGUF models: live in the forward pass, by the protocol of the pack that users have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..conftest import UNET
from ..test_apply import apply, write_lora
from .test_engine import MODULES

KINDS = ("Q8_0", "Q4_0", "Q5_1")


def models(comfy: Any, build_model: Callable[..., Any], kind: str) -> tuple[Any, Any]:
    """(a UNet whose linear layers are packed, the same with the numbers that they unpack to)."""
    import gguf
    import torch

    from .packed import Operations, Packed, Patcher, unpacked

    plain = build_model()
    state = dict(plain.model.diffusion_model.state_dict())
    for name, module in plain.model.diffusion_model.named_modules():
        if isinstance(module, torch.nn.Linear) and module.in_features % 32 == 0:
            packed = Packed.of(module.weight.detach(), gguf.GGMLQuantizationType[kind])
            state[f"{name}.weight"] = packed
            module.weight.data = unpacked(packed)
    config = comfy.model_detection.model_config_from_unet_config(dict(UNET))
    config.set_inference_dtype(torch.float32, None)
    config.custom_operations = Operations
    cpu = torch.device("cpu")
    made = config.get_model({}, "", device=cpu)
    made.diffusion_model.load_state_dict(state, strict=False)
    return Patcher(made, load_device=cpu, offload_device=cpu), plain


def hanging(model: Any) -> list[str]:
    return [name for name, weight in model.model.named_parameters() if getattr(weight, "patches", [])]


@pytest.mark.parametrize("kind", KINDS)
def test_a_stack_acts_as_on_the_unpacked_model(
    comfy: Any, build_model: Callable[..., Any], lora_folder: Path, kind: str
) -> None:
    """Live for the packed layers, patched for the others, and patched for all where the user says so."""
    from . import sampling as s
    from .packed import Packed

    packed, plain = models(comfy, build_model, kind)
    write_lora(lora_folder / "a.safetensors", MODULES, seed=1)
    write_lora(lora_folder / "b.safetensors", MODULES, seed=2, rank=8, alpha=None)
    conditions = [s.condition(1)], [s.condition(2)]
    base = s.sample(plain, *conditions)
    assert (s.sample(packed, *conditions) - base).abs().max() < 1e-4
    stack = "<lora:a:0.7><lora:b:-0.4:lbw=IN01,OUT00=0.5,M00=0.3>"
    truth = s.sample(apply(plain, None, stack, method="patch").model, *conditions)
    live = apply(packed, None, stack)
    assert f"in the forward pass, because the model's weights are GGUF {kind}" in str(live.report)
    assert not any(isinstance(comfy.utils.get_attr(packed.model, key), Packed) for key in live.model.patches)
    assert s.difference(s.sample(live.model, *conditions), truth, base) < 1e-4
    patched = apply(packed, None, stack, method="patch").model
    assert s.difference(s.sample(patched, *conditions), truth, base) < 1e-4
    comfy.model_management.unload_all_models()
    assert not hanging(packed) and (s.sample(packed, *conditions) - base).abs().max() < 1e-4


def test_its_architecture_is_read_from_true_shapes(comfy: Any, build_model: Callable[..., Any]) -> None:
    from lora_deck.patching.keymap import architecture_of, blocks_of

    packed, plain = models(comfy, build_model, "Q4_0")
    assert architecture_of(packed.model) == architecture_of(plain.model) == "SD1"
    assert blocks_of(packed.model) == blocks_of(plain.model)


def test_a_change_that_reads_the_weight_reads_what_it_unpacks_to(
    comfy: Any, build_model: Callable[..., Any], lora_folder: Path
) -> None:
    """DoRA on top of a LoRA that hangs on the weight."""
    import torch
    from safetensors.torch import load_file, save_file

    from . import sampling as s

    packed, plain = models(comfy, build_model, "Q5_1")
    module = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    for name, seed in (("a", 1), ("d", 2)):
        write_lora(lora_folder / f"{name}.safetensors", {module: (320, 320)}, seed=seed)
    dora = load_file(lora_folder / "d.safetensors")
    dora[f"{module}.dora_scale"] = torch.rand(320, 1, generator=torch.Generator().manual_seed(3)) + 0.5
    save_file(dora, lora_folder / "d.safetensors")
    layer = "input_blocks.1.1.transformer_blocks.0.attn1.to_q"
    x = torch.randn(2, 5, 320, generator=torch.Generator().manual_seed(4))

    def output(model: Any) -> Any:
        comfy.model_management.unload_all_models()
        return s.inside(model, lambda: model.model.diffusion_model.get_submodule(layer)(x))

    below = apply(packed, None, "<lora:a:0.7>", method="patch").model
    got = output(apply(below, None, "<lora:d:0.5>", method="live").model)
    truth = output(apply(plain, None, "<lora:a:0.7><lora:d:0.5>", method="patch").model)
    assert s.difference(got, truth, output(plain)) < 1e-4
    comfy.model_management.unload_all_models()
    assert not hanging(packed)
