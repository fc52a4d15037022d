"""A change as a matrix in the cheapest exact form: its norm, its best part of low rank, its product with another.

A weight of (out, in[, kernel…]) is the matrix (out, in · kernel). Norms, products and ranks are Frobenius' and those of
singular values; nothing here multiplies factors out that are thin.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from torch import Tensor

OVERSAMPLING = 16
"""Further columns of a random sketch, and twice as many again where the rank is high."""
POWER_ITERATIONS = 4
"""Of the randomised decomposition: with them even a flat spectrum is within 1 % of the optimum."""
_ROUNDING = 1e-13
"""Share of the energy that fp64 cannot tell from nothing."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How much of a matrix is to stay; one of the two is given."""

    rank: int | None = None
    """At most so many ranks, the best ones."""
    energy: float | None = None
    """The fewest ranks that keep this share, 0 to 1, of the squared singular values."""

    def count(self, squares: Tensor, total: float) -> int | None:
        """How many of the squared singular values (descending) stay; `None` where more than these are needed."""
        if self.rank is not None:
            return min(self.rank, len(squares))
        assert self.energy is not None
        reached = squares.double().cumsum(0) >= (self.energy - _ROUNDING) * total
        return int(reached.int().argmax()) + 1 if bool(reached.any()) else None


@dataclass(frozen=True, slots=True)
class Cut:
    """The best part of a matrix under a limit: up · down."""

    up: Tensor
    """(rows, rank)"""
    down: Tensor
    """(rank, columns)"""
    rank_before: int
    """What the matrix could have."""
    energy_before: float
    """Its squared norm."""
    energy: float
    """What of it is kept."""

    @property
    def rank(self) -> int:
        return self.up.shape[1]


class Matrix(ABC):
    """A matrix of `shape` (rows, columns); fp64 where the device has it."""

    shape: tuple[int, int]

    @property
    @abstractmethod
    def rank(self) -> int:
        """The highest rank that it can have in this form."""

    @abstractmethod
    def dense(self) -> Tensor:
        """(rows, columns), multiplied out."""

    @abstractmethod
    def svd(self) -> tuple[Tensor, Tensor, Tensor]:
        """(U (rows, k), singular values (k,) descending, Vᵀ (k, columns)), exact."""

    def energy(self) -> float:
        """The squared norm."""
        return max(0.0, inner(self, self))

    def best(self, limit: Limit) -> Cut:
        """The best part of the matrix under a limit (Eckart and Young), its factors of the same size."""
        u, s, vt = self.svd()
        return _cut(u, s, vt, limit, self.rank, float(s.square().sum()))

    def effective_rank(self, share: float = 0.9) -> int:
        """The fewest ranks that keep this share of the energy; 0 for a matrix of zeros."""
        if not self.energy():
            return 0
        return self.best(Limit(energy=share)).rank


@dataclass(frozen=True, slots=True)
class Product(Matrix):
    """up · down, thin."""

    up: Tensor
    """(rows, r)"""
    down: Tensor
    """(r, columns)"""

    @property
    def shape(self) -> tuple[int, int]:  # type: ignore[override]
        return self.up.shape[0], self.down.shape[1]

    @property
    def rank(self) -> int:
        return min(self.down.shape[0], *self.shape)

    def dense(self) -> Tensor:
        return self.up @ self.down

    def svd(self) -> tuple[Tensor, Tensor, Tensor]:
        q_up, r_up = torch.linalg.qr(self.up)
        q_down, r_down = torch.linalg.qr(self.down.mT)
        u, s, vt = torch.linalg.svd(r_up @ r_down.mT, full_matrices=False)
        return q_up @ u, s, vt @ q_down.mT

    def best(self, limit: Limit) -> Cut:
        # As `svd`, with no more vectors than are kept: those of the shorter side are reflected into place, and the
        # longer side is the product with them, up · down · V or Uᵀ · up · down.
        if self.shape[0] < self.shape[1]:
            turned = Product(self.down.mT, self.up.mT).best(limit)
            return replace(turned, up=turned.down.mT, down=turned.up.mT)
        reflected, factors = torch.geqrf(self.down.mT)
        r_down = reflected[: len(factors)].triu()
        r_up = torch.geqrf(self.up).a[: min(self.up.shape)].triu()
        _, s, vt = torch.linalg.svd(r_up @ r_down.mT, full_matrices=False)
        squares = s.square()
        total = float(squares.sum())
        count = limit.count(squares, total) or len(s)
        leading = vt[:count].mT
        v = torch.nn.functional.pad(leading, (0, 0, 0, self.shape[1] - len(leading)))
        v = torch.ormqr(reflected[:, : len(factors)], factors, v)
        root = s[:count].sqrt()
        up = self.up @ (r_down.mT @ leading) / root.clamp_min(torch.finfo(s.dtype).tiny)
        return Cut(up, root[:, None] * v.mT, self.rank, total, float(squares[:count].sum()))

    def effective_rank(self, share: float = 0.9) -> int:
        r_up = torch.linalg.qr(self.up, mode="r").R
        r_down = torch.linalg.qr(self.down.mT, mode="r").R
        squares = torch.linalg.svdvals(r_up @ r_down.mT).square()
        total = float(squares.sum())
        return (Limit(energy=share).count(squares, total) or len(squares)) if total else 0


