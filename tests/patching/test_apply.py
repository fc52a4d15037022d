"""Applying plain LoRAs through the real host's patcher, against the host's own loader chain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lora_deck.stack.errors import LoraFileError, MissingLorasError
from lora_deck.stack.tag import parse_prompt

from .conftest import patched

UNET_MODULES = {
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q": (320, 320),
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k": (320, 768),
    "lora_unet_input_blocks_1_1_proj_in": (320, 320, 1, 1),
    "lora_unet_down_blocks_0_resnets_0_conv1": (320, 320, 3, 3),
}
CLIP_MODULES = {
    "lora_te_text_model_encoder_layers_0_self_attn_q_proj": (64, 64),
    "lora_te_text_model_encoder_layers_1_mlp_fc1": (128, 64),
}


def write_lora(
    path: Path, modules: dict[str, tuple[int, ...]], seed: int, rank: int = 4, alpha: float | None = 2
) -> None:
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, (out, inner, *kernel) in modules.items():
        tensors[f"{name}.lora_up.weight"] = torch.randn(out, rank, *[1] * len(kernel), generator=generator) * 0.1
        tensors[f"{name}.lora_down.weight"] = torch.randn(rank, inner, *kernel, generator=generator) * 0.1
        if alpha is not None:
            tensors[f"{name}.alpha"] = torch.tensor(float(alpha))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)


@pytest.fixture
def two_loras(lora_folder: Path) -> Path:
    write_lora(lora_folder / "a.safetensors", {**UNET_MODULES, **CLIP_MODULES}, seed=1)
    write_lora(lora_folder / "sub" / "b.safetensors", {**UNET_MODULES, **CLIP_MODULES}, seed=2, rank=8, alpha=None)
    return lora_folder


def host_chain(comfy: Any, model: Any, clip: Any, files: list[tuple[Path, float, float]]) -> tuple[Any, Any]:
    for path, te, unet in files:
        lora = comfy.utils.load_torch_file(str(path), safe_load=True)
        model, clip = comfy.sd.load_lora_for_models(model, clip, lora, unet, te)
    return model, clip


def apply(model: Any, clip: Any, prompt: str, **options: Any) -> Any:
    from lora_deck.patching import apply_stack

    return apply_stack(model, clip, parse_prompt(prompt).stack, **options)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_up_to_three_loras_have_the_bits_of_the_hosts_chain(
    comfy: Any, make_model: Callable[..., Any], make_clip: Callable[..., Any], two_loras: Path, dtype: str, count: int
) -> None:
    import torch

    model, clip = make_model(getattr(torch, dtype)), make_clip(getattr(torch, dtype))
    chain = [("a", 0.5, 0.75), ("b", -0.25, 1.5), ("a", 1.0, -0.125)][:count]
    applied = apply(model, clip, "".join(f"<lora:{name}:{te}:{unet}>" for name, te, unet in chain))
    paths = {"a": two_loras / "a.safetensors", "b": two_loras / "sub" / "b.safetensors"}
    host_model, host_clip = host_chain(comfy, model, clip, [(paths[name], te, unet) for name, te, unet in chain])
    for ours, theirs, base in (
        (applied.model, host_model, patched(model)), (applied.clip.patcher, host_clip.patcher, patched(clip.patcher)),
    ):  # fmt: skip
        expected, got = patched(theirs), patched(ours)
        assert sum(not torch.equal(base[key], expected[key]) for key in base) >= 2
        assert all(torch.equal(expected[key], got[key]) for key in base)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_stack_is_the_hosts_chain_to_one_rounding_and_no_further_from_the_truth(
    comfy: Any, make_model: Callable[..., Any], lora_folder: Path, dtype: str
) -> None:
    """Both round to the storage type once; before that the chain has rounded its sum in fp32 once per LoRA."""
    import torch
    from safetensors.torch import load_file

    kind = getattr(torch, dtype)
    weights = [0.7, -0.45, 1.1, 0.3]
    for i in range(4):
        write_lora(lora_folder / f"{i}.safetensors", UNET_MODULES, seed=20 + i, rank=4 * (i + 1), alpha=3)
    model = make_model(kind)
    files = [(lora_folder / f"{i}.safetensors", 0.0, weight) for i, weight in enumerate(weights)]
    theirs = patched(host_chain(comfy, model, None, files)[0])
    ours = patched(apply(model, None, "".join(f"<lora:{i}:{w}>" for i, w in enumerate(weights))).model)
    base = patched(model)
    names = comfy.lora.model_lora_keys_unet(model.model, {})
    distances = {"ours": 0.0, "theirs": 0.0}
    for module in UNET_MODULES:
        key = names[module]
        delta = torch.zeros(base[key].shape, dtype=torch.float64)
        summed = base[key].double().abs()
        for (path, _, _), weight in zip(files, weights, strict=True):
            up, down = (load_file(path)[f"{module}.lora_{part}.weight"].double() for part in ("up", "down"))
            scale = weight * 3 / len(down)
            delta += scale * (up.flatten(1) @ down.flatten(1)).reshape(delta.shape)
            summed += abs(scale) * (up.abs().flatten(1) @ down.abs().flatten(1)).reshape(delta.shape)
        truth = base[key].double() + delta
        step = 8 * torch.finfo(torch.float32).eps * summed
        if kind != torch.float32:
            # From one number of the type to the next.
            step += torch.finfo(kind).eps * torch.maximum(ours[key].double().abs(), theirs[key].double().abs())
            step += torch.finfo(kind).smallest_normal * torch.finfo(kind).eps
        assert bool(((ours[key].double() - theirs[key].double()).abs() <= step).all())
        distances["ours"] += float((ours[key].double() - truth).norm() ** 2)
        distances["theirs"] += float((theirs[key].double() - truth).norm() ** 2)
    unchanged = set(base) - {names[module] for module in UNET_MODULES}
    assert all(torch.equal(ours[key], base[key]) for key in unchanged)
    # Where both round once to 8 or 11 bits, the order of sums in fp32 shows in the sixth digit.
    assert distances["ours"] <= distances["theirs"] * (1 if kind == torch.float32 else 1 + 1e-5)


def test_inputs_stay_unpatched(make_model: Callable[..., Any], make_clip: Callable[..., Any], two_loras: Path) -> None:
    model, clip = make_model(), make_clip()
    before = model.patches_uuid, clip.patcher.patches_uuid
    applied = apply(model, clip, "<lora:a>")
    assert (model.patches_uuid, clip.patcher.patches_uuid) == before
    assert not model.patches and not clip.patcher.patches
    assert applied.model.patches and applied.clip.patcher.patches


def test_an_empty_stack_and_zero_weights_leave_the_uuid(
    make_model: Callable[..., Any], make_clip: Callable[..., Any], two_loras: Path
) -> None:
    model, clip = make_model(), make_clip()
    for prompt in ("", "<lora:a:0>"):
        applied = apply(model, clip, prompt)
        assert applied.model is not model and applied.model.patches_uuid == model.patches_uuid
        assert applied.clip.patcher.patches_uuid == clip.patcher.patches_uuid
    applied = apply(model, clip, "<lora:a:0:1>")
    assert applied.clip.patcher.patches_uuid == clip.patcher.patches_uuid and applied.model.patches


def test_the_same_stack_gives_the_same_uuid(
    make_model: Callable[..., Any], make_clip: Callable[..., Any], two_loras: Path
) -> None:
    import torch

    model, clip = make_model(), make_clip()
    first = apply(model, clip, "cat <lora:a:0.5><lora:b>")
    again = apply(model, clip, "dog <lora:a:0.5> runs <lora:sub/b:1>")
    assert again.model is not first.model and again.model.patches_uuid == first.model.patches_uuid
    assert again.clip.patcher.patches_uuid == first.clip.patcher.patches_uuid
    assert again.report.reused and not first.report.reused
    first_weights = patched(first.model)
    del first
    assert all(torch.equal(v, first_weights[k]) for k, v in patched(again.model).items())
    for other in ("<lora:b><lora:a:0.5>", "<lora:a:0.6><lora:b>"):
        assert apply(model, clip, other).model.patches_uuid != again.model.patches_uuid
    only_unet = apply(model, clip, "<lora:a:0.5:0.9><lora:b>")
    assert only_unet.clip.patcher.patches_uuid == again.clip.patcher.patches_uuid
    assert only_unet.model.patches_uuid != again.model.patches_uuid


def test_a_replaced_file_gives_another_result(make_model: Callable[..., Any], two_loras: Path) -> None:
    import torch

    model = make_model()
    first = apply(model, None, "<lora:a>")
    old = patched(first.model)
    write_lora(two_loras / "a.safetensors", UNET_MODULES, seed=9)
    second = apply(model, None, "<lora:a>")
    assert second.model.patches_uuid != first.model.patches_uuid
    assert any(not torch.equal(v, old[k]) for k, v in patched(second.model).items())


def test_a_base_with_patches_of_its_own_is_another_base(
    comfy: Any, make_model: Callable[..., Any], two_loras: Path
) -> None:
    import torch

    model = make_model()
    apply(model, None, "<lora:a>")
    other, _ = host_chain(comfy, model, None, [(two_loras / "sub/b.safetensors", 1, 1)])
    ours = apply(other, None, "<lora:a>").model
    theirs, _ = host_chain(comfy, other, None, [(two_loras / "a.safetensors", 1, 1)])
    expected = patched(theirs)
    assert all(torch.equal(v, expected[k]) for k, v in patched(ours).items())


def test_missing_is_an_error_that_names_tag_and_neighbours(make_model: Callable[..., Any], two_loras: Path) -> None:
    write_lora(two_loras / "ink_wash.safetensors", UNET_MODULES, seed=3)
    with pytest.raises(MissingLorasError, match=r"<lora:ink_wish:0.5>.*ink_wash"):
        apply(make_model(), None, "<lora:ink_wish:0.5><lora:a>")
    applied = apply(make_model(), None, "<lora:ink_wish:0.5><lora:a>", missing="warn")
    assert [entry.name for entry, _ in applied.left_out] == ["ink_wish"] and len(applied.files) == 1
    assert "ink_wish" in str(applied.report)
    told = applied.report.to_json()
    (left,) = told["left_out"]
    assert left["tag"] == "<lora:ink_wish:0.5>" and "ink_wash" in left["reason"]
    assert told["notes"] == [] and [file["name"] for file in told["files"]] == ["a.safetensors"]


def test_a_file_for_another_model_says_what_it_looks_like(make_model: Callable[..., Any], lora_folder: Path) -> None:
    write_lora(lora_folder / "f.safetensors", {"lora_unet_double_blocks_0_img_attn_qkv": (9216, 3072)}, seed=1)
    with pytest.raises(LoraFileError, match=r"0 of its 1 modules .* for Flux, Chroma or Flux 2, and this model is SD1"):
        apply(make_model(), None, "<lora:f>")


def test_a_wrong_shape_is_named(make_model: Callable[..., Any], lora_folder: Path) -> None:
    wrong = {"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k": (320, 2048)}
    write_lora(lora_folder / "xl.safetensors", {**UNET_MODULES, **wrong}, seed=1)
    with pytest.raises(LoraFileError, match=r"a LoRA for SDXL, and this model is SD1"):
        apply(make_model(), None, "<lora:xl>")
    wrong = {"lora_unet_mid_block_attentions_0_proj_in": (64, 64, 1, 1)}
    write_lora(lora_folder / "odd.safetensors", {**UNET_MODULES, **wrong}, seed=1)
    report = str(apply(make_model(), None, "<lora:odd>").report)
    assert "mid_block_attentions_0_proj_in left out" in report


@pytest.mark.parametrize("content", [b"", b"\x10\0\0\0\0\0\0\0{", b"<html>" * 20, b"\xff" * 64])
def test_a_broken_file_is_named(make_model: Callable[..., Any], lora_folder: Path, content: bytes) -> None:
    (lora_folder / "broken.safetensors").write_bytes(content)
    with pytest.raises(LoraFileError, match=r"broken\.safetensors"):
        apply(make_model(), None, "<lora:broken>")
    (lora_folder / "broken.safetensors").rename(lora_folder / "broken.pt")
    with pytest.raises(LoraFileError, match=r"broken\.pt"):
        apply(make_model(), None, "<lora:broken>")


def test_prepared_patches_give_the_same_weight(comfy: Any, make_model: Callable[..., Any], two_loras: Path) -> None:
    """The host's default memory mode on NVIDIA rebuilds each patch from its tuple."""
    import torch
    from comfy.lora import calculate_weight

    if not hasattr(comfy.lora, "prefetch_prepared_value"):
        pytest.skip("this host has no such memory mode")
    prefetch_prepared_value = comfy.lora.prefetch_prepared_value

    applied = apply(make_model(), None, "<lora:a><lora:b:0.5>")
    for key, patches in applied.model.patches.items():
        base = comfy.utils.get_attr(applied.model.model, key)
        rebuilt = [(p[0], prefetch_prepared_value(p[1], [0], None, None, False), *p[2:]) for p in patches]
        assert rebuilt[0][1] is not patches[0][1]
        got = calculate_weight(rebuilt, base.detach().clone(), key)
        assert torch.equal(got, calculate_weight(patches, base.detach().clone(), key))
