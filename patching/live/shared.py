"""Layers that are given the very same input share one product with `down`: q, k and v, or all layers of the context.

Nothing is assumed by name. During the first call of the model each layer notes whether its input is the object that
the layer of as many inputs before it was given. Those whose `down`s lie side by side become a run: the first of them
that is called multiplies for all, each of the others takes its part if its input is that object, and goes on alone if
not. A run that leaves parts untaken has cost a product for nothing: it is cut, and not made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, mm, unsafe_split_with_sizes

from .layer import Layer, Now, scale_rows

WIDEST = 4
"""The product of a run is at most as many times as large as its input."""
_SAME = 8
"""Rounding errors by which a product may differ from itself when done again."""


class Run:
    """Layers with neighbouring `down`s that were given one input."""

    __slots__ = (
        "_down", "_inputs", "_left", "_now", "_others", "_parts", "_scale", "_scales", "_sizes", "_version", "_x",
        "layers",
    )  # fmt: skip

    def __init__(self, layers: Sequence[Layer], tensor: Tensor, now: Now) -> None:
        self.layers = tuple(layers)
        self._sizes = [layer.place.rank for layer in layers]
        self._down = tensor.narrow(0, layers[0].place.first, sum(self._sizes)).t()
        self._inputs = tensor.shape[1]
        self._others = len(layers) - 1
        self._now = now
        self._scales: object = None
        self._scale: Tensor | None = None
        self.drop()

    @property
    def is_waiting(self) -> bool:
        """Whether a layer has not taken its part."""
        return self._x is not None

    def drop(self) -> None:
        """Lets go of the input and the products."""
        self._x: Tensor | None = None
        self._parts: Sequence[Tensor] = ()
        self._left = 0
        self._version: int | None = None

    def taker(self, number: int) -> Callable[[Tensor], Tensor]:
        """What gives a layer its part: (tokens, rank), times the weights of rows that have their own."""
        layer = self.layers[number]

        def take(x: Tensor) -> Tensor:
            if self._x is x:
                if self._version is None or self._version == x._version:
                    part = self._parts[number]
                    self._left -= 1
                    if not self._left:
                        self._x, self._parts = None, ()
                    return part
            elif self._x is None:
                product = mm(x.reshape(-1, self._inputs), self._down)
                if self._now.rows:
                    scale_rows(product, x, self._now.rows, self._scale_now())
                self._parts = parts = unsafe_split_with_sizes(product, self._sizes, 1)
                self._x, self._left = x, self._others
                self._version = None if x.is_inference() else x._version
                return parts[number]
            return layer.weighted_product(x)

        return take

    def _scale_now(self) -> Tensor:
        if self._scale is None or self._scales is not self._now.scales:
            self._scales = self._now.scales
            self._scale = torch.cat([self._now.scales[layer.place.key] for layer in self.layers], dim=-1)
        return self._scale


@dataclass(slots=True)
class _Seen:
    """Layers that were given one input one after the other."""

    x: Tensor | None
    version: int | None
    product: Tensor | None
    """Of the first layer."""
    layers: list[Layer]
    same: list[Tensor] = field(default_factory=list)
    """Whether the first layer's product was still the same when each of the others was called."""


class Sharing:
    """What the active layers of a plan share in one copy of the model."""

    def __init__(self, layers: Iterable[Layer], tensors: Sequence[Tensor], now: Now) -> None:
        self._layers = [layer for layer in layers if layer.place is not None]
        self._tensors = tensors
        self._now = now
        self._is_known = False
        self._runs: list[Run] = []
        self._last: dict[int, _Seen] = {}
        self._seen: list[_Seen] = []

    def begin(self) -> None:
        """Before a call of the model."""
        if not self._is_known:
            for layer in self._layers:
                layer.take = self._noting(layer)

    def end(self, is_complete: bool) -> None:
        """After it. `is_complete`: no exception has ended it."""
        waiting = [run for run in self._runs if run.is_waiting]
        for run in waiting:
            run.drop()
        if not self._is_known:
            for layer in self._layers:
                layer.take = None
            if is_complete:
                self._set(self._learned())
                self._is_known = True
            self._last, self._seen = {}, []
        elif is_complete and waiting:
            kept = [run for run in self._runs if run not in waiting]
            self._set([*kept, *(part for run in waiting for part in self._cut(run))])

    def _noting(self, layer: Layer) -> Callable[[Tensor], Tensor]:
        def take(x: Tensor) -> Tensor:
            last = self._last.get(layer.place.tensor)
            if last is not None and last.x is x and last.version == _version(x):
                assert last.product is not None
                last.same.append(_is_same(last.layers[0].product(x), last.product))
                last.layers.append(layer)
                return layer.weighted_product(x)
            if last is not None:
                last.x = last.product = None
            product = layer.product(x)
            self._last[layer.place.tensor] = seen = _Seen(x, _version(x), product, [layer])
            self._seen.append(seen)
            return layer.weighted_product(x) if self._now.rows else product

        return take

    def _learned(self) -> Iterator[Run]:
        groups = [seen for seen in self._seen if len(seen.layers) > 1]
        if not groups:
            return
        # Here the device is waited for, once for a set of active layers.
        same = iter(torch.stack([flag for seen in groups for flag in seen.same]).tolist())
        taken: set[Layer] = set()
        for seen in groups:
            unchanged = [next(same) for _ in seen.same]
            layers = set(seen.layers)
            if all(unchanged) and not layers & taken:
                taken |= layers
                yield from self._made(layers)

    def _cut(self, run: Run) -> Iterator[Run]:
        """Runs of the layers of one module each, as long as there are several."""
        parents = dict.fromkeys(layer.place.parent for layer in run.layers)
        if len(parents) > 1:
            for parent in parents:
                yield from self._made(layer for layer in run.layers if layer.place.parent == parent)

    def _made(self, layers: Iterable[Layer]) -> Iterator[Run]:
        """Runs of neighbours."""
        run: list[Layer] = []
        width = 0
        for layer in sorted(layers, key=lambda layer: layer.place.first):
            place = layer.place
            last = run[-1].place if run else place
            fits = width + place.rank <= WIDEST * self._tensors[place.tensor].shape[1]
            if run and (last.first + last.rank != place.first or not fits):
                yield from self._run(run)
                run, width = [], 0
            run.append(layer)
            width += place.rank
        yield from self._run(run)

    def _run(self, layers: Sequence[Layer]) -> Iterator[Run]:
        if len(layers) > 1:
            yield Run(layers, self._tensors[layers[0].place.tensor], self._now)

    def _set(self, runs: Iterable[Run]) -> None:
        self._runs = list(runs)
        for layer in self._layers:
            layer.take = None
        for run in self._runs:
            for number, layer in enumerate(run.layers):
                layer.take = run.taker(number)


def _version(x: Tensor) -> int | None:
    """How often a tensor was changed in place. Inference tensors, which the host's are, do not count it.

    For those the first call compares products (`_is_same`): a model that changes an input between two layers does so in
    every call.
    """
    return None if x.is_inference() else x._version


def _is_same(again: Tensor, product: Tensor) -> Tensor:
    """Without waiting for the device: whether a product with what is the same object also has the same numbers."""
    size = product.float().norm()
    same: Tensor = (again.float() - product.float()).norm() <= _SAME * torch.finfo(product.dtype).eps * size
    return same