@dataclass(frozen=True, slots=True)
class Whole(Matrix):
    """All numbers."""

    matrix: Tensor
    """(rows, columns)"""
    may_sketch: bool = False
    """Whether a randomised decomposition will do, within 1 % of the optimum."""

    @property
    def shape(self) -> tuple[int, int]:  # type: ignore[override]
        return self.matrix.shape[0], self.matrix.shape[1]

    @property
    def rank(self) -> int:
        return min(self.shape)

    def dense(self) -> Tensor:
        return self.matrix

    def svd(self) -> tuple[Tensor, Tensor, Tensor]:
        # By the eigenvectors of the smaller Gram matrix, several times faster than a decomposition of the matrix. In
        # fp64 what squaring loses lies below 1e-8 of the largest singular value.
        tall = self.shape[0] >= self.shape[1]
        a = self.matrix if tall else self.matrix.mT
        v = torch.linalg.eigh(a.mT @ a).eigenvectors.flip(1)
        scaled = a @ v
        s = torch.linalg.vector_norm(scaled, dim=0)
        order = s.argsort(descending=True)
        v, s, scaled = v[:, order], s[order], scaled[:, order]
        u = scaled / s.clamp_min(torch.finfo(s.dtype).tiny)
        return (u, s, v.mT) if tall else (v, s, u.mT)

    def best(self, limit: Limit) -> Cut:
        total = self.energy()
        target = limit.rank if limit.rank is not None else OVERSAMPLING
        while self.may_sketch and total and (width := target + max(OVERSAMPLING, target)) < self.rank // 2:
            u, s, vt = self._sketch(width)
            count = limit.count(s.square(), total)
            # What lies in the oversampled columns is not accurate enough to be kept.
            if count is not None and count <= target:
                return _cut(u, s, vt, limit, self.rank, total)
            target *= 2
        return Matrix.best(self, limit)

    def _sketch(self, width: int) -> tuple[Tensor, Tensor, Tensor]:
        """The leading part by a random sketch with power iterations (Halko, Martinsson, Tropp: arXiv 0909.4061)."""
        a = self.matrix
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(a.shape[1], width, generator=generator, dtype=torch.float32)
        q = torch.linalg.qr(a @ noise.to(a.device, a.dtype)).Q
        for _ in range(POWER_ITERATIONS):
            q = torch.linalg.qr(a.mT @ q).Q
            q = torch.linalg.qr(a @ q).Q
        return Product(q, q.mT @ a).svd()


