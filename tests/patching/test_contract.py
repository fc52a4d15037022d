"""What the host does to patches, for every family: rebuilt from their tuples, on slices, cloned, hooked, taken back."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .fidelity.case import Case, Wanted, at_multiplier
from .fidelity.measure import FULL_SIZE, Bench, all_cases


def _one_of_each() -> list[Case]:
    """The first case of every family and source, and every one with DoRA."""
    first: dict[tuple[str, str, bool], Case] = {}
    for case in all_cases():
        first.setdefault((case.source, case.family, case.dora != "off"), case)
    return list(first.values())


FAMILIES = _one_of_each()
each_family = pytest.mark.parametrize("case", FAMILIES, ids=[case.name for case in FAMILIES])


@pytest.fixture(scope="module")
def bench(comfy: Any, build_model: Callable[..., Any], build_clip: Callable[..., Any]) -> Bench:
    """The small UNet and text encoder in fp32."""
    return Bench(comfy, build_model(), build_clip())


def _written(bench: Bench, folder: Path, case: Case) -> tuple[list[str], Wanted]:
    wanted = case.make(bench.layers, folder, FULL_SIZE)
    return [p.relative_to(folder).with_suffix("").as_posix() for p in sorted(folder.rglob("*.safetensors"))], wanted


def _deviation(got: Any, truth: Any, base: Any) -> float:
    return float((got.double() - truth).norm() / (truth - base.double()).norm())


@each_family
def test_every_family_survives_what_the_host_does(bench: Bench, lora_folder: Path, case: Case) -> None:
    import torch
    from comfy.lora import calculate_weight, prefetch_prepared_value
    from lora_deck.patching.adapter import DeckAdapter, apply_parts, open_parts

    names, wanted = _written(bench, lora_folder, case)
    applied = bench.apply_ours(names, 0.7)
    for (kind, parameter), full in wanted.items():
        side, key = bench.layers.key(kind, parameter)
        base = bench.comfy.utils.get_attr(bench.patcher(side).model, key).detach()
        truth = at_multiplier(base, full, 0.7)
        patches = applied[side].patches[key]
        plain = calculate_weight(patches, base.clone(), key)
        assert _deviation(plain, truth, base) < 2e-6

        # The default memory mode on NVIDIA rebuilds the patch from its tuple at every use.
        rebuilt = [(p[0], prefetch_prepared_value(p[1], [0], None, None, False), *p[2:]) for p in patches]
        assert rebuilt[0][1] is not patches[0][1] and type(rebuilt[0][1]) is DeckAdapter
        assert torch.equal(calculate_weight(rebuilt, base.clone(), key), plain)
        for copied in (copy.deepcopy(patches[0][1]), pickle.loads(pickle.dumps(patches[0][1]))):
            again = calculate_weight([(patches[0][0], copied, *patches[0][2:])], base.clone(), key)
            assert torch.equal(again, plain)

        # In half precision, as when weights are patched at each step: rounded once.
        half = calculate_weight(patches, base.half(), key, intermediate_dtype=torch.float16)
        assert half.dtype == torch.float16 and half.shape == base.shape

        # On a slice of a fused weight nothing else changes, and the slice as if it stood alone.
        (multiplier, offset, function, region, packed), *rest = open_parts(patches[0][1].weights)[1]
        assert offset is None and not rest
        for dim in range(base.ndim if base.ndim == 1 else 2):
            fused = torch.cat([base * 2, base, base * 3], dim=dim)
            part = (multiplier, (dim, base.shape[dim], base.shape[dim]), function, region, packed)
            got = apply_parts(fused.clone(), (None, (part,)), 1.0, torch.float32)
            inside = got.narrow(dim, base.shape[dim], base.shape[dim])
            assert _deviation(inside, truth, base) < 2e-6
            inside.copy_(base)
            assert torch.equal(got, fused)

        # The host's rearrangement (two halves change places) is for the change.
        def swapped(tensor: Any) -> Any:
            first, second = tensor.chunk(2, dim=0)
            return torch.cat([second, first])

        part = (multiplier, None, swapped, region, packed)
        got = apply_parts(swapped(base).clone(), (None, (part,)), 1.0, torch.float32)
        assert _deviation(swapped(got), truth, base) < 2e-6


@each_family
def test_patching_and_taking_back_restores_every_byte(bench: Bench, lora_folder: Path, case: Case) -> None:
    import torch

    names, wanted = _written(bench, lora_folder, case)
    applied = bench.apply_ours(names, -0.5)
    for side in {bench.layers.key(*which)[0] for which in wanted}:
        # The host loads a text encoder when it makes it; it unloads before it patches.
        bench.patcher(side).unpatch_model()
        before = {key: value.clone() for key, value in bench.patcher(side).model.state_dict().items()}
        clone = applied[side].clone()
        assert clone.patches_uuid == applied[side].patches_uuid
        clone.patch_model()
        during = clone.model.state_dict()
        changed = {key for key in before if not torch.equal(during[key], before[key])}
        clone.unpatch_model()
        after = clone.model.state_dict()
        assert changed == {bench.layers.key(*which)[1] for which in wanted if bench.layers.key(*which)[0] == side}
        assert all(torch.equal(after[key], before[key]) for key in before)


@each_family
def test_weight_zero_leaves_the_bytes(bench: Bench, lora_folder: Path, case: Case) -> None:
    names, _ = _written(bench, lora_folder, case)
    for side, patcher in bench.apply_ours(names, 0).items():
        assert not patcher.patches and patcher.patches_uuid == bench.patcher(side).patches_uuid


def test_stacks_apply_in_order_of_their_entries(bench: Bench, lora_folder: Path) -> None:
    """Every entry sees what those before it made: LoRA, OFT, DoRA, IA3 in both orders."""
    chosen = [c for c in FAMILIES if (c.source, c.family) in {("LyCORIS", "OFT"), ("LyCORIS", "IA3, input")}]
    chosen += [c for c in FAMILIES if c.family == "LoHa" and c.source == "LyCORIS" and c.dora != "off"]
    names = []
    for i, case in enumerate(chosen):
        (lora_folder / str(i)).mkdir()
        case.make(bench.layers, lora_folder / str(i), 0.5)
        names.append(f"{i}/case")
    assert len(names) == 3
    for order in (names, names[::-1]):
        together = bench.apply_ours(order, 0.7)
        for key, patches in together["unet"].patches.items():
            base = bench.comfy.utils.get_attr(bench.model.model, key).detach()
            expected = base.double()
            for name in order:
                (alone,) = bench.apply_ours([name], 0.7)["unet"].patches[key]
                expected = alone[1].calculate_weight(expected.clone(), key, 1.0, 1.0, None, None)
            (patch,) = patches
            got = patch[1].calculate_weight(base.clone(), key, 1.0, 1.0, None, None)
            assert _deviation(got, expected, base) < 2e-6
