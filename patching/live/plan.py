"""A plan: what one Apply does in the forward pass, and how its tensors lie in one copy of the model."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import comfy.model_patcher
import comfy.utils
import torch
from torch import Tensor

from ...stack.schedule import Schedule
from .factors import Columns, Factors, Pairs, map_tensors
from .layer import BoundPairs, BoundUp, Layer, Now, bind_segment

Patcher = Any
RowKey = Any
"""What a row's conditioning says of its own stack; equal for rows that are treated alike."""


@dataclass(frozen=True, slots=True)
class LiveEntry:
    """One LoRA of a plan."""

    name: str
    weight: float
    schedule: Schedule | None

    def at(self, place: float, steps: int) -> float:
        """Its weight at a place of the schedule."""
        return self.weight if self.schedule is None else self.schedule.at(place, steps)


def unless_replaced(entry: int, row: RowKey) -> bool:
    """Whether the model's own LoRAs act on a row."""
    return row is None or not row.replaces


@dataclass(frozen=True)
class Plan:
    """Entries, and the tensors of what they change. The tensors are shared by plans that differ in weights alone."""

    entries: tuple[LiveEntry, ...]
    factors: Factors
    patcher: Patcher
    """Of `factors`."""
    acts_on: Callable[[int, RowKey], bool] = unless_replaced
    """Whether an entry acts on a row."""

    @property
    def moves(self) -> bool:
        """Whether a weight depends on the step."""
        return any(entry.schedule is not None for entry in self.entries)

    def weights(self, rows: Sequence[RowKey], place: float, steps: int) -> tuple[tuple[float, ...], ...]:
        """Weight of every entry for every group of rows; one group where all are treated alike."""
        now = [entry.at(place, steps) for entry in self.entries]
        table = [tuple(w if self.acts_on(i, row) else 0.0 for i, w in enumerate(now)) for row in rows or (None,)]
        return (table[0],) if len(set(table)) == 1 else tuple(table)


def make_patcher(model: Patcher, factors: Factors) -> Patcher:
    """A patcher for the tensors on the devices of `model`, for the host to load and unload."""
    kind = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
    patcher = kind(factors, load_device=model.load_device, offload_device=model.offload_device)
    if hasattr(patcher, "cached_patcher_init"):
        patcher.cached_patcher_init = (_copy_patcher, (weakref.ref(patcher),))
    return patcher


def _copy_patcher(source: weakref.ref[Any], *_: Any, **__: Any) -> Patcher:
    """A patcher over a copy of the tensors, for another device."""
    patcher: Any = source()
    factors = patcher.model
    copy = Factors.__new__(Factors)
    torch.nn.Module.__init__(copy)
    for name in ("identity", "dtype", "segments", "columns"):
        setattr(copy, name, getattr(factors, name))
    copy.tensors = torch.nn.ParameterList(
        torch.nn.Parameter(tensor.detach().cpu().clone(), requires_grad=False) for tensor in factors.tensors
    )
    return type(patcher)(copy, load_device=patcher.load_device, offload_device=patcher.offload_device)


