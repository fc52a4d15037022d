"""Mixed stacks, foreign patches and fused products, against every change applied by itself in fp64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from .test_apply import UNET_MODULES, apply, write_lora

MODULE = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
SIZE = 320
HALVES = ["float16", "bfloat16"]
Formula = Callable[[Any], Any]
"""The weight in fp64 → after the change."""


def random(*shape: int, seed: int, scale: float) -> Any:
    import torch

    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def save(folder: Path, name: str, **tensors: Any) -> None:
    from safetensors.torch import save_file

    named = {f"{MODULE}.{key.replace('__', '.')}": value for key, value in tensors.items()}
    save_file(named, folder / f"{name}.safetensors")


def lora(folder: Path, name: str, seed: int, weight: float, rank: int = 8) -> Formula:
    import torch

    up, down = random(SIZE, rank, seed=seed, scale=0.1), random(rank, SIZE, seed=seed + 100, scale=0.1)
    save(folder, name, lora_up__weight=up, lora_down__weight=down, alpha=torch.tensor(4.0))
    return lambda w: w + weight * 4 / rank * (up.double() @ down.double())


def loha(folder: Path, name: str, seed: int, weight: float) -> Formula:
    import torch

    a, b = (random(SIZE, 4, seed=seed + i, scale=0.3) for i in (0, 1))
    c, d = (random(4, SIZE, seed=seed + i, scale=0.3) for i in (2, 3))
    save(folder, name, hada_w1_a=a, hada_w1_b=c, hada_w2_a=b, hada_w2_b=d, alpha=torch.tensor(4.0))
    return lambda w: w + weight * (a.double() @ c.double()) * (b.double() @ d.double())


def dora(folder: Path, name: str, seed: int, weight: float) -> Formula:
    import torch

    up, down = random(SIZE, 4, seed=seed, scale=0.1), random(4, SIZE, seed=seed + 100, scale=0.1)
    length = random(SIZE, 1, seed=seed + 200, scale=0.1) + 1
    save(folder, name, lora_up__weight=up, lora_down__weight=down, alpha=torch.tensor(4.0), dora_scale=length)

    def formula(w: Any) -> Any:
        changed = w + up.double() @ down.double()
        changed = length.double() * changed / changed.norm(dim=1, keepdim=True)
        return w + weight * (changed - w)

    return formula


def oft(folder: Path, name: str, seed: int, weight: float) -> Formula:
    import torch

    blocks = random(10, 32, 32, seed=seed, scale=0.05)
    save(folder, name, oft_blocks=blocks, alpha=torch.tensor(0.0))

    def formula(w: Any) -> Any:
        q = blocks.double() - blocks.double().mT
        one = torch.eye(32, dtype=torch.float64)
        turn = (one + q) @ torch.linalg.inv(one - q)
        return w + weight * ((turn.mT @ w.reshape(10, 32, SIZE)).reshape(w.shape) - w)

    return formula


Entry = tuple[str, float, Formula]


def entries(folder: Path) -> dict[str, Entry]:
    kinds = {
        "lora1": (lora, 0.8), "lora2": (lora, -0.6), "lora3": (lora, 1.3), "lora4": (lora, 0.4),
        "loha": (loha, 0.7), "dora": (dora, 0.9), "oft": (oft, 0.6),
    }  # fmt: skip
    numbered = enumerate(kinds.items())
    return {name: (name, weight, make(folder, name, 1000 * i, weight)) for i, (name, (make, weight)) in numbered}


def stack_of(chosen: Sequence[Entry]) -> str:
    return "".join(f"<lora:{name}:{weight}>" for name, weight, _ in chosen)


def key_of(model: Any) -> str:
    import comfy.lora

    return str(comfy.lora.model_lora_keys_unet(model.model, {})[MODULE])


def base_of(model: Any) -> Any:
    import comfy.utils

    return comfy.utils.get_attr(model.model, key_of(model)).detach()


def loaded(patcher: Any) -> Any:
    """As the host patches a weight for good."""
    return patcher.patch_weight_to_device(key_of(patcher), return_weight=True).detach()


def carried(patcher: Any) -> Any:
    """As the host patches a weight at each step, in the weight's type."""
    from comfy.model_patcher import LowVramPatch

    return LowVramPatch(key_of(patcher), patcher.patches)(base_of(patcher).clone())


def run(formulas: Sequence[Formula], base: Any) -> Any:
    truth = base.double()
    for formula in formulas:
        truth = formula(truth)
    return truth


def error(got: Any, truth: Any, base: Any) -> float:
    return float((got.double() - truth).norm() / (truth - base.double()).norm())


def rounded_once(got: Any, truth: Any) -> bool:
    """Half a step of the type, and what sums in fp32 add to it."""
    import torch

    half = torch.finfo(got.dtype).eps / 2
    return bool(((got.double() - truth).abs() <= truth.abs() * half * 1.001 + 2e-6).all())


