"""Block weights through the host's patcher: only the named blocks change, by their weight."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lora_deck.stack.block_weights import BlockWeightError

from .conftest import patched
from .test_apply import CLIP_MODULES, apply, write_lora

MODULES = {
    "lora_unet_input_blocks_0_0": (320, 4, 3, 3),
    "lora_unet_input_blocks_1_0_in_layers_2": (320, 320, 3, 3),
    "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q": (320, 320),
    "lora_unet_input_blocks_1_1_transformer_blocks_0_ff_net_2": (320, 1280),
    "lora_unet_middle_block_1_proj_in": (320, 320, 1, 1),
    "lora_unet_output_blocks_0_0_in_layers_2": (320, 640, 3, 3),
    "lora_unet_output_blocks_1_1_transformer_blocks_0_attn2_to_k": (320, 768),
    "lora_unet_time_embed_0": (1280, 320),
    "lora_unet_out_2": (4, 320, 3, 3),
}


@pytest.fixture
def lora(lora_folder: Path) -> Path:
    write_lora(lora_folder / "a.safetensors", {**MODULES, **CLIP_MODULES}, seed=1)
    return lora_folder


def change(applied: Any, base: dict[str, Any], side: str = "unet") -> dict[str, Any]:
    """Weight key → its change, for those that changed."""
    import torch

    patcher = applied.model if side == "unet" else applied.clip.patcher
    return {k: v - base[k] for k, v in patched(patcher).items() if not torch.equal(v, base[k])}


def test_none_leaves_every_byte(make_model: Callable[..., Any], make_clip: Callable[..., Any], lora: Path) -> None:
    model, clip = make_model(), make_clip()
    applied = apply(model, clip, "<lora:a:lbw=NONE>")
    assert applied.model.patches_uuid == model.patches_uuid and not applied.model.patches
    assert applied.clip.patcher.patches_uuid == clip.patcher.patches_uuid and not applied.clip.patcher.patches


@pytest.mark.parametrize(
    ("blocks", "prefixes"),
    [
        ("IN01,PRE=0,POST=0", ["input_blocks.1."]),
        ("M00,PRE=0,POST=0", ["middle_block."]),
        ("OUT00-OUT01,PRE=0,POST=0", ["output_blocks."]),
        ("M00=0,PRE", ["time_embed.", "out."]),
        ("0,0,1,0,0,0", ["input_blocks.1.", "time_embed.", "out."]),
        ("ALL", ["input_blocks.", "middle_block.", "output_blocks.", "time_embed.", "out."]),
    ],
)
def test_only_the_named_blocks_change(
    make_model: Callable[..., Any], lora: Path, blocks: str, prefixes: list[str]
) -> None:
    import torch

    model = make_model()
    base = patched(model)
    full = change(apply(model, None, "<lora:a>"), base)
    assert len(full) == len(MODULES)
    expected = {k: v for k, v in full.items() if k.removeprefix("diffusion_model.").startswith(tuple(prefixes))}
    got = change(apply(model, None, f"<lora:a:lbw={blocks}>"), base)
    assert got.keys() == expected.keys() and all(torch.equal(got[k], expected[k]) for k in got)


def test_a_blocks_value_multiplies_the_weight(make_model: Callable[..., Any], lora: Path) -> None:
    import torch

    model = make_model()
    base = patched(model)
    got = change(apply(model, None, "<lora:a:0.5:lbw=IN01=0.5,ALL=1,IN01=0.5>"), base)
    half, quarter = (change(apply(model, None, f"<lora:a:{w}>"), base) for w in ("0.5", "0.25"))
    for key, value in got.items():
        assert torch.equal(value, (quarter if "input_blocks.1." in key else half)[key])


def test_base_is_the_text_encoder(make_model: Callable[..., Any], make_clip: Callable[..., Any], lora: Path) -> None:
    import torch

    model, clip = make_model(), make_clip()
    base = patched(clip.patcher)
    got = change(apply(model, clip, "<lora:a:lbw=ALL,BASE=0.5>"), base, "te")
    expected = change(apply(model, clip, "<lora:a:0.5>"), base, "te")
    assert got.keys() == expected.keys() and all(torch.equal(got[k], expected[k]) for k in got)
    alone = apply(None, clip, "<lora:a:lbw=0.5,0,0,0,0,0,0,0,0,0,0,0>")
    got = change(alone, base, "te")
    assert all(torch.equal(got[k], expected[k]) for k in expected)


def test_elements(make_model: Callable[..., Any], lora: Path) -> None:
    model = make_model()
    base = patched(model)
    keys = change(apply(model, None, r"<lora:a:lbw=NONE:lbwe=IN01\:attn1\:1>"), base)
    assert list(keys) == ["diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight"]
    keys = change(apply(model, None, r"<lora:a:lbwe=\:attn proj\:0>"), base)
    assert len(keys) == 6 and not any("attn" in key or "proj" in key for key in keys)


def test_user_presets(make_model: Callable[..., Any], lora: Path, tmp_path: Path) -> None:
    model = make_model()
    with pytest.raises(BlockWeightError, match=r"a: 'A' is no block weight preset.*block_presets\.txt"):
        apply(model, None, "<lora:a:lbw=A:0.8>")
    folder = tmp_path / "user" / "__lora_deck"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "block_presets.txt").write_text("A:0,1,0,0,0,0\n", encoding="utf-8")
    (folder / "element_presets.txt").write_text("E:IN01:attn1:0.5\n", encoding="utf-8")
    first = apply(model, None, "<lora:a:lbw=A:0.8:lbwe=E>")
    assert "blocks A: IN00 1" in str(first.report) and len(first.presets) == 2
    (folder / "block_presets.txt").write_text("A:0,0,0,0,0,0.25\n", encoding="utf-8")
    again = apply(model, None, "<lora:a:lbw=A:0.8:lbwe=E>")
    assert "blocks A: OUT01 0.25" in str(again.report) and again.presets != first.presets
    (folder / "block_presets.txt").write_bytes(b"A:\xff\xfe\x00")
    with pytest.raises(Exception, match=r"block_presets\.txt"):
        apply(model, None, "<lora:a:lbw=A:0.8>")


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("<lora:a:lbw=1,0,1>", "3 numbers.*IN00–IN01"),
        ("<lora:a:lbw=L00>", "IN00–IN01"),
        ("<lora:a:lbwe=NOPE>", "ATTNDEEPON"),
    ],
)
def test_what_means_nothing_here_is_an_error(make_model: Callable[..., Any], lora: Path, tag: str, said: str) -> None:
    with pytest.raises(BlockWeightError, match=said):
        apply(make_model(), None, tag)
    assert apply(make_model(), None, tag.replace(":lb", ":0:lb")).model is not None


def test_the_same_blocks_under_another_name_are_the_same_result(make_model: Callable[..., Any], lora: Path) -> None:
    model = make_model()
    first = apply(model, None, "<lora:a:lbw=IN00-IN01>")
    assert apply(model, None, "<lora:a:lbw=in1,in0>").model.patches_uuid == first.model.patches_uuid
    assert apply(model, None, "<lora:a:lbw=IN00>").model.patches_uuid != first.model.patches_uuid


SDXL = {
    "use_checkpoint": False, "image_size": 32, "out_channels": 4, "use_spatial_transformer": True, "legacy": False,
    "in_channels": 4, "model_channels": 32, "use_temporal_attention": False, "use_temporal_resblock": False,
    "num_classes": "sequential", "adm_in_channels": 64, "num_res_blocks": [2, 2, 2],
    "transformer_depth": [0, 0, 2, 2, 10, 10], "channel_mult": [1, 2, 4], "transformer_depth_middle": 10,
    "use_linear_in_transformer": True, "context_dim": 64, "num_head_channels": 16,
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
}  # fmt: skip
"""SDXL's blocks, each a tenth as wide."""
FLUX = {
    "image_model": "flux", "in_channels": 16, "out_channels": 16, "patch_size": 2, "vec_in_dim": 24,
    "context_in_dim": 32, "hidden_size": 32, "mlp_ratio": 4.0, "num_heads": 2, "depth": 19, "depth_single_blocks": 38,
    "axes_dim": [4, 6, 6], "txt_ids_dims": [], "theta": 10000, "qkv_bias": True, "guidance_embed": False,
}  # fmt: skip
"""Flux' blocks, narrow."""


