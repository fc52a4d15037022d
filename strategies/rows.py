"""A change of a fused projection, seen from one of the weights that are its rows here."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .base import Shape, Strategy, StrategyError, register_class


@dataclass(frozen=True, slots=True)
class Rows(Strategy):
    """Rows `start` and following of a change that was trained on q, k and v as one weight.

    Every row of the change may depend on its own row of the weight alone, as with additive families and DoRA on the
    output axis.
    """

    inner: Strategy
    start: int
    total: int
    """Rows of the fused weight."""

    @property
    def family(self) -> str:  # type: ignore[override]
        return self.inner.family

    @property
    def rank(self) -> int | None:
        return self.inner.rank

    def truncated(self, rank: int) -> Strategy | None:
        inner = self.inner.truncated(rank)
        return None if inner is None else replace(self, inner=inner)

    def fit(self, shape: Shape) -> Shape:
        if not self.inner.by_rows:
            raise StrategyError(
                f"{self.family} of a fused projection reads all rows at once, which are several weights in this model"
            )
        self.inner.fit((self.total, *shape[1:]))
        return shape

    def delta(self, weight: Tensor) -> Tensor:
        fused = torch.zeros((self.total, *weight.shape[1:]), dtype=weight.dtype, device=weight.device)
        rows = slice(self.start, self.start + weight.shape[0])
        fused[rows] = weight
        return self.inner.delta(fused)[rows]


register_class(Rows)