class Bound:
    """A plan's tensors in one copy of the model on one device. Weights are set per call."""

    def __init__(self, factors: Factors, root: torch.nn.Module, device: torch.device) -> None:
        self.now = Now()
        self._state = _state(factors, device)
        self._factors = factors
        self._tensors = [tensor.detach().to(device) for tensor in factors.tensors]
        self._flat = {columns: self._tensors[number] for columns, number in factors.columns.items()}
        self._scaled: dict[Columns, Tensor] = {}
        self._layers: list[tuple[frozenset[int], Layer]] = []
        self._keys: set[tuple[Columns, ...]] = set()
        self._weights: tuple[tuple[float, ...], ...] | None = None
        self._root = weakref.ref(root)
        self.is_active = False

    def is_current(self, factors: Factors, device: torch.device) -> bool:
        """Whether the host has left the tensors where they were."""
        return self._factors is factors and self._state == _state(factors, device)

    def set_weights(self, weights: tuple[tuple[float, ...], ...]) -> None:
        """Weights of the entries, per group of rows; a single group means the whole batch."""
        if weights == self._weights:
            return
        fresh = self._weights is None
        self._weights = weights
        self.now.rows = len(weights) if len(weights) > 1 else 0
        if len(weights) == 1:
            (row,) = weights
            self.now.weights = dict(enumerate(row))
            self.now.scales = {}
            for columns, flat in self._flat.items():
                scale = [row[entry] for entry, rank in columns for _ in range(rank)]
                if fresh and all(s == 1 for s in scale):
                    self._scaled[columns] = flat
                    continue
                factor = torch.tensor(scale, dtype=flat.dtype, device=flat.device)
                if columns not in self._scaled or not _is_ours(self._scaled[columns], flat):
                    self._scaled[columns] = flat * factor
                    self._layers = []
                else:
                    torch.mul(flat, factor, out=self._scaled[columns])
        else:
            device = next(iter(self._flat.values())).device if self._flat else torch.device("cpu")
            table = torch.tensor(weights, dtype=torch.float32, device=device)
            self.now.weights = {entry: table[:, entry] for entry in range(table.shape[1])}
            for columns, flat in self._flat.items():
                self._scaled.setdefault(columns, flat)
        if not self._layers:
            self._build()
        if self.now.rows:
            self.now.scales = {
                key: torch.stack(
                    [self.now.weights[entry] for columns in key for entry, rank in columns for _ in range(rank)], dim=1
                ).to(self._factors.dtype)
                for key in self._keys
            }

    @property
    def mixes_rows(self) -> bool:
        """Whether a layer is given tokens of all rows in an order of the model's own: experts are."""
        return any("expert" in name for name in self._factors.segments)

    def active(self) -> list[Layer]:
        """The layers that a weight other than zero changes now."""
        assert self._weights is not None
        moving = {entry for row in self._weights for entry, weight in enumerate(row) if weight}
        return [layer for entries, layer in self._layers if entries & moving]

    def _build(self) -> None:
        root = self._root()
        assert root is not None
        self._layers = []
        for name, segments in self._factors.segments.items():
            module = comfy.utils.get_attr(root, name)
            bound = [bind_segment(segment, self._pairs, self._form) for segment in segments]
            entries = frozenset(entry for segment in segments for entry in segment.entries)
            self._layers.append((entries, Layer(module, bound, self.now, _bias_of(root, name))))

    def _form(self, form: Any) -> Any:
        return map_tensors(form, lambda number: self._tensors[number])

    def _pairs(self, pairs: Pairs) -> BoundPairs:
        whole = len(pairs.ups) == 1
        ups = []
        for up in pairs.ups:
            width = sum(rank for _, rank in up.columns)
            ups.append(
                BoundUp(
                    self._flat[up.columns].narrow(0, up.start, up.length),
                    self._scaled[up.columns].narrow(0, up.start, up.length),
                    up.rows,
                    None if whole else (up.first, width),
                )
            )
        key = tuple(up.columns for up in pairs.ups)
        self._keys.add(key)
        return BoundPairs(self._tensors[pairs.down], tuple(ups), key)


def _is_ours(scaled: Tensor, flat: Tensor) -> bool:
    """Whether a tensor may be written over: it is no factor, and was not made in a mode that has ended."""
    return scaled is not flat and (torch.is_inference_mode_enabled() or not scaled.is_inference())


def _state(factors: Factors, device: torch.device) -> tuple[Any, ...]:
    return (device, *(tensor.data_ptr() for tensor in factors.tensors))


def _bias_of(root: Any, name: str) -> Callable[[Layer, Tensor], Tensor | None]:
    """How to get the bias that a layer really adds: with the constant patches, which may live outside of it."""
    key = f"{name}.bias"
    model = weakref.ref(root)

    def bias(layer: Layer, out: Tensor) -> Tensor | None:
        own: Tensor | None = getattr(layer.module, "bias", None)
        if own is None:
            return None
        patcher = getattr(model(), "current_patcher", None)
        if patcher is None or key not in patcher.patches:
            return own.to(out.device, out.dtype)
        alone: Tensor = layer.base(_nothing(layer.module, out))
        return alone.flatten(1).reshape(own.numel(), -1)[:, 0]

    return bias


def _nothing(module: Any, like: Tensor) -> Tensor:
    """An input of zeros for which the layer gives its bias at one place."""
    if hasattr(module, "in_features"):
        return like.new_zeros(1, module.in_features)
    return like.new_zeros(1, module.in_channels, *module.kernel_size)
