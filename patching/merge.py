"""A stack as the tensors of one LoRA file whose weight of 1 does what the stack does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import comfy.model_management
import comfy.utils
import torch
from torch import Tensor

from ..library import LoraFile
from ..stack.architectures import is_text_encoder_name
from ..stack.entry import LoraEntry
from ..stack.errors import MissingLorasError, StackNotSavedError
from ..stack.printer import print_tag
from ..stack.stack import LoraStack
from ..strategies import Kronecker, Limit, Matrix, Product, Reshaped, Strategy, Whole, may_sketch
from .changes import change_of, full_shape, placed
from .embeddings import PREFIX
from .entries import OPEN_STEPS, OpenedEntry, open_entries, resolve_entries
from .keymap import Side, weight_shape
from .match import Match
from .names import flat
from .progress import Progress
from .rank_limit import left_by, limit_of, linalg_device, shortened

Patcher = Any
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """An entry that went into a file."""

    entry: LoraEntry
    file: LoraFile
    te: float
    unet: float


@dataclass(frozen=True, slots=True)
class Merged:
    """A LoRA file to be."""

    tensors: dict[str, Tensor]
    """fp32"""
    sources: tuple[Source, ...]
    modules: int
    kept: float
    """Share of the energy that the rank keeps; 1 without one."""
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Sum:
    """The changes of one weight or bias, added up."""

    shape: Shape
    """Of the weight with its changes."""
    grown: bool = False
    terms: list[tuple[Callable[[], Matrix | Tensor], float]] = field(default_factory=list)
    """(makes a change, its multiplier): made when their turn comes, since all of a file at once would not fit."""
    products: list[Product] = field(default_factory=list)
    dense: Tensor | None = None
    """(rows, columns), or (rows,) of a vector"""
    may_sketch: bool = False

    def add(self, multiplier: float, make: Callable[[], Matrix | Tensor]) -> None:
        self.terms.append((make, multiplier))

    def gather(self) -> None:
        """Makes the changes and adds them up."""
        for make, multiplier in self.terms:
            self._add(make(), multiplier)
        self.terms.clear()

    def _add(self, change: Matrix | Tensor, multiplier: float) -> None:
        if isinstance(change, Kronecker):
            rows, columns = change.shape
            thin = change.rank * (rows + columns) < rows * columns
            change = Product(*_factors(change)) if thin else Whole(change.dense())
        if isinstance(change, Product):
            self.products.append(Product(change.up * multiplier, change.down))
            return
        self.may_sketch = self.may_sketch or (isinstance(change, Matrix) and may_sketch(change))
        numbers = multiplier * (change if isinstance(change, Tensor) else change.dense())
        self.dense = numbers if self.dense is None else self.dense + numbers

    def total(self) -> Matrix:
        """Of a matrix; thin where that takes fewer numbers."""
        rows, columns = self.shape[0], torch.Size(self.shape[1:]).numel()
        rank = sum(product.down.shape[0] for product in self.products)
        if self.dense is None and rank * (rows + columns) < rows * columns:
            return Product(torch.cat([p.up for p in self.products], 1), torch.cat([p.down for p in self.products]))
        dense = sum((p.dense() for p in self.products), start=torch.zeros(()))
        return Whole(dense + (0 if self.dense is None else self.dense), self.may_sketch)


def _factors(matrix: Matrix) -> tuple[Tensor, Tensor]:
    u, s, vt = matrix.svd()
    return u * s, vt


def merge_stack(stack: LoraStack, rank: int, model: Patcher | None, clip: Any | None) -> Merged:
    """Adds up a stack's changes. `rank`: of the result; 0 keeps everything, factors side by side.

    Keys are the host's names for what is connected, else the files' own. Computes with the host's progress.

    Raises:
        MissingLorasError: names that do not resolve.
        LoraFileError: a file that is unreadable, or does not fit what is connected.
        StackNotSavedError: the stack has changes that do not add up, or that need a model to be understood.
        InterruptProcessingException: the user cancelled.
    """
    resolved, errors = resolve_entries(stack, "first")
    if errors:
        raise MissingLorasError([(print_tag(entry), error) for entry, error in errors])
    sides: dict[Side, Patcher] = {}
    if clip is not None:
        sides["te"] = clip.patcher
    if model is not None:
        sides["unet"] = model
    items = [item for item in resolved if item.te or item.unet]
    entries = open_entries(items, sides, Progress(len(items) * OPEN_STEPS))
    sums: dict[tuple[str, str], _Sum] = {}
    notes = [*stack.notes]
    device = linalg_device()
    for entry in entries:
        for side, patcher in sides.items():
            for found, multiplier in zip(entry.matchings[side].matches, entry.weights[side], strict=True):
                if multiplier:
                    _add_match(sums, entry, found, multiplier, weight_shape(patcher.model, found.target.key), device)
        notes.extend(f"{entry.item.file.name}: {said}." for said in entry.ranks.notes)
    _add_by_own_names(sums, entries, sides, device)
    if not sums:
        raise StackNotSavedError("The stack changes nothing: every weight is 0, or nothing fits what is connected.")
    tensors, kept = _tensors(sums, rank)
    tensors.update(_embeddings(entries))
    sources = tuple(Source(e.item.entry, e.item.file, e.item.te, e.item.unet) for e in entries)
    return Merged(tensors, sources, len(sums), kept, tuple(notes))


def _add_match(
    sums: dict[tuple[str, str], _Sum],
    entry: OpenedEntry,
    found: Match,
    multiplier: float,
    shape: Shape,
    device: torch.device,
) -> None:
    _check_additive(entry, found.module, found.strategy)
    name, _, parameter = found.target.key.rpartition(".")
    prefix = "text_encoders." if found.target.side == "te" else ""
    whole = full_shape(found, shape)
    total = sums.setdefault((prefix + name, parameter), _Sum(whole))
    if any(new > old for new, old in zip(whole, total.shape, strict=True)):
        raise StackNotSavedError(
            f"{entry.item.file.path} widens {found.target.key!r}, which another file of the stack changes at its own "
            "width. Save them one by one."
        )
    total.grown = total.grown or whole != shape
    total.add(multiplier, partial(_change, found, whole, device))


def _change(found: Match, whole: Shape, device: torch.device) -> Matrix | Tensor:
    """What a match adds to the whole weight: a matrix, or the numbers of a vector."""
    if len(whole) > 1:
        change = change_of(found, device)
        if change is None:
            change = Whole(found.strategy.delta(torch.zeros(found.shape, dtype=torch.float64)).flatten(1))
        return placed(found, change, whole)
    vector = torch.zeros(whole, dtype=torch.float64)
    start = found.target.offset[1] if found.target.offset is not None else 0
    part = found.strategy.delta(torch.zeros(found.shape, dtype=torch.float64))
    vector[start : start + found.shape[0]] = part if found.target.function is None else found.target.function(part)
    return vector


def _check_additive(entry: OpenedEntry, module: str, strategy: Strategy) -> None:
    if not strategy.additive:
        raise StackNotSavedError(
            f"{entry.item.file.path}: its module {module!r} is {strategy.family}, whose change depends on the weight "
            "it meets, so that it cannot be added to others in one file. Take it out of the stack."
        )


# ── without a model: by the files' own names ──


def _add_by_own_names(
    sums: dict[tuple[str, str], _Sum], entries: list[OpenedEntry], sides: dict[Side, Patcher], device: torch.device
) -> None:
    """Adds what belongs to a side that is not connected. The first file's spelling of a name counts."""
    spelled: dict[str, str] = {}
    by_file: list[tuple[OpenedEntry, set[str]]] = []
    for entry in entries:
        names: set[str] = set()
        limit = limit_of(entry.item.entry)
        own = {
            (module.name, parameter): strategy
            for module in entry.opened.modules.modules.values()
            for parameter, strategy in module.parameters.items()
            if (side := _side(module.name)) not in sides and entry.item.weight(side)
        }
        if not own:
            continue
        if entry.rules is not None:
            raise StackNotSavedError(
                f"{entry.item.file.name} has block weights, which count the blocks of a model. Connect the "
                f"{'text encoder' if 'unet' in sides else 'model'} that the stack is for."
            )
        left = left_by(limit, entry.item.file, entry.opened, own)[0] if limit is not None else {}
        for (name, parameter), strategy in own.items():
            _check_additive(entry, name, strategy)
            if limit is not None:
                strategy = shortened(limit, strategy, left[name, parameter])
            names.add(flat(name))
            spelling = spelled.setdefault(flat(name), name)
            shape = _own_shape(strategy)
            total = sums.setdefault((spelling, parameter), _Sum(shape, isinstance(strategy, Reshaped)))
            if torch.Size(total.shape).numel() != torch.Size(shape).numel():
                raise StackNotSavedError(
                    f"{entry.item.file.path}: its module {name!r} is {shape}, and another file's is {total.shape}."
                )
            total.add(entry.item.weight(_side(name)), partial(_own_change, strategy, device))
        by_file.append((entry, names))
    for entry, names in by_file[1:]:
        if not any(names & others for _, others in by_file if others is not names):
            raise StackNotSavedError(
                f"{entry.item.file.path} has no layer's name in common with the other files, which may name the same "
                "layers differently. Connect the model, so that the names can be compared."
            )


