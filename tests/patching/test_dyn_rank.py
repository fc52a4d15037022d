"""Limits by SVD and by energy on files of LyCORIS and PEFT, against fp64 SVDs of the trainers' own differences."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lora_deck.stack.entry import LoraEntry
from lora_deck.stack.rank_limit import RankLimit
from lora_deck.stack.stack import LoraStack

from .conftest import patched
from .fidelity.case import Case
from .fidelity.measure import FULL_SIZE, Bench, all_cases
from .fidelity.measure import patched as patched_weight
from .test_apply import CLIP_MODULES, UNET_MODULES, write_lora

ADDITIVE = ("LoRA", "LoCon", "LoHa", "LoKr", "Full")


def _cases() -> list[Case]:
    """Every additive family and source once, with an alpha that is not the rank where it has one."""
    found: dict[tuple[str, str], Case] = {}
    for case in all_cases():
        if case.source not in ("LyCORIS", "PEFT") or case.dora != "off" or not case.family.startswith(ADDITIVE):
            continue
        if case.alpha == "≠ rank" or (case.source, case.family) not in found:
            found[case.source, case.family] = case
    return list(found.values())


CASES = _cases()


@pytest.fixture(scope="module")
def bench(comfy: Any, build_model: Callable[..., Any], build_clip: Callable[..., Any]) -> Bench:
    return Bench(comfy, build_model(), build_clip())


def limited_by(names: list[str], limit: RankLimit) -> LoraStack:
    return LoraStack(tuple(LoraEntry(name, rank_limit=limit) for name in names))


@pytest.mark.parametrize("limit", [RankLimit("svd", rank=3), RankLimit("energy", energy=0.6)], ids=str)
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_stays_is_the_best_of_the_trainers_difference(
    bench: Bench, lora_folder: Path, case: Case, limit: RankLimit
) -> None:
    import torch
    from lora_deck.patching import apply_stack

    wanted = case.make(bench.layers, lora_folder, FULL_SIZE)
    names = [p.relative_to(lora_folder).with_suffix("").as_posix() for p in sorted(lora_folder.rglob("*.safetensors"))]
    applied = apply_stack(bench.model, bench.clip, limited_by(names, limit))
    sides = {"unet": applied.model, "te": applied.clip.patcher}
    looked_at = 0
    for (kind, parameter), full in wanted.items():
        side, key = bench.layers.key(kind, parameter)
        base = bench.comfy.utils.get_attr(bench.patcher(side).model, key).detach().double()
        got = (patched_weight(sides[side], key).double() - base).flatten(1 if base.ndim > 1 else 0)
        delta = (full - base).reshape(got.shape)
        if got.ndim < 2:
            assert float((got - delta).norm() / delta.norm()) < 1e-6
            continue
        u, s, vt = torch.linalg.svd(delta, full_matrices=False)
        if limit.method == "svd":
            rank = limit.rank
        else:
            rank = int((s.square().cumsum(0) >= limit.energy * s.square().sum()).int().argmax()) + 1
        best = (u[:, :rank] * s[:rank]) @ vt[:rank]
        if case.family.startswith("Full"):
            # Random numbers have no gap between the singular values: what counts is how much is lost.
            assert float((delta - got).norm()) <= 1.01 * float((delta - best).norm()) + 1e-6 * float(delta.norm())
        else:
            assert float((got - best).norm() / delta.norm()) < 1e-5, kind
        looked_at += 1
    assert looked_at >= 5


def unet_weights(model: Any, stack: LoraStack) -> dict[str, Any]:
    from lora_deck.patching import apply_stack

    return patched(apply_stack(model, None, stack).model)


@pytest.fixture
def one_lora(lora_folder: Path) -> Path:
    write_lora(lora_folder / "a.safetensors", {**UNET_MODULES, **CLIP_MODULES}, seed=1, rank=8)
    return lora_folder / "a.safetensors"


def forget() -> None:
    """As a new start of the host: what is in memory is gone."""
    from lora_deck.patching import open as opening
    from lora_deck.patching import rank_limit

    rank_limit._results.clear()
    opening._files.clear()


def count_computed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    from lora_deck.patching import rank_limit

    computed: list[Any] = []
    real = rank_limit.limited
    monkeypatch.setattr(rank_limit, "limited", lambda *given: computed.append(given) or real(*given))
    return computed


SVD = RankLimit("svd", rank=3)


def test_a_second_start_computes_nothing(
    make_model: Callable[..., Any], one_lora: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    computed = count_computed(monkeypatch)
    model, stack = make_model(), limited_by(["a"], SVD)
    first = unet_weights(model, stack)
    assert len(computed) == 4
    forget()
    again = unet_weights(make_model(), stack)
    assert len(computed) == 4 and all(torch.equal(first[key], again[key]) for key in first)

    # The same content under another name and time is the same; other content under the same name is not.
    one_lora.rename(one_lora.with_name("b.safetensors"))
    os.utime(one_lora.with_name("b.safetensors"), (1, 1))
    unet_weights(model, limited_by(["b"], SVD))
    assert len(computed) == 4
    write_lora(one_lora, UNET_MODULES, seed=2, rank=8)
    other = unet_weights(model, limited_by(["a"], SVD))
    assert len(computed) == 8 and any(not torch.equal(first[key], other[key]) for key in first)
    unet_weights(model, limited_by(["a"], RankLimit("svd", rank=2)))
    unet_weights(model, limited_by(["a"], RankLimit("energy", energy=0.5)))
    assert len(computed) == 16


def test_settings_beside_the_file_count(
    make_model: Callable[..., Any], lora_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from safetensors.torch import save_file

    computed = count_computed(monkeypatch)
    up, down = torch.randn(320, 8), torch.randn(8, 768)
    (lora_folder / "p").mkdir()
    key = "base_model.model.input_blocks.1.1.transformer_blocks.0.attn2.to_k"
    file = lora_folder / "p" / "adapter_model.safetensors"
    save_file({f"{key}.lora_B.weight": up, f"{key}.lora_A.weight": down}, file)
    model = make_model()
    for alpha in (8, 4):
        config = {"peft_type": "LORA", "r": 8, "lora_alpha": alpha}
        (lora_folder / "p" / "adapter_config.json").write_text(json.dumps(config))
        forget()
        unet_weights(model, limited_by(["p"], SVD))
    assert len(computed) == 2


def test_the_folder_is_bounded(
    make_model: Callable[..., Any], lora_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lora_deck.patching import rank_cache

    model = make_model()
    for i in range(4):
        write_lora(lora_folder / f"{i}.safetensors", UNET_MODULES, seed=i, rank=8)
    unet_weights(model, limited_by(["0"], SVD))
    (first,) = rank_cache.cache_folder().iterdir()
    os.utime(first, (1, 1))
    monkeypatch.setattr(rank_cache, "KEPT_BYTES", int(first.stat().st_size * 2.5))
    for i in (1, 2, 3):
        unet_weights(model, limited_by([str(i)], SVD))
    kept = list(rank_cache.cache_folder().iterdir())
    assert len(kept) == 2 and first not in kept


@pytest.mark.parametrize("damage", [b"", b"\x08\0\0\0\0\0\0\0{}      ", b"no header"])
def test_a_damaged_cache_is_computed_again(
    make_model: Callable[..., Any], one_lora: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes
) -> None:
    import torch
    from lora_deck.patching import rank_cache

    first = unet_weights(make_model(), limited_by(["a"], SVD))
    (kept,) = rank_cache.cache_folder().iterdir()
    kept.unlink()
    kept.write_bytes(damage)
    forget()
    computed = count_computed(monkeypatch)
    again = unet_weights(make_model(), limited_by(["a"], SVD))
    assert len(computed) == 4 and all(torch.equal(first[key], again[key]) for key in first)


def test_a_full_disk_costs_nothing_but_a_note(
    make_model: Callable[..., Any], one_lora: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lora_deck.patching import apply_stack, rank_cache

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    expected = unet_weights(make_model(), limited_by(["a"], RankLimit("svd", rank=2)))
    monkeypatch.setattr(rank_cache, "save_file", full)
    model = make_model()
    report = str(apply_stack(model, None, limited_by(["a"], SVD)).report)
    assert "No space left" in report and "svd 3 takes 4 modules from rank 8 to 3" in report
    assert unet_weights(model, limited_by(["a"], RankLimit("svd", rank=2))).keys() == expected.keys()
    assert not list(rank_cache.cache_folder().glob(".*"))


def test_cancel_keeps_what_was_done(
    comfy: Any, make_model: Callable[..., Any], one_lora: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import comfy.model_management as host
    from lora_deck.patching import apply_stack, rank_limit

    computed: list[Any] = []
    real = rank_limit.limited
    steps: list[tuple[int, int]] = []

    def cancelling(*given: Any) -> Any:
        computed.append(given)
        if len(computed) == 2:
            host.interrupt_current_processing()
        return real(*given)

    monkeypatch.setattr(rank_limit, "limited", cancelling)
    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", lambda done, total, *_, **__: steps.append((done, total)))
    with pytest.raises(host.InterruptProcessingException):
        apply_stack(make_model(), None, limited_by(["a"], SVD))
    assert len(computed) == 2 and steps[0] == (1, 4)
    forget()
    apply_stack(make_model(), None, limited_by(["a"], SVD))
    assert len(computed) == 4 and steps[-1] == (2, 2)


def test_the_report_has_ranks_and_energy_by_block(
    make_model: Callable[..., Any], make_clip: Callable[..., Any], lora_folder: Path
) -> None:
    import torch
    from lora_deck.patching import apply_stack
    from safetensors.torch import load_file, save_file

    write_lora(lora_folder / "a.safetensors", {**UNET_MODULES, **CLIP_MODULES}, seed=1, rank=8)
    file = load_file(lora_folder / "a.safetensors")
    file["lora_unet_input_blocks_1_1_norm.w_norm"] = torch.ones(320)
    file["lora_unet_input_blocks_1_1_norm.b_norm"] = torch.ones(320)
    save_file(file, lora_folder / "a.safetensors")
    kept = total = 0.0
    for name in UNET_MODULES:
        delta = file[f"{name}.lora_up.weight"].flatten(1) @ file[f"{name}.lora_down.weight"].flatten(1)
        squares = torch.linalg.svdvals(delta.double()).square()
        kept, total = kept + float(squares[:3].sum()), total + float(squares.sum())
    model, clip = make_model(), make_clip()
    report = str(apply_stack(model, clip, limited_by(["a"], SVD)).report)
    assert f"IN01 8 → 3 ({100 * kept / total:.1f} %)" in report and "CLIP 8 → 3 (" in report
    assert report.index("CLIP 8") < report.index("IN01 8")
    assert "svd 3 takes 6 modules from rank 8 to 3" in report and "svd 3 leaves norm whole" in report
    assert "rank 8;" in report
    enough = limited_by(["a"], RankLimit("svd", rank=8))
    assert "is no less than the rank" in str(apply_stack(model, clip, enough).report)
    energy = str(apply_stack(model, None, limited_by(["a"], RankLimit("energy", energy=0.5))).report)
    assert "energy 0.5 takes 4 modules from rank 8 to " in energy
    assert "needs every rank" in str(apply_stack(model, None, limited_by(["a"], RankLimit("energy", energy=1))).report)


def test_rows_of_a_fused_projection_are_computed_once(
    make_model: Callable[..., Any], lora_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from safetensors.torch import load_file

    name = "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_qkv"
    write_lora(lora_folder / "f.safetensors", {name: (960, 320)}, seed=6, rank=8)
    file = load_file(lora_folder / "f.safetensors")
    computed = count_computed(monkeypatch)
    model = make_model()
    base, got = patched(model), unet_weights(model, limited_by(["f"], SVD))
    assert len(computed) == 1
    delta = 2 / 8 * file[f"{name}.lora_up.weight"].double() @ file[f"{name}.lora_down.weight"].double()
    u, s, vt = torch.linalg.svd(delta, full_matrices=False)
    best = (u[:, :3] * s[:3]) @ vt[:3]
    stem = "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_"
    found = torch.cat([got[f"{stem}{c}.weight"].double() - base[f"{stem}{c}.weight"].double() for c in "qkv"])
    assert float((found - best).norm() / best.norm()) < 1e-5


def test_another_limit_is_another_result_and_the_same_is_not(make_model: Callable[..., Any], one_lora: Path) -> None:
    from lora_deck.patching import apply_stack

    model = make_model()
    uuids = {
        apply_stack(model, None, limited_by(["a"], limit)).model.patches_uuid
        for limit in (SVD, RankLimit("svd", rank=2), RankLimit("energy", energy=0.5), RankLimit("truncate", rank=3))
    }
    assert len(uuids) == 4
    assert apply_stack(model, None, limited_by(["a"], SVD)).model.patches_uuid in uuids
    by_tag = LoraStack((LoraEntry("a", dyn=3),))
    assert apply_stack(model, None, by_tag).model.patches_uuid in uuids
