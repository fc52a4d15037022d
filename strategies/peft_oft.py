"""OFT as PEFT writes it: blocks of the *input* side are rotated, W' = W·Rᵀ over (in · kernel).

`oft_R` (blocks, n(n−1)/2) holds the upper triangles of skew-symmetric Q. By the settings R is either exact,
(I − Q)(I + Q)⁻¹, or PEFT's default: the first terms of (I + Q)(I − Q)⁻¹ as a series, of the other sign. One block for
all is `block_share`; `coft` bounds every Q.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isqrt, sqrt
from typing import ClassVar

import torch
from torch import Tensor

from .base import Claim, Family, Shape, Strategy, StrategyError
from .forms import Forms, OnInput, Turn
from .module import ModuleTensors
from .products import cayley_less_identity
from .settings import AdapterSettings


@dataclass(frozen=True, slots=True)
class PeftOft(Strategy):
    """Rotations of the input side."""

    family: ClassVar[str] = "oft"
    has_forms: ClassVar[bool] = True

    triangles: Tensor
    """(blocks, n(n−1)/2); one row where all blocks share it."""
    terms: int
    """Of the series; 0 for the exact rotation."""
    eps: float
    """Bound of constrained OFT; 0 for none."""

    @property
    def size(self) -> int:
        """n"""
        return (1 + isqrt(1 + 8 * self.triangles.shape[1])) // 2

    @property
    def rank(self) -> int:
        """Number of blocks, as PEFT counts it."""
        return self.triangles.shape[0]

    def fit(self, shape: Shape) -> Shape:
        columns = torch.Size(shape[1:]).numel()
        shared = self.triangles.shape[0] == 1 and columns % self.size == 0
        if not shared and self.triangles.shape[0] * self.size != columns:
            raise StrategyError(
                f"{self.triangles.shape[0]} blocks of size {self.size} do not fit a weight of shape {shape}"
            )
        return shape

    def forms(self, shape: Shape, weight: Callable[[], Tensor]) -> Forms | None:
        if torch.Size(shape[2:]).numel() != 1:
            # It mixes channels and places of the kernel, which no input has.
            return None
        turn = self._rotation_less_identity(self.triangles.float()).mT
        return (OnInput(Turn((turn.expand(shape[1] // self.size, -1, -1).contiguous(),), None)),)

    def delta(self, weight: Tensor) -> Tensor:
        turn = self._rotation_less_identity(self.triangles.to(weight.device, weight.dtype))
        columns = weight.reshape(weight.shape[0], -1, self.size)
        return torch.einsum("obk,bck->obc", columns, turn.expand(columns.shape[1], -1, -1)).reshape(weight.shape)

    def _rotation_less_identity(self, triangles: Tensor) -> Tensor:
        n = self.size
        rows, columns = torch.triu_indices(n, n, 1, device=triangles.device)
        q = triangles.new_zeros(triangles.shape[0], n, n)
        q[:, rows, columns] = triangles
        q = q - q.mT
        if self.eps:
            norm = torch.linalg.vector_norm(q, dim=(1, 2), keepdim=True)
            bound = self.eps / sqrt(q.shape[0])
            q = q * torch.where(norm > bound, bound / norm, 1.0)
        return cayley_less_identity(-q) if self.terms == 0 else _series(q, self.terms)


def _series(q: Tensor, terms: int) -> Tensor:
    """2Q + 2Q² + … + Qᵗ, as many powers as PEFT takes for `terms`: none, Q, then up to max(terms − 1, 3)."""
    if terms < 2:
        return torch.zeros_like(q)
    total = 2 * q
    if terms == 2:
        return total
    power = torch.bmm(q, q)
    total += 2 * power
    for _ in range(3, terms - 1):
        power = torch.bmm(power, q)
        total += 2 * power
    return total.add_(torch.bmm(power, q))


def _read(module: ModuleTensors) -> Iterable[Claim]:
    triangles = module.take_one("oft_R")
    if triangles is None:
        return
    settings = module.settings or AdapterSettings()
    if triangles.ndim != 2:
        raise StrategyError(f"its oft_R {tuple(triangles.shape)} is no stack of triangles")
    oft = PeftOft(triangles, settings.neumann_terms, settings.coft_eps)
    if oft.size * (oft.size - 1) // 2 != triangles.shape[1]:
        raise StrategyError(f"its oft_R {tuple(triangles.shape)} is no stack of triangles")
    yield Claim("weight", oft, ("oft_R",))


FAMILY = Family("oft (PEFT)", {"oft_R": r"oft_R(\.[^.]+)?(\.weight)?"}, _read, (PeftOft,))
