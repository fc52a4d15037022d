"""A stack saved as one LoRA: the file at 1 does what the stack does, with a model and without, exact and at a rank."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lora_deck.library.place import FilenameError, relative_place
from lora_deck.stack.entry import LoraEntry
from lora_deck.stack.errors import MissingLorasError, StackNotSavedError
from lora_deck.stack.rank_limit import RankLimit
from lora_deck.stack.stack import LoraStack

from .conftest import patched
from .fidelity.case import Case
from .fidelity.measure import Bench
from .test_apply import CLIP_MODULES, UNET_MODULES, host_chain, write_lora
from .test_block_weights import FLUX, of_class
from .test_dyn_rank import CASES as LIMITED
from .test_slices import targets

Weights = dict[str, Any]
CASES = [case for case in LIMITED if "trained biases" not in case.family]
"""Trained biases replace those of the model and do not add up."""


def applied(model: Any, clip: Any, stack: LoraStack) -> Weights:
    from lora_deck.patching import apply_stack

    result = apply_stack(model, clip, stack)
    return {
        **(patched(result.model) if model is not None else {}),
        **(patched(result.clip.patcher) if clip is not None else {}),
    }


def save(stack: LoraStack, name: str = "saved", rank: int = 0, model: Any = None, clip: Any = None) -> Any:
    from lora_deck.patching.save import save_stack

    return save_stack(stack, name, rank, model, clip)


def base(model: Any, clip: Any) -> Weights:
    """The weights without patches; asked first, since the host loads a text encoder as it makes it."""
    return {**patched(model), **(patched(clip.patcher) if clip is not None else {})}


def distance(got: Weights, wanted: Weights, plain: Weights) -> float:
    """Largest relative error of a weight's change; weights that should not change must not."""
    worst = 0.0
    for key, weight in wanted.items():
        change = (weight.double() - _fitted(plain[key], weight)).norm()
        error = float((got[key].double() - weight.double()).norm())
        assert change or not error, key
        worst = max(worst, error / float(change)) if change else worst
    return worst


def _fitted(plain: Any, weight: Any) -> Any:
    if plain.shape == weight.shape:
        return plain.double()
    wide = weight.new_zeros(weight.shape).double()
    wide[tuple(slice(0, n) for n in plain.shape)] = plain.double()
    return wide


def stack_of(*entries: LoraEntry) -> LoraStack:
    return LoraStack(entries)


@pytest.fixture
def two(lora_folder: Path) -> LoraStack:
    write_lora(lora_folder / "a.safetensors", {**UNET_MODULES, **CLIP_MODULES}, seed=1)
    write_lora(lora_folder / "sub" / "b.safetensors", {**UNET_MODULES, **CLIP_MODULES}, seed=2, rank=8, alpha=None)
    return stack_of(LoraEntry("a", 0.5, 0.75), LoraEntry("b", -0.25, 0.4, rank_limit=RankLimit("svd", rank=3)))


@pytest.fixture(scope="module")
def bench(comfy: Any, build_model: Callable[..., Any], build_clip: Callable[..., Any]) -> Bench:
    return Bench(comfy, build_model(), build_clip())


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_every_additive_family_of_the_trainers(bench: Bench, lora_folder: Path, case: Case) -> None:
    case.make(bench.layers, lora_folder, 1.0)
    names = [p.relative_to(lora_folder).with_suffix("").as_posix() for p in sorted(lora_folder.rglob("*.safetensors"))]
    write_lora(lora_folder / "z.safetensors", {**UNET_MODULES, **CLIP_MODULES}, seed=1)
    stack = stack_of(*(LoraEntry(name, 0.5, 0.7) for name in names), LoraEntry("z", 1, -0.5))
    plain, wanted = base(bench.model, bench.clip), applied(bench.model, bench.clip, stack)
    saved = save(stack, "all", model=bench.model, clip=bench.clip)
    got = applied(bench.model, bench.clip, stack_of(LoraEntry("all")))
    assert saved.name == "all.safetensors"
    assert distance(got, wanted, plain) < 1e-5


def test_weights_blocks_and_ranks_are_folded_in(
    comfy: Any, make_model: Callable[..., Any], make_clip: Callable[..., Any], two: LoraStack, lora_folder: Path
) -> None:
    from dataclasses import replace

    model, clip = make_model(), make_clip()
    stack = LoraStack((replace(two.entries[0], lbw="IN01=0.5,OUT00=2"), *two.entries[1:]))
    plain, wanted = base(model, clip), applied(model, clip, stack)
    save(stack, model=model, clip=clip)
    assert distance(applied(model, clip, stack_of(LoraEntry("saved"))), wanted, plain) < 1e-5
    # And by the host's own loader.
    host_model, host_clip = host_chain(comfy, model, clip, [(lora_folder / "saved.safetensors", 1, 1)])
    assert distance({**patched(host_model), **patched(host_clip.patcher)}, wanted, plain) < 1e-5


