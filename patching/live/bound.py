"""How the tensors of a plan lie in one copy of the model on one device, with the weights of the moment."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import comfy.utils
import torch
from torch import Tensor

from .factors import Columns, Factors, Pairs, map_tensors
from .layer import BoundPairs, BoundUp, DownPlace, Layer, Now, bind_segment
from .shared import Sharing

KEPT_SHARINGS = 16
"""For as many sets of active layers it is remembered what they share."""
Weights = tuple[tuple[float, ...], ...]
"""Of the entries, per group of rows; a single group means the whole batch."""


def bind(factors: Factors, root: torch.nn.Module, device: torch.device) -> Bound:
    """The tensors in this copy of the model, not in use: as a call before has left them, or anew.

    Of a stack that is applied twice in a row each has its own.
    """
    known = factors.bound.setdefault(root, [])
    known[:] = [bound for bound in known if bound.is_current(factors, device)]
    free = next((bound for bound in known if not bound.is_active), None)
    if free is None:
        free = Bound(factors, root, device)
        known.append(free)
    return free


class Bound:
    """A plan's tensors in one copy of the model on one device. Weights are set per call."""

    def __init__(self, factors: Factors, root: torch.nn.Module, device: torch.device) -> None:
        self.now = Now()
        self.active: tuple[Layer, ...] = ()
        """The layers that a weight other than zero changes now."""
        self.sharing = Sharing((), (), self.now)
        """Of those."""
        self.is_active = False
        self._state = _state(factors, device)
        self._segments = factors.segments
        self._dtype = factors.dtype
        with torch.inference_mode(False), torch.no_grad():
            self._tensors = [tensor.detach().to(device) for tensor in factors.tensors]
        self._flat = {columns: self._tensors[number] for columns, number in factors.columns.items()}
        self._inputs = factors.inputs
        self._scaled: dict[Columns, Tensor] = {}
        self._layers: list[tuple[frozenset[int], Layer]] = []
        self._sharings: dict[tuple[Layer, ...], Sharing] = {}
        """By the active layers, the one used last at the end."""
        self._keys: set[tuple[Columns, ...]] = set()
        self._weights: Weights | None = None
        self._root = weakref.ref(root)

    def is_current(self, factors: Factors, device: torch.device) -> bool:
        """Whether the host has left the tensors where they were."""
        return self._state == _state(factors, device)

    @property
    def mixes_rows(self) -> bool:
        """Whether a layer is given tokens of all rows in an order of the model's own: experts are."""
        return any("expert" in name for name in self._segments)

    def set_weights(self, weights: Weights) -> None:
        """Weights for the next calls."""
        if weights == self._weights:
            return
        # What is made here outlives a run of the host, which is in inference mode, and the next may want gradients.
        with torch.inference_mode(False), torch.no_grad():
            self._set(weights)

    def _set(self, weights: Weights) -> None:
        self.now.rows = len(weights) if len(weights) > 1 else 0
        if self.now.rows:
            self._set_for_rows(weights)
        else:
            self._set_for_all(weights[0])
        self._weights = weights
        if not self._layers:
            self._build()
        if self.now.rows:
            self.now.scales = {
                key: torch.stack(
                    [self.now.weights[entry] for columns in key for entry, rank in columns for _ in range(rank)], dim=1
                )
                .to(self._dtype)
                .unsqueeze(1)
                for key in self._keys
            }
        moving = {entry for row in weights for entry, weight in enumerate(row) if weight}
        active = tuple(layer for entries, layer in self._layers if entries & moving)
        if active != self.active:
            self.active, self.sharing = active, self._sharing_of(active)

    def _sharing_of(self, active: tuple[Layer, ...]) -> Sharing:
        """What these layers share, with what has been learned of them: rows and steps take turns."""
        found = self._sharings.pop(active, None) or Sharing(active, self._tensors, self.now)
        self._sharings[active] = found
        while len(self._sharings) > KEPT_SHARINGS:
            del self._sharings[next(iter(self._sharings))]
        return found

    def _set_for_all(self, row: tuple[float, ...]) -> None:
        self.now.weights = dict(enumerate(row))
        self.now.scales = {}
        for columns, flat in self._flat.items():
            scale = [row[entry] for entry, rank in columns for _ in range(rank)]
            if self._weights is None and all(s == 1 for s in scale):
                self._scaled[columns] = flat
                continue
            factor = torch.tensor(scale, dtype=flat.dtype, device=flat.device)
            if columns not in self._scaled or not _is_ours(self._scaled[columns], flat):
                self._scaled[columns] = flat * factor
                self._layers = []
            else:
                torch.mul(flat, factor, out=self._scaled[columns])

    def _set_for_rows(self, weights: Weights) -> None:
        device = next(iter(self._flat.values())).device if self._flat else torch.device("cpu")
        table = torch.tensor(weights, dtype=torch.float32, device=device)
        self.now.weights = {entry: table[:, entry] for entry in range(table.shape[1])}
        for columns, flat in self._flat.items():
            self._scaled.setdefault(columns, flat)

    def _build(self) -> None:
        root = self._root()
        assert root is not None
        self._sharings.clear()
        for name, segments in self._segments.items():
            module = comfy.utils.get_attr(root, name)
            parent = name.rpartition(".")[0]
            bound = [bind_segment(segment, partial(self._pairs, parent), self._form) for segment in segments]
            entries = frozenset(entry for segment in segments for entry in segment.entries)
            self._layers.append((entries, Layer(module, bound, self.now, _bias_of(root, name))))

    def _form(self, form: Any) -> Any:
        return map_tensors(form, lambda number: self._tensors[number])

    def _pairs(self, parent: str, pairs: Pairs) -> BoundPairs:
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
        place = DownPlace(self._inputs[pairs.inputs], pairs.first, pairs.rank, key, parent)
        return BoundPairs(self._tensors[place.tensor].narrow(0, place.first, place.rank), tuple(ups), place)


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
