"""A look inside the LoRAs of a stack: how strong each is in every block, of what rank, and where two overlap.

Strength is ‖Δ‖ / ‖W‖ over the weights of a block that a file changes, at weight 1 and under its rank limit. Norms and
products of low-rank changes come from their factors; only changes that depend on the weight are computed in full.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import comfy.model_management
import comfy.utils
import torch
from comfy.model_patcher import get_key_weight
from torch import Tensor

from ..library import LoraFile
from ..stack.errors import MissingLorasError
from ..stack.printer import print_tag
from ..stack.stack import LoraStack
from ..strategies import Matrix, Whole, cosine, inner
from .blocks import in_order
from .changes import change_of, full_shape, placed
from .entries import OPEN_STEPS, OpenedEntry, Patcher, open_entries, resolve_entries
from .keymap import Side, Target, architecture_of, blocks_of, weight_shape
from .match import Match
from .progress import Progress
from .rank_limit import linalg_device

SHARE = 0.9
"""Of the energy that an effective rank keeps."""


@dataclass(frozen=True, slots=True)
class BlockLook:
    """One LoRA in one block."""

    strength: float
    """‖Δ‖ / ‖W‖"""
    ranks: tuple[int, int] | None
    """Lowest and highest rank of its modules; `None` where none has one."""
    effective: float | None
    """Mean of its modules' effective ranks."""
    modules: int

    def to_json(self) -> dict[str, Any]:
        ranks = list(self.ranks) if self.ranks is not None else None
        return {"strength": self.strength, "ranks": ranks, "effective": self.effective, "modules": self.modules}


