"""A change of a fused projection, seen from one of the weights that are its rows here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .around import Around
from .base import Factors, Shape, StrategyError, register_class
from .forms import Forms, rows_of


@dataclass(frozen=True, slots=True)
class Rows(Around):
    """Rows `start` and following of a change that was trained on q, k and v as one weight.

    Every row of the change may depend on its own row of the weight alone, as with additive families and DoRA on the
    output axis.
    """

    start: int
    total: int
    """Rows of the fused weight."""

    def factored(self, shape: Shape) -> Factors | None:
        found = self.inner.factored((self.total, *shape[1:]))
        return None if found is None else replace(found, up=found.up[self.start : self.start + shape[0]])

    def fit(self, shape: Shape) -> Shape:
        if not self.inner.by_rows:
            raise StrategyError(
                f"{self.family} of a fused projection reads all rows at once, which are several weights in this model"
            )
        self.inner.fit((self.total, *shape[1:]))
        return shape

    def forms(self, shape: Shape, weight: Callable[[], Tensor]) -> Forms | None:
        def fused() -> Tensor:
            # Rows of others are of no consequence: the change reads none but its own.
            whole = torch.zeros((self.total, *shape[1:]))
            whole[self.start : self.start + shape[0]] = weight()
            return whole

        inner = self.inner.forms((self.total, *shape[1:]), fused)
        return None if inner is None else rows_of(inner, self.start, shape[0])

    def delta(self, weight: Tensor) -> Tensor:
        fused = torch.zeros((self.total, *weight.shape[1:]), dtype=weight.dtype, device=weight.device)
        rows = slice(self.start, self.start + weight.shape[0])
        fused[rows] = weight
        return self.inner.delta(fused)[rows]


register_class(Rows)