@pytest.mark.parametrize("connected", ["nothing", "model", "clip"])
def test_without_what_it_is_for_the_files_names_are_kept(
    make_model: Callable[..., Any], make_clip: Callable[..., Any], two: LoraStack, lora_folder: Path, connected: str
) -> None:
    from safetensors import safe_open

    model, clip = make_model(), make_clip()
    plain, wanted = base(model, clip), applied(model, clip, two)
    save(two, model=model if connected == "model" else None, clip=clip if connected == "clip" else None)
    with safe_open(lora_folder / "saved.safetensors", "pt") as file:
        keys = list(file.keys())
    assert any(key.startswith("diffusion_model.") for key in keys) == (connected == "model")
    assert any(key.startswith("lora_te_") for key in keys) == (connected != "clip")
    assert distance(applied(model, clip, stack_of(LoraEntry("saved"))), wanted, plain) < 1e-5


def test_a_rank_is_the_best_of_the_sum(
    make_model: Callable[..., Any], make_clip: Callable[..., Any], two: LoraStack
) -> None:
    import torch

    model, clip = make_model(), make_clip()
    plain, wanted = base(model, clip), applied(model, clip, two)
    saved = save(two, rank=3, model=model, clip=clip)
    got = applied(model, clip, stack_of(LoraEntry("saved")))
    changed = 0
    for key, weight in wanted.items():
        if not torch.equal(weight, plain[key]):
            delta = (weight.double() - plain[key].double()).flatten(1)
            u, s, vt = torch.linalg.svd(delta, full_matrices=False)
            best = (u[:, :3] * s[:3]) @ vt[:3]
            assert float(((got[key].double() - plain[key].double()).flatten(1) - best).norm() / delta.norm()) < 1e-5
            changed += 1
    assert changed == 6 and "rank 3 keeps " in saved.report


@pytest.mark.parametrize("rank", [0, 40])
def test_slices_and_swapped_halves(comfy: Any, lora_folder: Path, rank: int) -> None:
    model = of_class(comfy, "Flux", FLUX)
    modules = {**targets(comfy, model, "transformer."), "transformer.norm_out.linear": (64, 32)}
    write_lora(lora_folder / "s.safetensors", modules, seed=5)
    write_lora(lora_folder / "t.safetensors", modules, seed=6)
    stack = stack_of(LoraEntry("s", unet=0.5), LoraEntry("t", unet=0.7))
    wanted = applied(model, None, stack)
    save(stack, rank=rank, model=model)
    assert distance(applied(model, None, stack_of(LoraEntry("saved"))), wanted, patched(model)) < 1e-5


def test_rows_of_a_fused_projection(make_model: Callable[..., Any], lora_folder: Path) -> None:
    stem = "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_"
    write_lora(lora_folder / "f.safetensors", {stem + "qkv": (960, 320)}, seed=6)
    write_lora(lora_folder / "q.safetensors", {stem + "q": (320, 320)}, seed=7)
    model, stack = make_model(), stack_of(LoraEntry("f", unet=0.5), LoraEntry("q"))
    wanted = applied(model, None, stack)
    save(stack, model=model)
    assert distance(applied(model, None, stack_of(LoraEntry("saved"))), wanted, patched(model)) < 1e-5


