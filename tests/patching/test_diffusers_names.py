"""diffusers' own names for a model's modules: all of them lead somewhere, and in value to the right rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from . import layouts
from .conftest import patched
from .test_apply import apply, write_lora
from .test_architectures import model
from .test_block_weights import of_class

SWAPPED = "halves swapped"
Truth = Mapping[str, Sequence[str]]
"""The host's weight → the modules of diffusers' that are its rows, in order; `SWAPPED` before one whose halves are
the other way round."""
CUT: dict[str, tuple[dict[str, Any], Truth]] = {
    "lumina2": (
        {"dim": 96, "n_layers": 1, "n_heads": 6, "n_kv_heads": 2, "axes_dims": [4, 6, 6], "cap_feat_dim": 32},
        {
            "layers.0.attention.qkv": ["layers.0.attn.to_q", "layers.0.attn.to_k", "layers.0.attn.to_v"],
            "noise_refiner.1.attention.qkv": [f"noise_refiner.1.attn.to_{x}" for x in "qkv"],
            "context_refiner.0.attention.out": ["context_refiner.0.attn.to_out.0"],
            "layers.0.feed_forward.w3": ["layers.0.feed_forward.linear_3"],
            "layers.0.adaLN_modulation.1": ["layers.0.norm1.linear"],
            "final_layer.linear": ["norm_out.linear_2"],
        },
    ),
    "hunyuan-dit": (
        {"depth": 2, "hidden_size": 64, "num_heads": 4},
        {
            "blocks.1.attn1.Wqkv": ["blocks.1.attn1.to_q", "blocks.1.attn1.to_k", "blocks.1.attn1.to_v"],
            "blocks.1.attn2.kv_proj": ["blocks.1.attn2.to_k", "blocks.1.attn2.to_v"],
            "blocks.1.attn2.q_proj": ["blocks.1.attn2.to_q"],
            "final_layer.adaLN_modulation.1": [SWAPPED, "norm_out.linear"],
        },
    ),
    "ideogram4": (
        {"num_layers": 1, "num_attention_heads": 2, "attention_head_dim": 32, "intermediate_size": 64,
         "llm_features_dim": 32, "adaln_dim": 16},
        {
            "layers.0.attention.qkv": [f"layers.0.attention.to_{x}" for x in "qkv"],
            "layers.0.attention.o": ["layers.0.attention.to_out.0"],
        },
    ),
    "minimax-h3": (
        {"num_layers": 1, "token_refiner_num_layers": 1, "hidden_size": 64, "num_attention_heads": 6,
         "attention_head_dim": 16, "ffn_hidden_size": 64, "text_dim": 32, "time_embed_dim": 32,
         "time_embed_hidden_size": 32},
        {
            "blocks.0.attn.qkv_proj": [f"transformer_blocks.0.attn.to_{x}" for x in "qkv"],
            "blocks.0.mlp.fc1": [SWAPPED, "transformer_blocks.0.ff.net.0.proj"],
            "token_refiner.blocks.0.attn.qkv_proj": [f"token_refiner.refiner_blocks.0.attn.to_{x}" for x in "qkv"],
            "token_refiner.blocks.0.mlp.fc1": [SWAPPED, "token_refiner.refiner_blocks.0.ff.net.0.proj"],
            "final_layer.adaln_proj.linear": ["norm_out.linear"],
        },
    ),
    "hunyuan-video": (
        {"hidden_size": 64, "num_heads": 2, "depth": 1, "depth_single_blocks": 1, "context_in_dim": 32,
         "axes_dim": [8, 12, 12], "vec_in_dim": 16},
        {
            "txt_in.individual_token_refiner.blocks.1.self_attn.qkv": [
                f"context_embedder.token_refiner.refiner_blocks.1.attn.to_{x}" for x in "qkv"
            ],
            "double_blocks.0.img_attn.qkv": [f"transformer_blocks.0.attn.to_{x}" for x in "qkv"],
            "double_blocks.0.txt_attn.qkv": [f"transformer_blocks.0.attn.add_{x}_proj" for x in "qkv"],
            "single_blocks.0.linear1": [
                *(f"single_transformer_blocks.0.attn.to_{x}" for x in "qkv"), "single_transformer_blocks.0.proj_mlp"
            ],
            "final_layer.adaLN_modulation.1": [SWAPPED, "norm_out.linear"],
        },
    ),
    "hunyuan-image": (
        {"hidden_size": 64, "num_heads": 2, "depth": 1, "depth_single_blocks": 1, "context_in_dim": 32,
         "axes_dim": [16, 16]},
        {
            # Tencent's own names, apart where the host has one weight.
            "double_blocks.0.img_attn.qkv": [f"double_blocks.0.img_attn_{x}" for x in "qkv"],
            "single_blocks.0.linear1": [f"single_blocks.0.linear1_{x}" for x in ("q", "k", "v", "mlp")],
            "txt_in.individual_token_refiner.blocks.0.mlp.0": ["txt_in.individual_token_refiner.blocks.0.mlp.fc1"],
        },
    ),
    "wan22-animate": (
        {"dim": 64, "num_heads": 2, "ffn_dim": 64, "num_layers": 5},
        {
            "face_adapter.fuser_blocks.0.linear1_kv": ["face_adapter.0.to_k", "face_adapter.0.to_v"],
            "blocks.4.self_attn.o": ["blocks.4.attn1.to_out.0"],
            "blocks.4.cross_attn.v_img": ["blocks.4.attn2.add_v_proj"],
        },
    ),
    "stable-audio": (
        {"global_cond_dim": 32, "embed_dim": 64, "depth": 1, "io_channels": 8, "num_heads": 2, "cond_token_dim": 32},
        {
            "transformer.layers.0.self_attn.to_qkv": [f"transformer_blocks.0.attn1.to_{x}" for x in "qkv"],
            "transformer.layers.0.cross_attn.to_kv": [f"transformer_blocks.0.attn2.to_{x}" for x in "kv"],
            "transformer.layers.0.ff.ff.0.proj": ["transformer_blocks.0.ff.net.0.proj"],
        },
    ),
    "ovis-image": (
        {"hidden_size": 64, "num_heads": 2, "depth": 1, "depth_single_blocks": 1, "context_in_dim": 32,
         "axes_dim": [8, 12, 12]},
        {
            "single_blocks.0.linear1": [
                *(f"single_transformer_blocks.0.attn.to_{x}" for x in "qkv"), "single_transformer_blocks.0.proj_mlp"
            ],
        },
    ),
    "cogvideox": (
        {"num_layers": 1, "num_attention_heads": 2, "attention_head_dim": 32, "text_embed_dim": 32,
         "time_embed_dim": 32},
        {
            "blocks.0.q": ["transformer_blocks.0.attn1.to_q"],
            "blocks.0.attn_out": ["transformer_blocks.0.attn1.to_out.0"],
            "blocks.0.ff_proj": ["transformer_blocks.0.ff.net.0.proj"],
            "norm_out.linear": ["norm_out.linear"],
        },
    ),
}  # fmt: skip
"""Models of the host, cut down, and what their weights are made of. The order of the rows is read from diffusers'
`loaders/single_file_utils.py` and `scripts/convert_*_to_diffusers.py`."""


def height(weight: Any, parts: Sequence[str], index: int, name: str) -> int:
    """Rows of a part: Lumina 2's and the single blocks' parts are not equal."""
    rows, width = weight.shape[:2]
    if name == "lumina2" and len(parts) == 3:
        return (96, 32, 32)[index]
    if len(parts) == 4:
        return width if index < 3 else rows - 3 * width
    return rows // len(parts)


@pytest.mark.parametrize("name", CUT)
def test_modules_land_on_their_rows(comfy: Any, lora_folder: Path, name: str) -> None:
    import torch
    from safetensors.torch import load_file

    config, truth = CUT[name]
    if layouts.host_class(comfy, name) is None:
        pytest.skip(f"this host has no {layouts.models()[name]['class']}")
    entry = layouts.models()[name]
    patcher = of_class(comfy, entry["class"], {**entry["config"], **config}, layouts.beside(name))
    base = patched(patcher)
    modules: dict[str, tuple[int, ...]] = {}
    for key, names in truth.items():
        weight = base[f"diffusion_model.{key}.weight"]
        parts = [part for part in names if part != SWAPPED]
        for i, part in enumerate(parts):
            modules[f"transformer.{part}"] = (height(weight, parts, i, name), *weight.shape[1:])
    write_lora(lora_folder / "d.safetensors", modules, seed=3)
    file = load_file(lora_folder / "d.safetensors")

    def delta(part: str) -> Any:
        stem = f"transformer.{part}"
        return file[f"{stem}.lora_up.weight"] @ file[f"{stem}.lora_down.weight"] * (2 / 4)

    expected = dict(base)
    for key, names in truth.items():
        change = torch.cat([delta(part) for part in names if part != SWAPPED])
        if SWAPPED in names:
            change = torch.cat(change.chunk(2)[::-1])
        expected[f"diffusion_model.{key}.weight"] = base[f"diffusion_model.{key}.weight"] + change
    applied = apply(patcher, None, "<lora:d>")
    assert f"{len(modules)} of {len(modules)} modules" in str(applied.report)
    ours = patched(applied.model)
    for key, value in ours.items():
        assert torch.allclose(value, expected[key], rtol=1e-5, atol=1e-5), key


def test_a_gate_and_its_values_apart(comfy: Any, lora_folder: Path) -> None:
    """Ovis-Image: diffusers has one projection where the host has two."""
    import torch

    entry, (config, _) = layouts.models()["ovis-image"], CUT["ovis-image"]
    patcher = of_class(comfy, entry["class"], {**entry["config"], **config})
    write_lora(lora_folder / "d.safetensors", {"transformer.transformer_blocks.0.ff.net.0.proj": (512, 64)}, seed=3)
    from safetensors.torch import load_file

    file = load_file(lora_folder / "d.safetensors")
    stem = "transformer.transformer_blocks.0.ff.net.0.proj"
    change = file[f"{stem}.lora_up.weight"] @ file[f"{stem}.lora_down.weight"] / 2
    base, ours = patched(patcher), patched(apply(patcher, None, "<lora:d>").model)
    mlp = "diffusion_model.double_blocks.0.img_mlp."
    torch.testing.assert_close(ours[mlp + "up_proj.weight"], base[mlp + "up_proj.weight"] + change[:256])
    torch.testing.assert_close(ours[mlp + "gate_proj.weight"], base[mlp + "gate_proj.weight"] + change[256:])


@pytest.mark.parametrize(
    ("module", "key", "part"),
    [
        ("transformer_blocks.3.attn1.to_k", "blocks.3.attn.qkv_x.weight", (0, 3072, 3072)),
        ("transformer_blocks.3.attn1.add_v_proj", "blocks.3.attn.qkv_y.weight", (0, 6144, 3072)),
        ("transformer_blocks.3.ff.net.0.proj", "blocks.3.mlp_x.w1.weight", SWAPPED),
        ("transformer_blocks.47.norm1_context.linear_1", "blocks.47.mod_y.weight", None),
        ("norm_out.linear", "final_layer.mod.weight", SWAPPED),
    ],
)
def test_mochi_whose_widths_are_fixed(comfy: Any, module: str, key: str, part: Any) -> None:
    from lora_deck.patching.keymap import key_map

    made = layouts.diffusion_model(comfy, "mochi")
    target = key_map("unet", made).find(f"transformer.{module}", "weight")
    assert target is not None and target.key == f"diffusion_model.{key}"
    assert target.offset == (part if isinstance(part, tuple) else None)
    assert (target.function is comfy.utils.swap_scale_shift) == (part == SWAPPED)


@pytest.mark.parametrize("name", layouts.diffusers())
def test_every_module_of_diffusers_leads_to_its_rows(comfy: Any, name: str) -> None:
    from lora_deck.patching.keymap import key_map, target_shape
    from lora_deck.patching.parameters import Parameters

    made = model(comfy, name.partition(" ")[0])
    names = key_map("unet", made)
    rows: dict[str, int] = {}
    wrong: list[str] = []
    for module, shape in layouts.diffusers()[name].items():
        prefix = "unet." if "UNet" in name else "transformer."
        found = names.find(prefix + module, "weight")
        targets = [found] if found is not None else list(names.find_rows(prefix + module, "weight"))
        shapes = [target_shape(Parameters(made), target) for target in targets]
        if not targets or sum(each[0] for each in shapes) != shape[0] or shapes[0][1:2] != shape[1:2]:
            wrong.append(f"{module} {shape} → {[(t.key, s) for t, s in zip(targets, shapes, strict=True)]}")
        for target, each in zip(targets, shapes, strict=True):
            rows[target.key] = rows.get(target.key, 0) + each[0]
    assert not wrong, f"{len(wrong)}: {wrong[:5]}"
    sizes = {key: tuple(comfy.utils.get_attr(made, key).shape) for key in rows}
    twice = [key for key, count in rows.items() if count > sizes[key][0]]
    assert not twice, f"weights that two modules claim: {twice[:5]}"


def test_a_rename_leads_nowhere_in_another_architecture(comfy: Any) -> None:
    from lora_deck.patching.keymap import key_map

    names = key_map("unet", layouts.diffusion_model(comfy, "sd15"))
    for module in (
        "transformer.blocks.0.attn1.to_q",
        "transformer.transformer_blocks.0.attn1.to_q",
        "double_blocks.0.processor.qkv_lora1",
        "lora_unet_blocks_0_ffn_0",
    ):
        assert names.find(module, "weight") is None and names.find_rows(module, "weight") == ()


def test_diffusers_counts_the_norms_of_hunyuan_dit_otherwise(comfy: Any) -> None:
    from lora_deck.patching.keymap import key_map

    names = key_map("unet", layouts.diffusion_model(comfy, "hunyuan-dit"))
    for module, key in (
        ("transformer.blocks.0.norm2", "blocks.0.norm3"),
        ("transformer.blocks.0.norm3", "blocks.0.norm2"),
        ("lora_unet_blocks_0_norm2", "blocks.0.norm2"),
        ("base_model.model.blocks.0.norm3", "blocks.0.norm3"),
    ):
        target = names.find(module, "weight")
        assert target is not None and target.key == f"diffusion_model.{key}.weight"


@pytest.mark.parametrize("prefix", ["", "pipe.dit.", "diffusion_model."])
@pytest.mark.parametrize("family", ["lora", "dora"])
@pytest.mark.parametrize("method", ["patch", "live"])
def test_heads_that_keep_q_k_and_v_together(
    comfy: Any, lora_folder: Path, prefix: str, family: str, method: Any
) -> None:
    """MiniMax H3: DiffSynth's rows go head by head (`qkv.view(total, heads, 3, size)`), the host's do not."""
    import torch
    from safetensors.torch import load_file, save_file

    config, _ = CUT["minimax-h3"]
    entry = layouts.models()["minimax-h3"]
    patcher = of_class(comfy, entry["class"], {**entry["config"], **config})
    module = f"{prefix}blocks.0.attn.qkv_proj"
    file = lora_folder / "d.safetensors"
    write_lora(file, {module: (3 * 6 * 16, 64)}, seed=3)
    tensors = load_file(file)
    if family == "dora":
        tensors[f"{module}.dora_scale"] = torch.rand(3 * 6 * 16, 1, generator=torch.Generator().manual_seed(4)) + 0.5
        save_file(tensors, file)
    key = "diffusion_model.blocks.0.attn.qkv_proj.weight"
    base = patched(patcher)[key]

    def by_head(weight: Any) -> Any:
        return weight.reshape(3, 6, 16, -1).transpose(0, 1).reshape(weight.shape)

    def by_kind(weight: Any) -> Any:
        return weight.reshape(6, 3, 16, -1).transpose(0, 1).reshape(weight.shape)

    in_turn = prefix != "diffusion_model."
    changed = by_head(base) if in_turn else base
    changed = changed + tensors[f"{module}.lora_up.weight"] @ tensors[f"{module}.lora_down.weight"] / 2
    if family == "dora":
        changed = changed * (tensors[f"{module}.dora_scale"] / changed.norm(dim=1, keepdim=True))
    expected = by_kind(changed) if in_turn else changed
    applied = apply(patcher, None, "<lora:d>", method=method).model
    if method == "patch":
        torch.testing.assert_close(patched(applied)[key], expected, rtol=1e-5, atol=1e-5)
        return
    from .live import sampling as s

    layer = patcher.model.diffusion_model.blocks[0].attn.qkv_proj
    x = torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(5))
    got = s.inside(applied, lambda: layer(x))
    torch.testing.assert_close(got, x @ expected.mT, rtol=1e-4, atol=1e-4)