def of_class(comfy: Any, name: str, config: dict[str, Any], beside: dict[str, Any] | None = None) -> Any:
    import comfy.supported_models
    import torch

    from .conftest import _fill

    model_config = getattr(comfy.supported_models, name)(dict(config))
    model_config.set_inference_dtype(torch.float32, None)
    cpu = torch.device("cpu")
    model = model_config.get_model(beside or {}, "", device=cpu)
    _fill(model, torch.float32)
    return comfy.model_patcher.ModelPatcher(model, load_device=cpu, offload_device=cpu)


@pytest.mark.parametrize(
    ("name", "config", "modules", "blocks", "prefix", "count"),
    [
        (
            "SDXL", SDXL,
            {
                "lora_unet_input_blocks_4_1_transformer_blocks_1_attn2_to_q": (64, 64),
                "lora_unet_down_blocks_2_attentions_0_transformer_blocks_9_attn1_to_k": (128, 128),
                "lora_unet_mid_block_attentions_0_transformer_blocks_3_attn1_to_k": (128, 128),
                "lora_unet_up_blocks_0_attentions_1_proj_in": (128, 128),
                "lora_unet_up_blocks_1_attentions_2_proj_in": (64, 64),
            },
            ("IN04", "IN07", "M00", "OUT01", "OUT05"),
            ("input_blocks.4.", "input_blocks.7.", "middle_block.", "output_blocks.1.", "output_blocks.5."),
            5,
        ),
        (
            "Flux", FLUX,
            {
                "lora_unet_double_blocks_7_img_attn_qkv": (96, 32),
                "transformer.transformer_blocks.18.attn.add_q_proj": (32, 32),
                "transformer.single_transformer_blocks.7.attn.to_k": (32, 32),
                "lora_unet_single_blocks_37_linear2": (32, 160),
            },
            ("D07", "D18", "S07", "S37"),
            ("double_blocks.7.", "double_blocks.18.", "single_blocks.7.", "single_blocks.37."),
            4,
        ),
    ],
)  # fmt: skip
def test_blocks_of_sdxl_and_flux_names(
    comfy: Any,
    lora_folder: Path,
    name: str,
    config: dict[str, Any],
    modules: dict[str, tuple[int, ...]],
    blocks: tuple[str, ...],
    prefix: tuple[str, ...],
    count: int,
) -> None:
    import torch

    write_lora(lora_folder / "x.safetensors", modules, seed=3)
    model = of_class(comfy, name, config)
    base = patched(model)
    full = change(apply(model, None, "<lora:x>"), base)
    assert len(full) == count
    for block, start in zip(blocks, prefix, strict=True):
        got = change(apply(model, None, f"<lora:x:lbw={block}>"), base)
        assert [k.removeprefix("diffusion_model.").startswith(start) for k in got] == [True]
        assert all(torch.equal(full[k], v) for k, v in got.items())
    assert not apply(model, None, "<lora:x:lbw=NONE>").model.patches


def test_without_a_model_text_encoders_still_have_their_weight(make_clip: Callable[..., Any], lora: Path) -> None:
    import torch

    clip = make_clip()
    base = patched(clip.patcher)
    whole = change(apply(None, clip, "<lora:a>"), base, "te")
    half = change(apply(None, clip, "<lora:a:0.5>"), base, "te")
    for tag, expected in (("L00-L10=0.5", whole), ("L00-L10,BASE=0.5", half), ("D19", whole)):
        applied = apply(None, clip, f"<lora:a:lbw={tag}>")
        got = change(applied, base, "te")
        assert all(torch.equal(got[k], v) for k, v in expected.items())
        assert "is read for text encoders alone" in str(applied.report)