@dataclass(frozen=True, slots=True)
class LoraLook:
    """One LoRA of the stack."""

    file: LoraFile
    te: float
    unet: float
    families: tuple[str, ...]
    ranks: tuple[int, int] | None
    blocks: Mapping[str, BlockLook]
    """Only blocks that it changes."""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.file.name, "te": self.te, "unet": self.unet, "families": list(self.families),
            "ranks": list(self.ranks) if self.ranks is not None else None,
            "blocks": {block: look.to_json() for block, look in self.blocks.items()},
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two LoRAs of the stack: the cosine between their changes, 1 for the same direction, 0 for nothing in common."""

    first: int
    second: int
    whole: float
    blocks: Mapping[str, float]
    """Only blocks that both change."""

    def to_json(self) -> dict[str, Any]:
        return {"first": self.first, "second": self.second, "cosine": self.whole, "blocks": dict(self.blocks)}


@dataclass(frozen=True, slots=True)
class Look:
    """What `look_inside` found."""

    architecture: str | None
    ids: tuple[str, ...]
    """The blocks in the order of the bars: `BASE` for all text encoders, the model's own; `PRE` and `POST` where a LoRA
    changes them."""
    loras: tuple[LoraLook, ...]
    overlaps: tuple[Overlap, ...]
    asked: tuple[tuple[str, str], ...]
    """(name of an entry, path of the file that it stood for)."""

    def to_json(self) -> dict[str, Any]:
        return {
            "architecture": self.architecture, "ids": list(self.ids),
            "loras": [lora.to_json() for lora in self.loras],
            "overlaps": [overlap.to_json() for overlap in self.overlaps],
        }  # fmt: skip

    def __str__(self) -> str:
        lines = []
        for lora in self.loras:
            lines.append(f"{lora.file.name}: {describe(lora)}")
            lines.append("  " + ", ".join(_say(b, lora.blocks[b]) for b in self.ids if b in lora.blocks))
        for overlap in self.overlaps:
            names = f"{self.loras[overlap.first].file.name} and {self.loras[overlap.second].file.name}"
            most = sorted(overlap.blocks, key=lambda block: -abs(overlap.blocks[block]))[:5]
            where = "; most in " + ", ".join(f"{b} {overlap.blocks[b]:.2f}" for b in most) if most else ""
            lines.append(f"{names}: cosine {overlap.whole + 0:.3f}{where}")
        return "\n".join(lines) or "The stack is empty."


def describe(lora: LoraLook) -> str:
    """`lora · rank 16`"""
    ranks = f" · rank {_span(lora.ranks)}" if lora.ranks is not None else ""
    return ", ".join(lora.families) + ranks


def _say(block: str, look: BlockLook) -> str:
    effective = f" (rank {_span(look.ranks)}, effective {look.effective:.1f})" if look.ranks and look.effective else ""
    return f"{block} {look.strength:.2g}{effective}"


def _span(ranks: tuple[int, int] | None) -> str:
    assert ranks is not None
    return str(ranks[0]) if ranks[0] == ranks[1] else f"{ranks[0]}–{ranks[1]}"


@dataclass(slots=True)
class _Tally:
    """One LoRA in one block, while it is added up."""

    energy: float = 0.0
    weight: float = 0.0
    ranks: list[int] = field(default_factory=list)
    effective: list[int] = field(default_factory=list)
    modules: set[str] = field(default_factory=set)

    def look(self) -> BlockLook:
        ranks = (min(self.ranks), max(self.ranks)) if self.ranks else None
        effective = sum(self.effective) / len(self.effective) if self.effective else None
        strength = math.sqrt(self.energy / self.weight) if self.weight else 0.0
        return BlockLook(strength, ranks, effective, len(self.modules))


@dataclass(frozen=True, slots=True)
class _Placed:
    """A change on one weight of the model, of one LoRA."""

    lora: int
    matrix: Matrix
    energy: float


def look_inside(stack: LoraStack, model: Patcher, clip: Any | None) -> Look:
    """Measures the LoRAs of a stack against a model and a text encoder, with the host's progress.

    Raises:
        MissingLorasError: names that do not resolve.
        LoraFileError: a file that is unreadable, or does not fit.
        InterruptProcessingException: the user cancelled.
    """
    resolved, errors = resolve_entries(stack, "first")
    if errors:
        raise MissingLorasError([(print_tag(entry), error) for entry, error in errors])
    sides: dict[Side, Patcher] = {"te": clip.patcher, "unet": model} if clip is not None else {"unet": model}
    entries = open_entries(resolved, sides, Progress(len(resolved) * OPEN_STEPS))
    layout = blocks_of(model.model)
    by_weight: dict[tuple[Side, str], list[tuple[int, Match]]] = {}
    for number, entry in enumerate(entries):
        for side, matching in entry.matchings.items():
            for found in matching.matches:
                by_weight.setdefault((side, found.target.key), []).append((number, found))
    tallies: list[dict[str, _Tally]] = [{} for _ in entries]
    products: dict[tuple[int, int], dict[str, float]] = {}
    energies: list[dict[str, float]] = [{} for _ in entries]
    progress = comfy.utils.ProgressBar(len(by_weight))
    device = linalg_device()
    for done, ((side, key), changes) in enumerate(by_weight.items(), 1):
        comfy.model_management.throw_exception_if_processing_interrupted()
        block = "BASE" if side == "te" else layout.block_of(key).partition("/")[0]
        found_here = _measure(sides[side], changes, [tally.setdefault(block, _Tally()) for tally in tallies], device)
        for change in found_here:
            energies[change.lora][block] = energies[change.lora].get(block, 0.0) + change.energy
        for i, a in enumerate(found_here):
            for b in found_here[i + 1 :]:
                if a.lora != b.lora:
                    pair = products.setdefault((min(a.lora, b.lora), max(a.lora, b.lora)), {})
                    pair[block] = pair.get(block, 0.0) + inner(a.matrix, b.matrix)
        progress.update_absolute(done)
    looks = tuple(_look(entry, tally) for entry, tally in zip(entries, tallies, strict=True))
    used = {block for look in looks for block in look.blocks}
    ids = in_order({"BASE", *layout.ids, *used}, layout)
    return Look(
        architecture_of(model.model),
        tuple(ids),
        looks,
        tuple(_overlap(pair, by_block, energies) for pair, by_block in sorted(products.items())),
        tuple((item.entry.name, item.file.path) for item in resolved),
    )


def _measure(
    patcher: Patcher, changes: Iterable[tuple[int, Match]], tallies: list[_Tally], device: torch.device
) -> list[_Placed]:
    """Adds the changes of one weight to their LoRAs' tallies; gives them as matrices of the whole weight."""
    placed_changes = []
    for number, found in changes:
        shape = weight_shape(patcher.model, found.target.key)
        matrix = change_of(found, device)
        low_rank = matrix is not None and found.strategy.rank is not None
        if matrix is None:
            matrix = _in_full(patcher, found, device)
        tally = tallies[number]
        energy = matrix.energy()
        tally.energy += energy
        tally.weight += _weight_energy(patcher, found.target)
        tally.modules.add(found.module)
        if matrix.shape[1] > 1:
            tally.ranks.append(found.strategy.rank if low_rank and found.strategy.rank else matrix.rank)
            tally.effective.append(matrix.effective_rank(SHARE))
        whole = full_shape(found, shape)
        if matrix.shape[1] == 1 or len(shape) > 1:
            placed_changes.append(_Placed(number, placed(found, matrix, whole), energy))
    return [change for change in placed_changes if change.matrix.shape == placed_changes[0].matrix.shape]


