"""Slices of fused projections and swapped halves: in value, against the host's own loader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import patched
from .test_apply import apply, host_chain, write_lora
from .test_block_weights import FLUX, of_class

SD3 = {
    "in_channels": 4, "patch_size": 2, "out_channels": 4, "depth": 2, "input_size": None, "adm_in_channels": 24,
    "num_patches": 64, "pos_embed_max_size": 8, "pos_embed_scaling_factor": None, "x_block_self_attn_layers": [],
    "qk_norm": "rms",
    "context_embedder_config": {"target": "torch.nn.Linear", "params": {"in_features": 32, "out_features": 128}},
}  # fmt: skip
"""SD3's blocks, two of them, 128 wide (the host makes depth × 64)."""


def targets(comfy: Any, model: Any, prefix: str) -> dict[str, tuple[int, ...]]:
    """Every name below `prefix` that the host maps to a slice or to rearranged rows, with the shape it stands for."""
    from lora_deck.patching.keymap import key_map, target_shape
    from lora_deck.patching.parameters import Parameters

    names = comfy.lora.model_lora_keys_unet(model.model, {})
    found = key_map("unet", model.model)
    return {
        name: target_shape(Parameters(model.model), there)
        for name, target in names.items()
        if name.startswith(prefix)
        and isinstance(target, tuple)
        # The host also maps layers that the last block of SD3 has not.
        and (there := found.find(name, "weight")) is not None
    }


@pytest.mark.parametrize(("name", "config", "prefix"), [("Flux", FLUX, "transformer."), ("SD3", SD3, "transformer.")])
def test_slices_equal_the_hosts(comfy: Any, lora_folder: Path, name: str, config: dict[str, Any], prefix: str) -> None:
    import torch

    model = of_class(comfy, name, config)
    modules = targets(comfy, model, prefix)
    assert len(modules) > 5
    write_lora(lora_folder / "s.safetensors", modules, seed=5)
    expected, _ = host_chain(comfy, model, None, [(lora_folder / "s.safetensors", 0, 0.75)])
    base, theirs, ours = patched(model), patched(expected), patched(apply(model, None, "<lora:s:0.75>").model)
    changed = [key for key in base if not torch.equal(base[key], theirs[key])]
    assert changed and all(torch.equal(theirs[key], ours[key]) for key in base)


def test_swapped_halves_equal_the_hosts(comfy: Any, lora_folder: Path) -> None:
    """diffusers keeps scale before shift in the last modulation, the model the other way round."""
    import torch

    model = of_class(comfy, "Flux", FLUX)
    names = comfy.lora.model_lora_keys_unet(model.model, {})
    swapped = {name for name, target in names.items() if isinstance(target, tuple) and len(target) > 2}
    assert "transformer.norm_out.linear" in swapped
    write_lora(lora_folder / "n.safetensors", {"transformer.norm_out.linear": (64, 32)}, seed=5)
    expected, _ = host_chain(comfy, model, None, [(lora_folder / "n.safetensors", 0, 1)])
    theirs, ours = patched(expected), patched(apply(model, None, "<lora:n>").model)
    assert all(torch.equal(theirs[key], ours[key]) for key in theirs)


def test_rows_of_a_fused_projection(make_model: Callable[..., Any], lora_folder: Path) -> None:
    """A file that was trained on q, k and v as one weight equals three files trained on each."""
    import torch
    from safetensors.torch import load_file, save_file

    stem = "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_"
    write_lora(lora_folder / "fused.safetensors", {stem + "qkv": (960, 320)}, seed=6)
    fused = load_file(lora_folder / "fused.safetensors")
    parts = {}
    for i, letter in enumerate("qkv"):
        parts[f"{stem}{letter}.lora_up.weight"] = fused[f"{stem}qkv.lora_up.weight"][320 * i : 320 * i + 320].clone()
        parts[f"{stem}{letter}.lora_down.weight"] = fused[f"{stem}qkv.lora_down.weight"].clone()
        parts[f"{stem}{letter}.alpha"] = fused[f"{stem}qkv.alpha"].clone()
    save_file(parts, lora_folder / "parts.safetensors")
    model = make_model()
    base = patched(model)
    one, three = patched(apply(model, None, "<lora:fused>").model), patched(apply(model, None, "<lora:parts>").model)
    changed = [key for key in base if not torch.equal(base[key], three[key])]
    assert len(changed) == 3
    for key in changed:
        torch.testing.assert_close(one[key], three[key], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("name", "config"), [("Flux", FLUX), ("SD3", SD3)])
def test_slices_and_swapped_halves_in_the_forward_pass(
    comfy: Any, lora_folder: Path, name: str, config: dict[str, Any]
) -> None:
    """Each layer gives what it gives with the host's own patch in its weight."""
    import torch

    from .live import sampling as s

    model = of_class(comfy, name, config)
    before = s.state(model)
    modules = targets(comfy, model, "transformer.")
    functions = [target for target in comfy.lora.model_lora_keys_unet(model.model, {}).values() if len(target) == 3]
    assert name != "Flux" or functions
    write_lora(lora_folder / "s.safetensors", modules, seed=5)
    expected, _ = host_chain(comfy, model, None, [(lora_folder / "s.safetensors", 0, 0.75)])
    base, theirs = patched(model), patched(expected)
    changed = [key for key in base if not torch.equal(base[key], theirs[key])]
    live = apply(model, None, "<lora:s:0.75>", method="live")
    assert len(changed) > 5 and not live.model.patches
    generator = torch.Generator().manual_seed(6)
    for key in changed:
        layer = comfy.utils.get_attr(model.model, key.removesuffix(".weight"))
        x = torch.randn(2, 3, layer.in_features, generator=generator)
        got = s.inside(live.model, lambda layer=layer, x=x: layer(x))
        wanted = torch.nn.functional.linear(x, theirs[key], layer.bias)
        assert s.difference(got, wanted, layer(x)) < 1e-5, key
    assert s.is_untouched(model, before)