def test_a_weight_that_grows_and_an_inpainting_model(make_model: Callable[..., Any], lora_folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(3)
    name = "diffusion_model.input_blocks.0.0"
    save_file(
        {
            f"{name}.lora_up.weight": torch.randn(320, 4, 1, 1, generator=generator),
            f"{name}.lora_down.weight": torch.randn(4, 8, 3, 3, generator=generator),
            f"{name}.reshape_weight": torch.tensor([320, 8, 3, 3]),
        },
        lora_folder / "wide.safetensors",
    )
    model, stack = make_model(), stack_of(LoraEntry("wide", unet=0.5))
    plain = patched(model)
    for connected in (model, None):
        saved = save(stack, "w", model=connected)
        wanted = applied(make_model(), None, stack)
        got = applied(make_model(), None, stack_of(LoraEntry(saved.name)))
        assert got["diffusion_model.input_blocks.0.0.weight"].shape == (320, 8, 3, 3)
        assert distance(got, wanted, plain) < 1e-5


@pytest.mark.parametrize(
    ("extra", "family"),
    [
        ({"dora_scale": (320, 1)}, "lora (DoRA)"),
        ({"a1.weight": (768, 4), "a2.weight": (4, 768), "b1.weight": (320, 4), "b2.weight": (4, 768)}, "glora"),
        ({"oft_blocks": (40, 8, 8)}, "oft"),
    ],
)
def test_what_does_not_add_up_is_refused_by_name(
    make_model: Callable[..., Any], lora_folder: Path, extra: dict[str, tuple[int, ...]], family: str
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    if family == "lora (DoRA)":
        write_lora(lora_folder / "x.safetensors", {name: UNET_MODULES[name]}, seed=1)
        tensors = load_file(lora_folder / "x.safetensors")
    else:
        tensors = {}
    tensors |= {f"{name}.{ending}": torch.ones(shape) for ending, shape in extra.items()}
    save_file(tensors, lora_folder / "x.safetensors")
    for model in (make_model(), None):
        with pytest.raises(StackNotSavedError) as caught:
            save(stack_of(LoraEntry("x")), model=model)
        assert "x.safetensors" in str(caught.value) and name in str(caught.value) and f" {family}," in str(caught.value)
    assert sorted(p.name for p in lora_folder.iterdir()) == ["x.safetensors"]


def test_what_needs_a_model_is_refused_without_one(
    make_model: Callable[..., Any], two: LoraStack, lora_folder: Path
) -> None:
    from dataclasses import replace

    with pytest.raises(StackNotSavedError, match="Connect the model"):
        save(LoraStack((replace(two.entries[0], lbw="MIDD"),)))
    write_lora(lora_folder / "c.safetensors", {"lora_unet_input_blocks_1_1_proj_out": (320, 320, 1, 1)}, seed=3)
    with pytest.raises(StackNotSavedError, match="Connect the model"):
        save(stack_of(LoraEntry("a"), LoraEntry("c")))
    save(stack_of(LoraEntry("a"), LoraEntry("c")), model=make_model())
    with pytest.raises(StackNotSavedError, match="changes nothing"):
        save(stack_of(LoraEntry("a", 0, 0)))
    with pytest.raises(MissingLorasError):
        save(stack_of(LoraEntry("nowhere")))


def test_the_header_says_where_it_came_from(make_model: Callable[..., Any], two: LoraStack, lora_folder: Path) -> None:
    from safetensors import safe_open

    save(two, "mixes/ink", model=make_model())
    with safe_open(lora_folder / "mixes" / "ink.safetensors", "pt") as file:
        sources = json.loads(file.metadata()["lora_deck_sources"])
    digest = hashlib.sha256((lora_folder / "sub" / "b.safetensors").read_bytes()).hexdigest()
    assert [(s["file"], s["te"], s["unet"]) for s in sources] == [
        ("a.safetensors", 0.5, 0.75), ("sub/b.safetensors", -0.25, 0.4),
    ]  # fmt: skip
    assert sources[1]["sha256"] == digest and sources[1]["rank_limit"] == {"method": "svd", "rank": 3}


def test_nothing_is_written_over_and_the_library_knows_it_at_once(two: LoraStack, lora_folder: Path) -> None:
    from lora_deck import library

    assert library.resolve("a").name == "a.safetensors"
    first = (lora_folder / "a.safetensors").read_bytes()
    saved = save(two, "a")
    assert saved.name == "a_2.safetensors" and (lora_folder / "a.safetensors").read_bytes() == first
    assert library.resolve("a_2").name == "a_2.safetensors"
    again = save(two, "a")
    assert again.name == "a_2.safetensors" and "is there already" in again.report
    assert save(two, "a", rank=1).name == "a_3.safetensors"
    assert sorted(p.name for p in lora_folder.iterdir()) == [
        "a.safetensors", "a_2.safetensors", "a_3.safetensors", "sub",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["", "  ", "../x", "a/../../x", "/etc/x", "C:\\x", "a//b", "a/", ".hidden", "a/.b", "con", "a/NUL.x", "a?b", "a\0b",
     "a\nb", "x.", "é" * 120, "..\\x"],
)  # fmt: skip
def test_names_that_lead_out_or_fit_no_system(name: str) -> None:
    with pytest.raises(FilenameError):
        relative_place(name)


@pytest.mark.parametrize(
    ("name", "place"),
    [("ink", "ink.safetensors"), ("mixes\\ink v2", "mixes/ink v2.safetensors"), (" a.safetensors ", "a.safetensors"),
     ("水墨/v1.0", "水墨/v1.0.safetensors"), ("console", "console.safetensors")],
)  # fmt: skip
def test_names_that_are_taken_as_written(name: str, place: str) -> None:
    assert relative_place(name).as_posix() == place


def test_a_write_that_fails_leaves_nothing(two: LoraStack, lora_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lora_deck.patching import save as saving

    def full(tensors: Any, path: Path, header: Any) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving, "save_file", full)
    with pytest.raises(OSError, match="No space"):
        save(two)
    assert sorted(p.name for p in lora_folder.iterdir()) == ["a.safetensors", "sub"]
