"""GLoRA: W' = W + s·(B + W·A), A and B of low rank.

https://arxiv.org/abs/2306.07967. Two layouts under the same keys:

* LyCORIS since 2.3: Δ = s·(b1·b2 + W·a1·a2), a1 (in, r), a2 (r, in), b1 (out, r), b2 (r, in[, kernel…]);
* before: Δ = s²·(b2·b1 + W·a2·a1), a1 (r, in), a2 (in, r), b1 (r, in), b2 (out, r). Its forward pass scales twice.

a1's shape against the weight's tells them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from .base import Claim, Family, Shape, Strategy, StrategyError
from .forms import Forms, LowRank, OnInput, Pair
from .matrix import Matrix, Product
from .module import ModuleTensors
from .products import widest

_NAMES = ("a1", "a2", "b1", "b2")


@dataclass(frozen=True, slots=True)
class Glora(Strategy):
    """Two pairs of factors."""

    family: ClassVar[str] = "glora"
    has_forms: ClassVar[bool] = True

    a1: Tensor
    a2: Tensor
    b1: Tensor
    b2: Tensor
    scale: float
    """alpha/rank"""

    @property
    def by_rows(self) -> bool:
        return True

    @property
    def rank(self) -> int:
        return _rank(self.a1, self.a2, self.b1, self.b2)

    def parts(self, device: torch.device) -> tuple[Matrix, ...]:
        """B and A, without the scale: W·A is a matrix only once the stack's other changes have made W."""
        wide = widest(device)
        a1, a2, b1, b2 = (t.to(device, wide).flatten(1) for t in self._in_todays_order())
        return Product(b1, b2), Product(a1, a2)

    def with_factors(self, b: tuple[Tensor, Tensor], a: tuple[Tensor, Tensor]) -> Glora:
        """The same change from other factors of B and A, each (up, down); the shorter pair is filled with zeros."""
        rank = max(b[0].shape[1], a[0].shape[1])
        (b1, b2), (a1, a2) = (
            (pad(up, (0, rank - up.shape[1])), pad(down, (0, 0, 0, rank - down.shape[0]))) for up, down in (b, a)
        )
        if _is_old(self.a1, self.a2, self.b1, self.b2):
            return Glora(a2, a1, b2, b1, self.scale)
        return Glora(a1, a2, b1, b2, self.scale)

    def _in_todays_order(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        a1, a2, b1, b2 = self.a1, self.a2, self.b1, self.b2
        return (a2, a1, b2, b1) if _is_old(a1, a2, b1, b2) else (a1, a2, b1, b2)

    def fit(self, shape: Shape) -> Shape:
        if self._is_old(shape) is None:
            shapes = ", ".join(f"{n} {tuple(getattr(self, n).shape)}" for n in _NAMES)
            raise StrategyError(f"{shapes} do not make a weight of shape {shape}")
        return shape

    def _is_old(self, shape: Shape) -> bool | None:
        """Which layout the factors have for a weight of this shape, `None` for neither."""
        if len(shape) < 2:
            return None
        out, inner = shape[:2]
        kernel = torch.Size(shape[2:]).numel()
        a1, a2, b1, b2 = ((t.shape[0], t[0].numel()) for t in (self.a1, self.a2, self.b1, self.b2))
        r = a1[1]
        if (a1, a2, b1, b2) == ((inner, r), (r, inner), (out, r), (r, inner * kernel)):
            return False
        r = a1[0]
        # The old trainer took linear layers and 1×1 convolutions only.
        if kernel == 1 and (a1, a2, b1, b2) == ((r, inner), (inner, r), (r, inner), (out, r)):
            return True
        return None

    def forms(self, shape: Shape, weight: Callable[[], Tensor]) -> Forms | None:
        a1, a2, b1, b2, scale = self._factors(shape, torch.device("cpu"), torch.float32)
        return OnInput(LowRank(a1 * scale, a2)), Pair(b1 * scale, b2.reshape(b2.shape[0], *shape[1:]))

    def _factors(
        self, shape: Shape, device: torch.device, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, float]:
        """(a1, a2, b1, b2, scale) in the layout of today."""
        a1, a2, b1, b2 = (t.to(device, dtype).flatten(1) for t in (self.a1, self.a2, self.b1, self.b2))
        if self._is_old(shape):
            return a2, a1, b2, b1, self.scale * self.scale
        return a1, a2, b1, b2, self.scale

    def delta(self, weight: Tensor) -> Tensor:
        a1, a2, b1, b2, scale = self._factors(tuple(weight.shape), weight.device, weight.dtype)
        change = torch.mm(b1, b2).reshape(weight.shape)
        change += torch.einsum("oi...,ir,rj->oj...", weight, a1, a2)
        return change.mul_(scale)


def _rank(a1: Tensor, a2: Tensor, b1: Tensor, b2: Tensor) -> int:
    """The rank, without the weight: the size that all four factors share in the places of their layout."""
    return a1.shape[0] if _is_old(a1, a2, b1, b2) else a1.shape[1]


def _is_old(a1: Tensor, a2: Tensor, b1: Tensor, b2: Tensor) -> bool:
    """Whether the factors have the old layout, without the weight."""
    today = a1.shape[1] == a2.shape[0] == b1.shape[1] == b2.shape[0]
    old = a1.shape[0] == a2.shape[1] == b1.shape[0] == b2.shape[1]
    # A square layer may have both: what the factors share otherwise is the layer's size.
    return a1.shape[0] < a1.shape[1] if today and old else not today


def _read(module: ModuleTensors) -> Iterable[Claim]:
    factors = module.take(*_NAMES)
    if factors is None:
        return
    if any(factor.ndim < 2 for factor in factors):
        raise StrategyError("its factors are no matrices")
    a1, a2, b1, b2 = factors
    strategy = Glora(a1, a2, b1, b2, module.scale(_rank(a1, a2, b1, b2)))
    yield Claim("weight", strategy, tuple(f"{name}.weight" for name in _NAMES))


FAMILY = Family("glora", {name: rf"{name}\.weight" for name in _NAMES}, _read, (Glora,))
