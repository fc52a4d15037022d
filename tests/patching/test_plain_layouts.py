"""Files of one trainer and rank are read once by rule; their own numbers count all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import patched
from .test_apply import CLIP_MODULES, UNET_MODULES, apply, write_lora
from .test_files import save

MODULES = {**UNET_MODULES, **CLIP_MODULES}
TO_Q = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch, comfy: Any) -> Iterator[list[Any]]:
    """The modules of each file that was not read by rule."""
    from lora_deck.patching import open as opening
    from lora_deck.patching.plain import PlainLayout

    opening._files.clear()
    opening._layouts.clear()
    found: list[Any] = []
    layouts: set[Any] = set()
    fill = PlainLayout.fill

    def watched(self: Any, file: Any) -> Any:
        made = fill(self, file)
        if self in layouts:
            found.append(made.modules if made is not None else None)
        layouts.add(self)
        return made

    monkeypatch.setattr(PlainLayout, "fill", watched)
    yield found


def compare(model: Any, clip: Any, prompt: str, filled: list[Any], count: int) -> Any:
    """What applying gives, with `count` files filled in: the weights of each file read by rule, one after the other."""
    import torch
    from lora_deck.patching import match
    from lora_deck.patching import open as opening

    # The host takes a text encoder that it has just made for one that is loaded.
    clip.patcher.unpatch_model()
    applied = apply(model, clip, prompt)
    assert len(filled) == count
    weights = {**patched(applied.model), **patched(applied.clip.patcher)}
    opening._files.clear()
    match._matchings.clear()
    for tag in prompt.split():
        opening._layouts.clear()
        alone = apply(model, clip, tag)
        model, clip = alone.model, alone.clip
    assert len(filled) == count and set(model.patches) | set(clip.patcher.patches) <= weights.keys()
    for key, value in {**patched(model), **patched(clip.patcher)}.items():
        torch.testing.assert_close(weights[key], value, rtol=2e-6, atol=1e-6)
    return applied


def test_alphas_and_factors_are_each_files_own(
    make_model: Callable[..., Any], make_clip: Callable[..., Any], lora_folder: Path, filled: list[Any]
) -> None:
    for i, alpha in enumerate((2.0, 8.0, 0.0, 0.5)):
        write_lora(lora_folder / f"l{i}.safetensors", MODULES, seed=i, alpha=alpha)
    prompt = " ".join(f"<lora:l{i}:{0.3 + 0.2 * i:g}>" for i in range(4))
    applied = compare(make_model(), make_clip(), prompt, filled, 3)
    modules = filled[1].modules
    assert {m.parameters["weight"].scale for m in modules.values()} == {1.0}
    assert {m.parameters["weight"].scale for m in filled[2].modules.values()} == {0.125}
    report = str(applied.report)
    assert report.count("6 lora, rank 4; 6 of 6 modules, 4 in the model, 2 in the text encoder") == 4


def test_bf16_alphas_and_other_metadata(
    make_model: Callable[..., Any], make_clip: Callable[..., Any], lora_folder: Path, filled: list[Any]
) -> None:
    import torch
    from safetensors.torch import load_file

    for i in range(2):
        write_lora(lora_folder / f"b{i}.safetensors", MODULES, seed=i, alpha=3.0 + i)
        tensors = {k: v.to(torch.bfloat16) for k, v in load_file(lora_folder / f"b{i}.safetensors").items()}
        save(lora_folder / f"b{i}.safetensors", tensors, {"ss_output_name": "one" * (i + 1), "note": '"data_offsets"'})
    compare(make_model(), make_clip(), "<lora:b0> <lora:b1:0.5>", filled, 1)


def test_a_broken_number_in_the_second_file_is_named(
    make_model: Callable[..., Any], lora_folder: Path, filled: list[Any]
) -> None:
    from safetensors.torch import load_file

    for name in ("good", "alpha", "value"):
        write_lora(lora_folder / f"{name}.safetensors", UNET_MODULES, seed=1)
    for name, key in (("alpha", "alpha"), ("value", "lora_up.weight")):
        tensors = load_file(lora_folder / f"{name}.safetensors")
        tensors[f"{TO_Q}.{key}"].view(-1)[0] = float("nan")
        save(lora_folder / f"{name}.safetensors", tensors)
    model = make_model()
    whole = apply(model, None, "<lora:good>").model.patches.keys()
    for name in ("alpha", "value"):
        applied = apply(model, None, f"<lora:good:0> <lora:{name}>")
        assert f"{name}.safetensors: {TO_Q} left out" in str(applied.report)
        assert len(applied.model.patches) == len(whole) - 1


def test_settings_beside_the_tensors_are_read(
    make_model: Callable[..., Any], lora_folder: Path, filled: list[Any]
) -> None:
    """PEFT's alpha is in the header or in a file beside; such a file shares its table and not its scale."""
    import torch

    write_lora(lora_folder / "bare.safetensors", UNET_MODULES, seed=1, alpha=None)
    from safetensors.torch import load_file

    save(
        lora_folder / "peft.safetensors",
        load_file(lora_folder / "bare.safetensors"),
        {"lora_alpha": "8", "r": "4"},
    )
    model = make_model()
    bare = patched(apply(model, None, "<lora:bare>").model)
    peft = patched(apply(model, None, "<lora:peft:0.5>").model)
    assert not filled
    assert all(torch.allclose(peft[key], value, atol=1e-6) for key, value in bare.items())


def test_another_strength_keeps_what_was_before_and_no_more(
    comfy: Any, make_model: Callable[..., Any], lora_folder: Path
) -> None:
    """A strength change exchanges the pack's own change in the host's lists."""
    import torch

    for i in range(2):
        write_lora(lora_folder / f"s{i}.safetensors", UNET_MODULES, seed=i)
    model = make_model()
    key = "diffusion_model.input_blocks.1.1.proj_in.weight"
    model.add_patches({key: (torch.ones_like(model.model.state_dict()[key]),)}, 0.25)
    first = apply(model, None, "<lora:s0:0.5> <lora:s1>").model
    second = apply(model, None, "<lora:s0:0.7> <lora:s1>").model
    third = apply(make_model(), None, "<lora:s0:0.7> <lora:s1>").model
    assert len(second.patches[key]) == 2 and second.patches[key][0] is first.patches[key][0]
    assert second.patches_uuid not in (first.patches_uuid, model.patches_uuid)
    expected, got, older = patched(third), patched(second), patched(first)
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value + 0.25 if name == key else value, rtol=0, atol=1e-6)
    assert any(not torch.equal(older[name], got[name]) for name in expected)
    # Weights that a block weight of zero leaves out have no change at all.
    fewer = apply(model, None, "<lora:s0:0.7:lbw=OUTALL> <lora:s1:0:0>").model
    assert len(fewer.patches.get(key, ())) == 1
    again = apply(model, None, "<lora:s0:0.9> <lora:s1>").model
    assert again.patches.keys() == second.patches.keys()