def _in_full(patcher: Patcher, found: Match, device: torch.device) -> Matrix:
    """A change that depends on the weight, or is a vector."""
    weight = _weight_of(patcher, found.target)
    if tuple(weight.shape) != found.shape:
        region = weight.new_zeros(found.shape)
        common = tuple(slice(0, min(a, b)) for a, b in zip(weight.shape, found.shape, strict=True))
        region[common] = weight[common]
        weight = region
    function = found.target.function
    delta = found.strategy.delta(weight if function is None else function(weight))
    return Whole(delta.to(device, torch.float64).reshape(delta.shape[0], -1), may_sketch=True)


def _weight_of(patcher: Patcher, target: Target) -> Tensor:
    """The unpatched weight, or its slice, in fp32."""
    weight, _, convert = get_key_weight(patcher.model, target.key)
    if target.key in patcher.backup:
        weight = patcher.backup[target.key].weight
    number = weight.detach().to("cpu", torch.float32, copy=True)
    if convert is not None:
        number = convert(number, inplace=True).to(torch.float32)
    part: Tensor = number if target.offset is None else number.narrow(*target.offset)
    return part


_energies: weakref.WeakKeyDictionary[torch.nn.Module, dict[Target, float]] = weakref.WeakKeyDictionary()


def _weight_energy(patcher: Patcher, target: Target) -> float:
    """‖W‖², kept as long as the model lives."""
    kept = _energies.setdefault(patcher.model, {})
    if target not in kept:
        kept[target] = float(_weight_of(patcher, target).square().sum(dtype=torch.float64))
    return kept[target]


def _look(entry: OpenedEntry, tallies: Mapping[str, _Tally]) -> LoraLook:
    used = {block: tally.look() for block, tally in tallies.items() if tally.modules}
    names = frozenset().union(*(matching.modules for matching in entry.matchings.values()))
    modules = entry.opened.modules.modules
    families = dict.fromkeys(modules[name].family for name in modules if name in names)
    ranks = [rank for look in used.values() if look.ranks is not None for rank in look.ranks]
    span = (min(ranks), max(ranks)) if ranks else None
    return LoraLook(entry.item.file, entry.item.te, entry.item.unet, tuple(families), span, used)


def _overlap(pair: tuple[int, int], products: Mapping[str, float], energies: list[dict[str, float]]) -> Overlap:
    a, b = (energies[number] for number in pair)
    by_block = {block: cosine(product, a[block], b[block]) for block, product in products.items()}
    return Overlap(*pair, cosine(sum(products.values()), sum(a.values()), sum(b.values())), by_block)