@dataclass(frozen=True, slots=True)
class Kronecker(Matrix):
    """first ⊗ second; its singular values are the products of theirs."""

    first: Matrix
    second: Matrix

    @property
    def shape(self) -> tuple[int, int]:  # type: ignore[override]
        return self.first.shape[0] * self.second.shape[0], self.first.shape[1] * self.second.shape[1]

    @property
    def rank(self) -> int:
        return self.first.rank * self.second.rank

    def dense(self) -> Tensor:
        return torch.kron(self.first.dense(), self.second.dense())

    def energy(self) -> float:
        return self.first.energy() * self.second.energy()

    def svd(self) -> tuple[Tensor, Tensor, Tensor]:
        return self._leading(None)

    def best(self, limit: Limit) -> Cut:
        u, s, vt = self._leading(limit)
        return _cut(u, s, vt, limit, self.rank, self.energy())

    def effective_rank(self, share: float = 0.9) -> int:
        total = self.energy()
        squares = self._products()[1].flatten().square().sort(descending=True).values
        return (Limit(energy=share).count(squares, total) or len(squares)) if total else 0

    def _products(self) -> tuple[tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]], Tensor]:
        """(vectors of both sides, singular values (k₁, k₂))."""
        u1, s1, vt1 = self.first.svd()
        u2, s2, vt2 = self.second.svd()
        return ((u1, vt1), (u2, vt2)), s1[:, None] * s2[None, :]

    def _leading(self, limit: Limit | None) -> tuple[Tensor, Tensor, Tensor]:
        """As many singular vectors as the limit needs, all without one."""
        ((u1, vt1), (u2, vt2)), products = self._products()
        s, order = products.flatten().sort(descending=True)
        count = len(s) if limit is None else limit.count(s.square(), float(s.square().sum())) or len(s)
        i, j = order[:count] // products.shape[1], order[:count] % products.shape[1]
        u = (u1[:, None, i] * u2[None, :, j]).reshape(-1, count)
        vt = (vt1[i, :, None] * vt2[j, None, :]).reshape(count, -1)
        return u, s[:count], vt


def _cut(u: Tensor, s: Tensor, vt: Tensor, limit: Limit, rank: int, total: float) -> Cut:
    squares = s.square()
    count = limit.count(squares, total) or len(squares)
    root = s[:count].sqrt()
    kept = min(float(squares[:count].sum()), total)
    return Cut(u[:, :count] * root, root[:, None] * vt[:count], rank, total, kept)


def inner(a: Matrix, b: Matrix) -> float:
    """⟨A, B⟩ = Σ AᵢⱼBᵢⱼ, by the factors of whichever has them. Both on one device.

    Raises:
        ValueError: they have different shapes.
    """
    if a.shape != b.shape:
        raise ValueError(f"⟨{a.shape}, {b.shape}⟩")
    if isinstance(a, Kronecker) and isinstance(b, Kronecker) and a.first.shape == b.first.shape:
        return inner(a.first, b.first) * inner(a.second, b.second)
    if isinstance(b, Product) and not isinstance(a, Product):
        return inner(b, a)
    if not isinstance(a, Product):
        return float((a.dense() * b.dense()).sum())
    if isinstance(b, Product):
        return float(((a.up.mT @ b.up) * (a.down @ b.down.mT)).sum())
    if isinstance(b, Kronecker):
        # ⟨u vᵀ, A ⊗ B⟩ = ⟨U, A V Bᵀ⟩ for each rank, with U (out₁, out₂) and V (in₁, in₂) the reshaped vectors.
        first, second = b.first.dense(), b.second.dense()
        columns = a.down.reshape(-1, first.shape[1], second.shape[1])
        turned = torch.einsum("oi,rij,pj->rop", first, columns, second)
        return float((turned.reshape(turned.shape[0], -1).mT * a.up).sum())
    return float(((a.up.mT @ b.dense()) * a.down).sum())


def rows_of(matrix: Matrix, start: int, count: int) -> Matrix:
    """Some rows of a matrix."""
    if start == 0 and count == matrix.shape[0]:
        return matrix
    if isinstance(matrix, Product):
        return Product(matrix.up[start : start + count], matrix.down)
    return Whole(matrix.dense()[start : start + count], may_sketch(matrix))


def may_sketch(matrix: Matrix) -> bool:
    """Whether a randomised decomposition will do for a matrix."""
    return isinstance(matrix, Whole) and matrix.may_sketch


def cosine(product: float, energy_a: float, energy_b: float) -> float:
    """The cosine of two matrices from their product and squared norms; 0 where one is nothing."""
    length = math.sqrt(energy_a * energy_b)
    return max(-1.0, min(1.0, product / length)) if length else 0.0
