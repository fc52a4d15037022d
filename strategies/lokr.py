"""LoKr: Δ = alpha/rank · W1 ⊗ W2, either whole or factored, W2 of a tucker convolution with a core.

https://arxiv.org/abs/2212.10650; keys of LyCORIS and PEFT. Rank is that of the factored W2, else of the factored W1;
with neither, LyCORIS scales by 1 whatever alpha says, and PEFT by its settings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .base import Claim, Family, Shape, Strategy, StrategyError
from .matrix import Kronecker, Matrix, Product, Whole
from .module import ModuleTensors
from .products import core_down, tucker, widest

_NAMES = ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2")


@dataclass(frozen=True, slots=True)
class Lokr(Strategy):
    """A Kronecker product. Of each side either the whole or both factors are given."""

    family: ClassVar[str] = "lokr"
    has_forms: ClassVar[bool] = True

    w1: Tensor | None
    """(out₁, in₁)"""
    w1_a: Tensor | None
    """(out₁, rank)"""
    w1_b: Tensor | None
    """(rank, in₁)"""
    w2: Tensor | None
    """(out₂, in₂[, kernel…])"""
    w2_a: Tensor | None
    """(out₂, rank); (rank, out₂) beside a core"""
    w2_b: Tensor | None
    """(rank, in₂ · kernel); (rank, in₂) beside a core"""
    t2: Tensor | None
    """(rank, rank, kernel…)"""
    scale: float

    @property
    def additive(self) -> bool:
        return True

    @property
    def by_rows(self) -> bool:
        return True

    @property
    def rank(self) -> int | None:
        factored = self.w2_b if self.w2_b is not None else self.w1_b
        return None if factored is None else factored.shape[0]

    @property
    def kernel(self) -> Shape:
        return tuple(w2.shape[2:] if (w2 := self.w2 if self.t2 is None else self.t2) is not None else ())

    def matrix(self, device: torch.device) -> Matrix:
        wide = widest(device)

        def side(value: Tensor | None, a: Tensor | None, b: Tensor | None, core: Tensor | None, scale: float) -> Matrix:
            if value is not None:
                return Whole(value.to(device, wide).flatten(1) * scale)
            assert a is not None and b is not None
            a, b = a.to(device, wide), b.to(device, wide)
            if core is None:
                return Product(a * scale, b)
            return Product(a.mT * scale, core_down(core.to(device, wide), b.mT))

        first = side(self.w1, self.w1_a, self.w1_b, None, self.scale)
        return Kronecker(first, side(self.w2, self.w2_a, self.w2_b, self.t2, 1.0))

    def fit(self, shape: Shape) -> Shape:
        out1, in1 = self._side("w1", self.w1, self.w1_a, self.w1_b, None)
        out2, in2 = self._side("w2", self.w2, self.w2_a, self.w2_b, self.t2)
        if out1 * out2 != shape[0] or out1 * out2 * in1 * in2 != torch.Size(shape).numel():
            raise StrategyError(f"({out1}, {in1}) ⊗ ({out2}, {in2}) does not make a weight of shape {shape}")
        return shape

    @staticmethod
    def _side(
        name: str, whole: Tensor | None, a: Tensor | None, b: Tensor | None, core: Tensor | None
    ) -> tuple[int, int]:
        """(rows, columns with the kernel) of one side."""
        if whole is not None:
            return whole.shape[0], whole[0].numel()
        assert a is not None and b is not None
        if core is None:
            if a.shape[1] != b.shape[0]:
                raise StrategyError(f"{name}_a {tuple(a.shape)} and {name}_b {tuple(b.shape)} do not share a rank")
            return a.shape[0], b.shape[1]
        if tuple(core.shape[:2]) != (a.shape[0], b.shape[0]):
            raise StrategyError(f"the core {tuple(core.shape)} does not fit {name}_a {tuple(a.shape)}")
        return a.shape[1], b.shape[1] * core[0, 0].numel()

    def delta(self, weight: Tensor) -> Tensor:
        w1, w2 = self._sides(weight.device, weight.dtype)
        # (out₂, in₂, kernel…) keeps its kernel behind the product of the two input sides.
        inner = weight.shape[1] // w1.shape[1] if weight.ndim > 2 else w2[0].numel()
        product = torch.kron(w1.reshape(*w1.shape, 1), w2.reshape(w2.shape[0], inner, -1))
        return product.mul_(self.scale).reshape(weight.shape)

    def _sides(self, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """(W1, W2), whole."""

        def whole(value: Tensor | None, a: Tensor | None, b: Tensor | None, core: Tensor | None) -> Tensor:
            if value is not None:
                return value.to(device, dtype)
            assert a is not None and b is not None
            if core is None:
                return torch.mm(a.to(device, dtype), b.to(device, dtype))
            return tucker(core.to(device, dtype), a.to(device, dtype).T, b.to(device, dtype).T)

        return whole(self.w1, self.w1_a, self.w1_b, None), whole(self.w2, self.w2_a, self.w2_b, self.t2)


def _read(module: ModuleTensors) -> Iterable[Claim]:
    w1, w2 = module.take_one("lokr_w1"), module.take_one("lokr_w2")
    w1_factors = None if w1 is not None else module.take("lokr_w1_a", "lokr_w1_b")
    w2_factors = None if w2 is not None else module.take("lokr_w2_a", "lokr_w2_b")
    if w1 is None and w1_factors is None and w2 is None and w2_factors is None:
        return
    if (w1 is None and w1_factors is None) or (w2 is None and w2_factors is None):
        raise StrategyError("one of its two sides is missing")
    w1_a, w1_b = w1_factors or (None, None)
    w2_a, w2_b = w2_factors or (None, None)
    t2 = module.take_one("lokr_t2") if w2_factors else None
    matrices = (w1, w1_a, w1_b, w2_a, w2_b)
    if any(m is not None and m.ndim != 2 for m in matrices) or (w2 is not None and w2.ndim < 2):
        raise StrategyError("its factors are no matrices")
    if t2 is not None and t2.ndim < 3:
        raise StrategyError(f"its core {tuple(t2.shape)} is no core")
    rank = w2_b.shape[0] if w2_b is not None else w1_b.shape[0] if w1_b is not None else None
    given = tuple(n for n, t in zip(_NAMES, (w1, w1_a, w1_b, w2, w2_a, w2_b, t2), strict=True) if t is not None)
    yield Claim("weight", Lokr(w1, w1_a, w1_b, w2, w2_a, w2_b, t2, module.scale(rank)), given)


FAMILY = Family("lokr", {name: name for name in _NAMES}, _read, (Lokr,))
