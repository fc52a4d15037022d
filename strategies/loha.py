"""LoHa: Δ = alpha/rank · (w1a·w1b) ∘ (w2a·w2b); a tucker convolution has a core in each factor.

https://arxiv.org/abs/2108.06098; keys of LyCORIS and PEFT.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .base import Claim, Family, Shape, Strategy, StrategyError
from .matrix import Matrix, Product, Whole
from .module import ModuleTensors
from .products import core_down, tucker, widest

_FACTORS = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
_CORES = ("hada_t1", "hada_t2")


@dataclass(frozen=True, slots=True)
class Loha(Strategy):
    """Two low-rank products, multiplied element by element."""

    family: ClassVar[str] = "loha"
    has_forms: ClassVar[bool] = True

    w1_a: Tensor
    """(out, rank); (rank, out) beside a core"""
    w1_b: Tensor
    """(rank, in · kernel); (rank, in) beside a core"""
    w2_a: Tensor
    w2_b: Tensor
    t1: Tensor | None
    """(rank, rank, kernel…)"""
    t2: Tensor | None
    scale: float

    @property
    def additive(self) -> bool:
        return True

    @property
    def by_rows(self) -> bool:
        return True

    @property
    def rank(self) -> int:
        return self.w1_b.shape[0]

    @property
    def kernel(self) -> Shape:
        return tuple(() if self.t1 is None else self.t1.shape[2:])

    def matrix(self, device: torch.device) -> Matrix:
        first = _thin(device, self.w1_a, self.w1_b, self.t1)
        second = _thin(device, self.w2_a, self.w2_b, self.t2)
        (rows, rank1), (rank2, columns) = first.up.shape, second.down.shape
        if 2 * rank1 * rank2 >= min(rows, columns):
            # The factors of the product are hardly thinner than the product, which is cheaper to decompose.
            return Whole(first.dense().mul_(second.dense()).mul_(self.scale))
        up = (first.up[:, :, None] * second.up[:, None, :]).flatten(1)
        down = (first.down[:, None, :] * second.down[None, :, :]).flatten(0, 1)
        return Product(up * self.scale, down)

    def fit(self, shape: Shape) -> Shape:
        for a, b, core in ((self.w1_a, self.w1_b, self.t1), (self.w2_a, self.w2_b, self.t2)):
            rank, columns = b.shape
            inner, out = (a.shape[1], a.shape[0]) if core is None else a.shape
            kernel = 1 if core is None else core[0, 0].numel()
            fits = inner == rank and out == shape[0] and out * columns * kernel == torch.Size(shape).numel()
            if not fits or (core is not None and tuple(core.shape[:2]) != (rank, rank)):
                raise StrategyError(f"factors {tuple(a.shape)} and {tuple(b.shape)} do not make a weight of {shape}")
        return shape

    def delta(self, weight: Tensor) -> Tensor:
        first = _factor(weight, self.w1_a, self.w1_b, self.t1)
        return first.mul_(_factor(weight, self.w2_a, self.w2_b, self.t2)).mul_(self.scale).reshape(weight.shape)


def _thin(device: torch.device, a: Tensor, b: Tensor, core: Tensor | None) -> Product:
    wide = widest(device)
    a, b = a.to(device, wide), b.to(device, wide)
    return Product(a, b) if core is None else Product(a.mT, core_down(core.to(device, wide), b.mT))


def _factor(weight: Tensor, a: Tensor, b: Tensor, core: Tensor | None) -> Tensor:
    a, b = a.to(weight.device, weight.dtype), b.to(weight.device, weight.dtype)
    if core is None:
        return torch.mm(a, b)
    return tucker(core.to(weight.device, weight.dtype), a.T, b.T)


def _read(module: ModuleTensors) -> Iterable[Claim]:
    factors = module.take(*_FACTORS)
    if factors is None:
        return
    w1_a, w1_b, w2_a, w2_b = factors
    if any(factor.ndim != 2 for factor in factors):
        raise StrategyError("its factors are no matrices")
    t1, t2 = module.take_one("hada_t1"), module.take_one("hada_t2")
    if (t1 is None) != (t2 is None) or any(t is not None and t.ndim < 3 for t in (t1, t2)):
        raise StrategyError("it has one core of two, or one that is no core")
    yield Claim("weight", Loha(w1_a, w1_b, w2_a, w2_b, t1, t2, module.scale(w1_b.shape[0])), _FACTORS)


FAMILY = Family("loha", {name: name for name in (*_FACTORS, *_CORES)}, _read, (Loha,))
