"""Strengths, ranks and overlaps by factors, against the changes that the patcher makes in fp64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lora_deck.stack.entry import LoraEntry
from lora_deck.stack.rank_limit import RankLimit
from lora_deck.stack.stack import LoraStack

from .conftest import patched
from .fidelity.case import Case
from .fidelity.measure import Bench, all_cases
from .test_apply import CLIP_MODULES, UNET_MODULES, write_lora


def _cases() -> list[Case]:
    found: dict[str, Case] = {}
    for case in all_cases():
        if case.source == "LyCORIS":
            found.setdefault(case.family.split(",")[0] + case.dora, case)
    return list(found.values())


CASES = _cases()


@pytest.fixture(scope="module")
def bench(comfy: Any, build_model: Callable[..., Any], build_clip: Callable[..., Any]) -> Bench:
    return Bench(comfy, build_model(), build_clip())


def changes(bench: Bench, entry: LoraEntry) -> dict[str, tuple[Any, Any]]:
    """Key → (what the entry adds in fp64, the weight)."""
    from lora_deck.patching import apply_stack

    plain = {**patched(bench.model), **patched(bench.clip.patcher)}
    result = apply_stack(bench.model, bench.clip, LoraStack((entry,)))
    after = {**patched(result.model), **patched(result.clip.patcher)}
    keys = {*result.model.patches, *result.clip.patcher.patches}
    return {key: (after[key].double() - plain[key].double(), plain[key].double()) for key in keys}


def block_of(key: str) -> str:
    if key.startswith("clip_l"):
        return "BASE"
    for part, letters in (("input_blocks", "IN"), ("output_blocks", "OUT")):
        if part in key:
            return f"{letters}{int(key.split('.')[2]):02d}"
    return "M00" if "middle_block" in key else "POST" if ".out." in key else "PRE"


def strengths(found: dict[str, tuple[Any, Any]]) -> dict[str, float]:
    energies: dict[str, list[float]] = {}
    for key, (delta, weight) in found.items():
        energy = energies.setdefault(block_of(key), [0.0, 0.0])
        energy[0] += float(delta.square().sum())
        energy[1] += float(weight.square().sum())
    return {block: (a / b) ** 0.5 for block, (a, b) in energies.items()}


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_strength_of_every_family(bench: Bench, lora_folder: Path, case: Case) -> None:
    from lora_deck.patching.look import look_inside

    case.make(bench.layers, lora_folder, 1.0)
    wanted = strengths(changes(bench, LoraEntry("case")))
    look = look_inside(LoraStack((LoraEntry("case", 0.3, 0.3),)), bench.model, bench.clip)
    (lora,) = look.loras
    assert {block: found.strength for block, found in lora.blocks.items()} == pytest.approx(wanted, rel=1e-5)
    ids = [block for block in look.ids if block not in ("PRE", "POST")]
    assert ids == ["BASE", "IN00", "IN01", "M00", "OUT00", "OUT01"]


@pytest.fixture
def two(lora_folder: Path) -> LoraStack:
    write_lora(lora_folder / "a.safetensors", {**UNET_MODULES, **CLIP_MODULES}, seed=1)
    write_lora(lora_folder / "b.safetensors", {**UNET_MODULES}, seed=2, rank=8, alpha=None)
    return LoraStack((LoraEntry("a"), LoraEntry("b"), LoraEntry("a")))


def test_overlaps_are_cosines_of_the_changes(bench: Bench, two: LoraStack) -> None:
    from lora_deck.patching.look import look_inside

    a, b = changes(bench, LoraEntry("a")), changes(bench, LoraEntry("b"))
    both = a.keys() & b.keys()
    product = sum(float((a[key][0] * b[key][0]).sum()) for key in both)
    lengths = [sum(float(delta.square().sum()) for delta, _ in each.values()) ** 0.5 for each in (a, b)]
    look = look_inside(two, bench.model, bench.clip)
    found = {(overlap.first, overlap.second): overlap for overlap in look.overlaps}
    assert found[0, 1].whole == pytest.approx(product / lengths[0] / lengths[1], rel=1e-4)
    assert found[0, 2].whole == pytest.approx(1) and found[0, 2].blocks["IN01"] == pytest.approx(1)
    assert set(found[0, 1].blocks) == {"IN01"} and set(found[0, 2].blocks) == {"BASE", "IN01"}
    assert "a.safetensors and b.safetensors: cosine " in str(look)


def test_ranks_and_effective_ranks(bench: Bench, two: LoraStack, lora_folder: Path) -> None:
    import torch
    from lora_deck.patching.look import look_inside

    look = look_inside(two, bench.model, None)
    effective = []
    for delta, _ in (found for key, found in changes(bench, LoraEntry("b")).items()):
        squares = torch.linalg.svdvals(delta.flatten(1)).square()
        effective.append(int((squares.cumsum(0) >= 0.9 * squares.sum()).int().argmax()) + 1)
    block = look.loras[1].blocks["IN01"]
    assert (block.ranks, block.modules) == ((8, 8), 4)
    assert block.effective == pytest.approx(sum(effective) / len(effective))
    assert "BASE" not in look.loras[0].blocks and "BASE" in look.ids
    limited = LoraStack((LoraEntry("b", rank_limit=RankLimit("svd", rank=2)),))
    assert look_inside(limited, bench.model, None).loras[0].blocks["IN01"].ranks == (2, 2)


def test_a_patched_model_is_measured_by_its_own_weights(bench: Bench, two: LoraStack) -> None:
    from lora_deck.patching import apply_stack
    from lora_deck.patching.look import _energies, look_inside

    plain = look_inside(two, bench.model, None)
    _energies.clear()
    model = apply_stack(bench.model, None, two).model
    model.patch_model()
    try:
        assert look_inside(two, model, None).loras == plain.loras
    finally:
        model.unpatch_model()


def test_no_change_is_multiplied_out_where_factors_do(
    bench: Bench, two: LoraStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lora_deck.patching.look import look_inside
    from lora_deck.strategies import Product

    monkeypatch.setattr(Product, "dense", lambda self: pytest.fail("multiplied out"))
    look_inside(two, bench.model, bench.clip)
