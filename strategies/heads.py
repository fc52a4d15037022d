"""A change of a fused projection whose rows go head by head in the file: q, k and v of the first head, then the next's.

The weight here has all of q, then all of k, then all of v.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .around import Around
from .base import Factors, Shape, StrategyError, register_class
from .forms import Dense, Form, Forms, Gain, Kron, OnInput, OnOutput, Pair
from .matrix import Matrix, Product, Whole

_KINDS = 3
"""q, k, v."""


@dataclass(frozen=True, slots=True)
class ByHead(Around):
    """A change with its rows in the file's order; whatever reads the weight is given it in that order."""

    heads: int

    def factored(self, shape: Shape) -> Factors | None:
        found = self.inner.factored(shape)
        return None if found is None else replace(found, up=self._sorted(found.up))

    def fit(self, shape: Shape) -> Shape:
        if shape[0] % (self.heads * _KINDS):
            raise StrategyError(f"{shape[0]} rows are not q, k and v of {self.heads} heads")
        found = self.inner.fit(shape)
        if found != shape:
            raise StrategyError(f"it is for a weight of shape {found}, and not {shape}")
        return shape

    def matrix(self, device: torch.device) -> Matrix | None:
        inner = self.inner.matrix(device)
        if isinstance(inner, Product):
            return Product(self._sorted(inner.up), inner.down)
        return None if inner is None else Whole(self._sorted(inner.dense()))

    def forms(self, shape: Shape, weight: Callable[[], Tensor]) -> Forms | None:
        inner = self.inner.forms(shape, lambda: self._as_in_the_file(weight()))
        placed = [self._placed(form) for form in inner or ()]
        return tuple(form for form in placed if form is not None) if placed and None not in placed else None

    def delta(self, weight: Tensor) -> Tensor:
        return self._sorted(self.inner.delta(self._as_in_the_file(weight)))

    def _placed(self, form: Form) -> Form | None:
        if isinstance(form, Kron):
            form = Dense(form.dense())
        if isinstance(form, Pair):
            return Pair(self._sorted(form.up), form.down)
        if isinstance(form, Dense):
            return Dense(self._sorted(form.delta))
        if isinstance(form, OnOutput) and isinstance(form.channels, Gain):
            return OnOutput(Gain(self._sorted(form.channels.gain)))
        return form if isinstance(form, OnInput) else None

    def _sorted(self, rows: Tensor) -> Tensor:
        """(heads · 3 · size, …) → (3 · heads · size, …)"""
        split = rows.reshape(self.heads, _KINDS, -1, *rows.shape[1:])
        return split.transpose(0, 1).reshape(rows.shape)

    def _as_in_the_file(self, rows: Tensor) -> Tensor:
        split = rows.reshape(_KINDS, self.heads, -1, *rows.shape[1:])
        return split.transpose(0, 1).reshape(rows.shape)


register_class(ByHead)