ORDERS = {
    "lora dora lora": ("lora1", "dora", "lora2"),
    "lora oft lora": ("lora1", "oft", "lora2"),
    "between two": ("lora1", "dora", "lora2", "oft", "lora3"),
    "runs": ("lora1", "lora2", "dora", "lora3", "loha", "lora4", "oft"),
    "runs, backwards": ("oft", "lora4", "loha", "lora3", "dora", "lora2", "lora1"),
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("dtype", ["float32", *HALVES])
def test_a_mixed_stack_is_each_entry_after_the_other(
    make_model: Callable[..., Any], lora_folder: Path, order: tuple[str, ...], dtype: str
) -> None:
    import torch

    model, made = make_model(getattr(torch, dtype)), entries(lora_folder)
    chosen = [made[name] for name in order]
    base = base_of(model)
    truth = run([formula for *_, formula in chosen], base)
    ours = apply(model, None, stack_of(chosen)).model
    for got in (loaded(ours), carried(ours)):
        assert error(got, truth, base) < 2e-6 if dtype == "float32" else rounded_once(got, truth)
    # The order shows: what would come out if all plain LoRAs went first is another weight.
    first = sorted(chosen, key=lambda entry: not entry[0].startswith("lora"))
    assert error(run([formula for *_, formula in first], base), truth, base) > 1e-2 or first == chosen


def foreign(strength_model: float) -> tuple[Callable[[Any], Any], Formula]:
    """Another node's patches: a difference of the whole weight, a LoRA of the host's on half of its rows."""
    from comfy.weight_adapter.lora import LoRAAdapter

    diff = random(SIZE, SIZE, seed=77, scale=0.05)
    up, down = random(SIZE // 2, 4, seed=78, scale=0.1), random(4, SIZE, seed=79, scale=0.1)

    def put(patcher: Any) -> Any:
        clone, key = patcher.clone(), key_of(patcher)
        assert clone.add_patches({key: ("diff", (diff,))}, 0.7, strength_model)
        adapter = LoRAAdapter(set(), (up, down, 4.0, None, None, None))
        assert clone.add_patches({(key, (0, SIZE // 2, SIZE // 2)): adapter}, -0.9)
        return clone

    def formula(w: Any) -> Any:
        w = w * strength_model + 0.7 * diff.double()
        w[SIZE // 2 :] += -0.9 * (up.double() @ down.double())
        return w

    return put, formula


@pytest.mark.parametrize("place", ["before", "between", "after"])
@pytest.mark.parametrize("strength_model", [1.0, 0.5])
@pytest.mark.parametrize("dtype", ["float32", *HALVES])
def test_a_foreign_patch_keeps_its_place(
    make_model: Callable[..., Any], lora_folder: Path, place: str, strength_model: float, dtype: str
) -> None:
    import torch

    model, made = make_model(getattr(torch, dtype)), entries(lora_folder)
    base, key = base_of(model), key_of(model)
    put, theirs = foreign(strength_model)
    first = [made[name] for name in ("lora1", "dora", "lora2")]
    second = [made[name] for name in ("lora3", "oft", "lora4")]
    one, two = ([formula for *_, formula in half] for half in (first, second))
    before = model.model.state_dict()
    before = {name: value.clone() for name, value in before.items()}
    if place == "before":
        patcher, formulas = apply(put(model), None, stack_of(first + second)).model, [theirs, *one, *two]
    elif place == "between":
        patcher = apply(put(apply(model, None, stack_of(first)).model), None, stack_of(second)).model
        formulas = [*one, theirs, *two]
    else:
        patcher, formulas = put(apply(model, None, stack_of(first + second)).model), [*one, *two, theirs]
    assert len(patcher.patches[key]) == (4 if place == "between" else 3)
    truth = run(formulas, base)
    got = loaded(patcher)
    assert error(got, truth, base) < 2e-6 if dtype == "float32" else rounded_once(got, truth)
    # At each step each patch is rounded to the weight's type.
    bound = 2e-6 if dtype == "float32" else 8 * error(truth.to(base.dtype), truth, base)
    assert error(carried(patcher), truth, base) < bound
    others = [run(order, base) for order in ([theirs, *one, *two], [*one, theirs, *two], [*one, *two, theirs])]
    assert sum(error(other, truth, base) < 1e-3 for other in others) == 1
    patcher.patch_model()
    patcher.unpatch_model()
    after = patcher.model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize("dtype", ["float32", *HALVES])
def test_fusing_changes_no_more_than_one_rounding(
    make_model: Callable[..., Any], lora_folder: Path, dtype: str
) -> None:
    """Plain LoRAs in one product, in several, one by one and in any order: the same weights."""
    import torch

    kind = getattr(torch, dtype)
    names = ["p0", "p1", "p2"]
    for i, name in enumerate(names):
        write_lora(lora_folder / f"{name}.safetensors", UNET_MODULES, seed=60 + i, rank=4 * (i + 1), alpha=3)
    weights = dict(zip(names, (0.7, -0.45, 1.1), strict=True))
    model = make_model(kind)

    def weights_of(*groups: Sequence[str]) -> dict[str, Any]:
        patcher = model
        for group in groups:
            patcher = apply(patcher, None, "".join(f"<lora:{name}:{weights[name]}>" for name in group)).model
        assert all(len(patches) == len(groups) for patches in patcher.patches.values()) and len(patcher.patches) == 4
        return {key: patcher.patch_weight_to_device(key, return_weight=True).detach() for key in patcher.patches}

    fused = weights_of(names)
    parted = ([names[:1], names[1:2], names[2:]], [names[:2], names[2:]], [names[:1], names[1:]])
    ways = [weights_of(*groups) for groups in parted]
    ways += [weights_of(order) for order in permutations(names)]
    for way in ways:
        for key, one in fused.items():
            other = way[key]
            # A step of the storage type, and the order of sums in fp32, of numbers below 1.
            step = torch.finfo(kind).eps * torch.maximum(one.double().abs(), other.double().abs())
            assert float(one.abs().max()) < 1
            assert bool(((one.double() - other.double()).abs() <= step + 2 * torch.finfo(torch.float32).eps).all())
