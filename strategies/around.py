"""What every strategy that goes around another one has in common."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass, replace

import torch

from .base import Shape, Strategy
from .matrix import Matrix


@dataclass(frozen=True, slots=True)
class Around(Strategy, ABC):
    """A strategy whose family, rank and kind of change are those of the one inside, unless it says otherwise."""

    inner: Strategy

    @property
    def family(self) -> str:  # type: ignore[override]
        return self.inner.family

    @property
    def rank(self) -> int | None:
        return self.inner.rank

    @property
    def has_forms(self) -> bool:  # type: ignore[override]
        return self.inner.has_forms

    @property
    def additive(self) -> bool:
        return self.inner.additive

    @property
    def reads_weight(self) -> bool:
        return self.inner.reads_weight

    @property
    def by_rows(self) -> bool:
        return self.inner.by_rows

    @property
    def kernel(self) -> Shape:
        return self.inner.kernel

    def parts(self, device: torch.device) -> tuple[Matrix, ...]:
        return self.inner.parts(device)

    def truncated(self, rank: int) -> Strategy | None:
        inner = self.inner.truncated(rank)
        return None if inner is None else replace(self, inner=inner)
