"""Applies a case by the pack and by the host's own loader, and holds both against the truth."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import formula_files, lycoris_files, peft_files
from .case import Case, Layers, Wanted, at_multiplier

MULTIPLIERS = (1.0, 0.7, -0.5)
FULL_SIZE = 1.0
REALISTIC = 0.02
"""‖Δ‖ / ‖W‖."""
CLOSE = 1e-6
"""Largest relative error of the difference in fp32 where it is as large as the weight."""
ROUNDED = 2.0
"""Largest error against that of the correctly rounded result, elsewhere."""


def all_cases() -> list[Case]:
    """The whole table."""
    return [*lycoris_files.cases(), *peft_files.cases(), *formula_files.cases()]


@dataclass
class Tally:
    """How many cases came out right, by family."""

    cases: int = 0
    """Rows of the table that ran."""
    ours: Counter[str] = field(default_factory=Counter)
    host: Counter[str] = field(default_factory=Counter)
    total: Counter[str] = field(default_factory=Counter)

    def add(self, case: Case, ours: bool, host: bool) -> None:
        """Counts one layer at one multiplier."""
        family = f"{case.source}: {case.family}"
        self.total[family] += 1
        self.ours[family] += ours
        self.host[family] += host

    def lines(self) -> list[str]:
        """The table, a line per family, and the sums."""
        rows = [(name, self.ours[name], self.host[name], count) for name, count in self.total.items()]
        rows.append(("all", self.ours.total(), self.host.total(), self.total.total()))
        width = max(len(row[0]) for row in rows)
        head = f"{'family':{width}}  LoRA Deck  host's loader  of"
        return [head, *(f"{name:{width}}  {ours:9}  {host:13}  {count}" for name, ours, host, count in rows)]


@dataclass(frozen=True)
class Bench:
    """The models under test, of one dtype."""

    comfy: Any
    model: Any
    """`ModelPatcher`"""
    clip: Any
    """`CLIP`"""

    @property
    def layers(self) -> Layers:
        """As the writers see them."""
        return Layers(self.model.model.diffusion_model, self.clip.cond_stage_model.clip_l.transformer)

    def patcher(self, side: str) -> Any:
        """The side's `ModelPatcher`."""
        return self.model if side == "unet" else self.clip.patcher

    def apply_ours(self, names: Iterable[str], multiplier: float) -> dict[str, Any]:
        """Side → patcher with the files applied by the pack."""
        from lora_deck.patching import apply_stack
        from lora_deck.stack.tag import parse_prompt

        stack = parse_prompt("".join(f"<lora:{name}:{multiplier}>" for name in names)).stack
        applied = apply_stack(self.model, self.clip, stack)
        return {"unet": applied.model, "te": applied.clip.patcher}

    def apply_host(self, files: Iterable[Path], multiplier: float) -> dict[str, Any]:
        """Side → patcher with the files applied by the host's own loader."""
        model, clip = self.model, self.clip
        for file in files:
            lora = self.comfy.utils.load_torch_file(str(file), safe_load=True)
            lora = {_as_host_reads(key): tensor for key, tensor in lora.items()}
            model, clip = self.comfy.sd.load_lora_for_models(model, clip, lora, multiplier, multiplier)
        return {"unet": model, "te": clip.patcher}


def _as_host_reads(key: str) -> str:
    """PEFT's names as the host's maps have them for these models, so that the host is measured by its arithmetic."""
    if not key.startswith("base_model.model."):
        return key
    bare = key.removeprefix("base_model.model.")
    return ("text_encoders.clip_l.transformer." if bare.startswith("text_model.") else "diffusion_model.") + bare


def patched(patcher: Any, key: str) -> Tensor:
    """A weight as the host patches and stores it; the model stays as it is."""
    return patcher.patch_weight_to_device(key, return_weight=True).detach()


@dataclass(frozen=True)
class Deviation:
    """One layer at one multiplier."""

    kind: str
    parameter: str
    multiplier: float
    ours: float
    host: float
    bound: float

    @property
    def right(self) -> bool:
        """Whether the pack is within the bound."""
        return self.ours <= self.bound

    def __str__(self) -> str:
        return f"{self.kind} {self.parameter} × {self.multiplier}: {self.ours:.2e} > {self.bound:.2e}"


def measure(
    bench: Bench,
    case: Case,
    folder: Path,
    size: float,
    multipliers: tuple[float, ...] = MULTIPLIERS,
    host: bool = False,
) -> list[Deviation]:
    """Writes the case's files below a LoRA folder, applies them, and gives every layer's deviation.

    ‖Δours − Δref‖ / ‖Δref‖, Δref in fp64. The bound is `ROUNDED` times the deviation of the correctly rounded result,
    in fp32 not below `CLOSE`: there that is the larger one where the difference is about as large as the weight.
    """
    wanted = case.make(bench.layers, folder, size)
    files = sorted(folder.rglob("*.safetensors"))
    names = [p.relative_to(folder).with_suffix("").as_posix() for p in files]
    found: list[Deviation] = []
    for multiplier in multipliers:
        ours = bench.apply_ours(names, multiplier)
        theirs = None
        if host:
            with _quiet():
                theirs = bench.apply_host(files, multiplier)
        found.extend(_deviations(bench, wanted, multiplier, ours, theirs))
    for file in files:
        file.unlink()
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the host's log lines about keys and patches that it cannot use."""
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _deviations(
    bench: Bench,
    wanted: Wanted,
    multiplier: float,
    ours: dict[str, Any],
    theirs: dict[str, Any] | None,
) -> Iterable[Deviation]:
    for (kind, parameter), full in wanted.items():
        side, key = bench.layers.key(kind, parameter)
        base = bench.comfy.utils.get_attr(bench.patcher(side).model, key).detach()
        truth = at_multiplier(base, full, multiplier)
        change = _distance(base, truth) if base.shape == truth.shape else float(truth.norm())
        got = _distance(patched(ours[side], key), truth) / change
        host = float("inf")
        if theirs is not None:
            with _quiet():
                host = _distance(patched(theirs[side], key), truth) / change
        bound = ROUNDED * _distance(truth.to(base.dtype), truth) / change
        if base.dtype == torch.float32:
            bound = max(bound, CLOSE)
        yield Deviation(kind, parameter, multiplier, got, host, bound)


def _distance(tensor: Tensor, truth: Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor - truth)) if tensor.shape == truth.shape else float("inf")