def _side(module: str) -> Side:
    return "te" if is_text_encoder_name(module) else "unet"


def _own_change(strategy: Strategy, device: torch.device) -> Matrix | Tensor:
    change = strategy.matrix(device)
    # Only a vector has no matrix among what adds up.
    return strategy.delta(torch.zeros(_own_shape(strategy), dtype=torch.float64)) if change is None else change


def _own_shape(strategy: Strategy) -> Shape:
    """The shape of a weight that a change is for, as far as the file says it."""
    if isinstance(strategy, Reshaped):
        return strategy.shape
    change = strategy.matrix(torch.device("meta"))
    if change is None:
        return tuple(strategy.numbers[0].shape)
    kernel = strategy.kernel
    rows, columns = change.shape
    return (rows, columns // torch.Size(kernel).numel(), *kernel)


# ── the file ──


def _tensors(sums: dict[tuple[str, str], _Sum], rank: int) -> tuple[dict[str, Tensor], float]:
    """(the tensors by key, the share of the energy that the rank keeps)."""
    tensors: dict[str, Tensor] = {}
    energy = kept = 0.0
    progress = comfy.utils.ProgressBar(len(sums))
    for done, ((name, parameter), total) in enumerate(sums.items(), 1):
        comfy.model_management.throw_exception_if_processing_interrupted()
        total.gather()
        if len(total.shape) < 2:
            assert total.dense is not None
            tensors[f"{name}.diff_b" if parameter == "bias" else f"{name}.diff"] = _stored(total.dense)
        else:
            matrix = total.total()
            if rank and matrix.rank > rank:
                cut = matrix.best(Limit(rank=rank))
                energy, kept = energy + cut.energy_before, kept + cut.energy
                matrix = Product(cut.up, cut.down)
            tensors.update(_matrix_tensors(name, matrix, total))
        total.products.clear()
        total.dense = None
        progress.update_absolute(done)
    return tensors, kept / energy if energy else 1.0


def _matrix_tensors(name: str, matrix: Matrix, total: _Sum) -> Iterable[tuple[str, Tensor]]:
    if not isinstance(matrix, Product):
        yield f"{name}.diff", _stored(matrix.dense().reshape(total.shape))
        return
    yield f"{name}.lora_up.weight", _stored(matrix.up.reshape(*matrix.up.shape, *[1] * (len(total.shape) - 2)))
    yield f"{name}.lora_down.weight", _stored(matrix.down.reshape(-1, *total.shape[1:]))
    # Says that the factors are all there is, also to a reader that finds settings beside the file.
    yield f"{name}.alpha", torch.tensor(float(matrix.up.shape[1]))
    if total.grown:
        yield f"{name}.reshape_weight", torch.tensor(total.shape)


def _stored(tensor: Tensor) -> Tensor:
    return tensor.to("cpu", torch.float32).contiguous()


def _embeddings(entries: Iterable[OpenedEntry]) -> dict[str, Tensor]:
    """Bundled embeddings, of one name the first file's, as Apply has it."""
    found: dict[str, Tensor] = {}
    seen: set[str] = set()
    for entry in entries:
        for embedding in entry.opened.embeddings:
            if embedding.name not in seen:
                found |= {f"{PREFIX}{embedding.name}.{p}": v.contiguous() for p, v in embedding.vectors.items()}
        seen |= {embedding.name for embedding in entry.opened.embeddings}
    return found
