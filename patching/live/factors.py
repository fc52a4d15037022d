"""The tensors of a plan as one module of few large ones, which the host loads, counts and offloads like a model.

All plain pairs of a layer are one product with `down`, then one with `up`. The `up`s of all layers with the same
columns (the same LoRAs at the same ranks) lie in one tensor, so that a new weight is one multiplication for all. The
`down`s of all layers with as many inputs lie in one tensor, those of one module's layers side by side, so that layers
with one input can share a product (`shared.py`).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from ...strategies.forms import ChannelMap, Form, OnInput, OnOutput, Pair
from .parts import Layers, Step

Columns = tuple[tuple[int, int], ...]
"""(entry, rank), in order: whose columns a pair's are."""
Rows = tuple[int, int]
Inputs = tuple[int, ...]
"""(in[, kernel…]) of a `down`."""


@dataclass(frozen=True, slots=True)
class Up:
    """One `up` of a layer."""

    columns: Columns
    start: int
    """First row in the tensor of these columns."""
    length: int
    """Output channels."""
    rows: Rows | None
    """Those of the layer; `None` for all."""
    first: int
    """Where its columns begin in the layer's `down`."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """All neighbouring pairs of a layer."""

    inputs: Inputs
    first: int
    """First row of its `down` in the tensor of these inputs."""
    ups: tuple[Up, ...]

    @property
    def rank(self) -> int:
        """Rows of the `down`."""
        return sum(rank for up in self.ups for _, rank in up.columns)

    @property
    def entries(self) -> frozenset[int]:
        """Whose they are."""
        return frozenset(entry for up in self.ups for entry, _ in up.columns)


@dataclass(frozen=True, slots=True)
class Single:
    """Any other step; its tensors are numbers of the module's."""

    step: Step

    @property
    def entries(self) -> frozenset[int]:
        """Whose it is."""
        return frozenset((self.step.entry,))


Segment = Pairs | Single


class Factors(torch.nn.Module):
    """The tensors of a plan. `layers`: in the model's order, which puts q, k and v before what comes out of them.

    `identity` stays in copies for other devices.
    """

    def __init__(self, layers: Layers, dtype: torch.dtype, identity: object) -> None:
        super().__init__()
        self.identity = identity
        self.dtype = dtype
        self.bound: weakref.WeakKeyDictionary[torch.nn.Module, list[Any]] = weakref.WeakKeyDictionary()
        """Copy of the model → how the tensors lie in it (`Bound`). Plans of other weights have the same."""
        self.segments: dict[str, tuple[Segment, ...]] = {}
        self._pending: list[Tensor] = []
        flat = _Flat({}, {})
        for module in sorted(layers, key=lambda name: name.rpartition(".")[0]):
            self.segments[module] = tuple(self._segments(layers[module], flat))
        self.columns: dict[Columns, int] = {}
        """Number of the tensor of all `up`s with them."""
        for columns, ups in flat.ups.items():
            self.columns[columns] = self._add(torch.cat(ups))
            ups.clear()
        self.inputs: dict[Inputs, int] = {}
        """Number of the tensor of all `down`s with them."""
        for inputs, downs in flat.downs.items():
            self.inputs[inputs] = self._add(torch.cat(downs))
            downs.clear()
        self.tensors = torch.nn.ParameterList(
            torch.nn.Parameter(tensor, requires_grad=False) for tensor in self._pending
        )
        self._pending = []

    def copy(self) -> Factors:
        """The same with tensors of its own, on the CPU."""
        copy = Factors({}, self.dtype, self.identity)
        copy.segments, copy.columns, copy.inputs = self.segments, self.columns, self.inputs
        copy.tensors = torch.nn.ParameterList(
            torch.nn.Parameter(tensor.detach().cpu().clone(), requires_grad=False) for tensor in self.tensors
        )
        return copy

    def _add(self, tensor: Tensor) -> int:
        self._pending.append(tensor.to(self.dtype).contiguous())
        return len(self._pending) - 1

    def _segments(self, steps: Iterable[Step], flat: _Flat) -> Iterable[Segment]:
        waiting: list[Step] = []
        for step in steps:
            if isinstance(step.form, Pair):
                waiting.append(step)
                continue
            if not _adds(step.form):
                yield from self._pairs(waiting, flat)
                waiting = []
            yield Single(replace(step, form=map_tensors(step.form, self._add)))
        yield from self._pairs(waiting, flat)

    def _pairs(self, steps: list[Step], flat: _Flat) -> Iterable[Segment]:
        if not steps:
            return
        by_rows: dict[Rows | None, list[tuple[int, Pair]]] = {}
        for step in steps:
            assert isinstance(step.form, Pair)
            by_rows.setdefault(step.rows, []).append((step.entry, balanced(step.form)))
        downs: list[Tensor] = []
        ups: list[Up] = []
        first = 0
        for rows, pairs in by_rows.items():
            columns = tuple((entry, pair.down.shape[0]) for entry, pair in pairs)
            up = torch.cat([pair.up for _, pair in pairs], dim=1)
            start = _put(flat.ups, columns, up.to(self.dtype))
            ups.append(Up(columns, start, up.shape[0], rows, first))
            downs += [pair.down for _, pair in pairs]
            first += up.shape[1]
        down = torch.cat(downs).to(self.dtype)
        inputs = tuple(down.shape[1:])
        yield Pairs(inputs, _put(flat.downs, inputs, down), tuple(ups))


@dataclass(frozen=True, slots=True)
class _Flat:
    """What will be one tensor each."""

    ups: dict[Columns, list[Tensor]]
    downs: dict[Inputs, list[Tensor]]


def _put(parts: dict[Any, list[Tensor]], key: Any, part: Tensor) -> int:
    """Adds a part; its first row."""
    before = parts.setdefault(key, [])
    start = sum(one.shape[0] for one in before)
    before.append(part)
    return start


def _adds(form: Form) -> bool:
    return not isinstance(form, OnInput | OnOutput)


def balanced(pair: Pair) -> Pair:
    """The pair with both sides of every column of one size, so that half precision holds both; powers of two only."""
    up = pair.up.abs().amax(0)
    down = pair.down.flatten(1).abs().amax(1)
    both = (up > 0) & (down > 0)
    power = torch.where(both, torch.round((torch.log2(up) - torch.log2(down)) / 2), 0.0)
    factor = torch.exp2(power)
    return Pair(pair.up / factor, pair.down * factor.reshape(-1, *[1] * (pair.down.ndim - 1)))


def map_tensors(value: Any, change: Callable[[Any], Any]) -> Any:
    """A form (or a map of channels) with `change` of each of its tensors; tuples of tensors likewise."""

    def changed(item: Any) -> Any:
        if isinstance(item, Form | ChannelMap):
            return map_tensors(item, change)
        if isinstance(item, tuple):
            return tuple(changed(part) for part in item)
        return item if item is None else change(item)

    return type(value)(*(changed(getattr(value, f.name)) for f in fields(value)))
