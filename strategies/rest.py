"""What a factored change could not hold, kept beside it: f(W) = W + Δ + s·rest, s the change's own scale.

`bias`, of the weight's shape, as A1111 reads it; `bias_indices`, `bias_values`, `bias_size`, the sparse form that
LyCORIS' extraction writes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .around import Around
from .base import Shape, Strategy, StrategyError, Wrapper, check_same_size
from .forms import Dense, Forms
from .matrix import Matrix, Whole
from .module import ModuleTensors
from .products import widest

_ENDINGS = {name: name for name in ("bias_indices", "bias_values", "bias_size")}


@dataclass(frozen=True, slots=True)
class WithRest(Around):
    """A change and its remainder."""

    values: Tensor
    """The remainder, or its entries at `indices`."""
    indices: Tensor | None
    """For a sparse one: (dimensions, entries), the places of the values."""
    size: Shape
    """Its shape."""
    scale: float

    @property
    def numbers(self) -> tuple[Tensor, ...]:
        return (*self.inner.numbers, self.values)

    def matrix(self, device: torch.device) -> Matrix | None:
        change = self.inner.matrix(device)
        if change is None:
            return None
        rest = self._rest(device, widest(device)).reshape(change.shape)
        return Whole(change.dense().add(rest, alpha=self.scale), may_sketch=True)

    def fit(self, shape: Shape) -> Shape:
        shape = self.inner.fit(shape)
        check_same_size("its remainder", self.size, shape)
        return shape

    def forms(self, shape: Shape, weight: Callable[[], Tensor]) -> Forms | None:
        inner = self.inner.forms(shape, weight)
        if inner is None:
            return None
        rest = self._rest(torch.device("cpu"), torch.float32)
        return *inner, Dense(rest.reshape(shape) * self.scale)

    def delta(self, weight: Tensor) -> Tensor:
        rest = self._rest(weight.device, weight.dtype)
        return self.inner.delta(weight).add_(rest.reshape(weight.shape), alpha=self.scale)

    def _rest(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        rest = self.values.to(device, dtype)
        if self.indices is None:
            return rest
        places = tuple(self.indices.to(device).long())
        return rest.new_zeros(self.size).index_put_(places, rest, accumulate=True)


def _wrap(strategy: Strategy, module: ModuleTensors) -> Strategy:
    """Adds a module's remainder to its weight's change."""
    scale = getattr(strategy, "scale", 1.0)
    if (module.dimensions("bias") or 0) > 1:
        taken = module.take("bias")
        assert taken is not None
        return WithRest(strategy, taken[0], None, tuple(taken[0].shape), scale)
    sparse = module.take("bias_indices", "bias_values", "bias_size")
    if sparse is None:
        return strategy
    indices, values, size = sparse
    shape = tuple(int(n) for n in size.flatten().tolist())
    if indices.ndim != 2 or indices.shape != (len(shape), values.numel()) or values.ndim != 1:
        raise StrategyError("its sparse remainder does not fit together")
    limits = torch.tensor(shape).unsqueeze(1)
    if indices.numel() and bool(((indices.long() < 0) | (indices.long() >= limits)).any()):
        raise StrategyError("its sparse remainder points outside of the weight")
    return WithRest(strategy, values, indices, shape, scale)


WRAPPER = Wrapper(_ENDINGS, _wrap, WithRest)
