"""Several plain LoRAs of one weight as one product: Δ = Σ sᵢ · upᵢ·downᵢ = U · diag(s) · D.

U and D are the factors side by side, so the weight is read and written once however many LoRAs there are, and their sum
is rounded once, to the weight's own type.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor

from .base import Shape, Strategy, register_class
from .lora import Lora

IN_TURN = 3
"""So many LoRAs are added one after the other on a CPU, as the host's own chain adds them, for the same bits."""


@dataclass(frozen=True, slots=True)
class LoraSum(Strategy):
    """Low-rank changes of one weight, each with its own scale."""

    family: ClassVar[str] = "lora"

    ups: tuple[Tensor, ...]
    """Each (out, rank[, 1…]); or one, (out, Σ rank), that holds all of them"""
    downs: tuple[Tensor, ...]
    """Each (rank, in[, kernel…]); or one, (Σ rank, in · kernel)"""
    ranks: tuple[int, ...]
    """Of each change."""
    scales: tuple[float, ...]
    """What each change is multiplied by."""

    @property
    def additive(self) -> bool:
        return True

    @property
    def rank(self) -> int:
        return sum(self.ranks)

    def fit(self, shape: Shape) -> Shape:
        return shape

    def delta(self, weight: Tensor) -> Tensor:
        return self.apply(torch.zeros_like(weight), 1.0, weight.dtype)

    def apply(self, weight: Tensor, multiplier: float, dtype: torch.dtype) -> Tensor:
        scales = self.scales if multiplier == 1 else tuple([multiplier * scale for scale in self.scales])
        if weight.device.type == "cpu":
            return self._on_cpu(weight, scales)
        with exact_products(weight.device):
            return self._on_device(weight, scales)

    def _on_cpu(self, weight: Tensor, scales: tuple[float, ...]) -> Tensor:
        """Products in fp32: in half precision a CPU is fifty times slower."""
        parts = [part for part in self._separate(scales) if part[2]]
        if not parts:
            return weight
        wide = torch.promote_types(weight.dtype, torch.float32)
        if len(parts) <= IN_TURN:
            total = weight if len(parts) == 1 else weight.to(wide)
            for up, down, scale in parts:
                total = Lora(up, down, None, 1.0).apply(total, scale, torch.float32)
            return total if total.dtype == weight.dtype else weight.copy_(total)
        rank = sum(down.shape[0] for _, down, _ in parts)
        ups = torch.empty((weight.shape[0], rank), dtype=wide)
        downs = torch.empty((rank, weight[0].numel()), dtype=wide)
        start = 0
        for up, down, scale in parts:
            end = start + down.shape[0]
            ups[:, start:end] = up.flatten(1)
            downs[start:end] = down.flatten(1)
            downs[start:end] *= scale
            start = end
        if wide == weight.dtype:
            return _add_product(weight, ups, downs, 1.0)
        return weight.copy_(_add_product(weight.to(wide), ups, downs, 1.0))

    def _separate(self, scales: tuple[float, ...]) -> Iterator[tuple[Tensor, Tensor, float]]:
        if len(self.ups) == len(scales):
            yield from zip(self.ups, self.downs, scales, strict=True)
            return
        ranks = list(self.ranks)
        yield from zip(torch.split(self.ups[0], ranks, dim=1), torch.split(self.downs[0], ranks), scales, strict=True)

    def _on_device(self, weight: Tensor, scales: tuple[float, ...]) -> Tensor:
        """In the weight's type, with sums in fp32, where that type holds every factor; else in fp32."""
        largest, shares = _scaling(scales, self.ranks, weight.device)
        if not largest:
            return weight
        ups, downs = joined(self.ups, 1, weight.device), joined(self.downs, 0, weight.device)
        stored = weight.dtype
        kind = stored if stored.itemsize >= 4 or ups.dtype == downs.dtype == stored else torch.float32
        if shares is not None:
            downs = downs * shares
        if kind == stored:
            return _add_product(weight, ups.to(kind), downs.to(kind), largest)
        return weight.add_(torch.mm(ups.to(kind), downs.to(kind)).reshape(weight.shape), alpha=largest)


def joined(factors: tuple[Tensor, ...], dim: int, device: torch.device) -> Tensor:
    """Factors as matrices on a device, side by side along `dim`."""
    if len(factors) == 1 and factors[0].ndim == 2:
        return factors[0].to(device)
    # torch joins no type of one byte with another; half precision holds all of their numbers.
    matrices = [factor.to(device).flatten(1) for factor in factors]
    return torch.cat([matrix if matrix.itemsize > 1 else matrix.to(torch.float16) for matrix in matrices], dim)


def _add_product(weight: Tensor, up: Tensor, down: Tensor, scale: float) -> Tensor:
    """weight + scale · up·down, in place in one pass where the weight is a matrix in memory."""
    try:
        matrix = weight.view(weight.shape[0], -1)
    except RuntimeError:
        return weight.add_(torch.mm(up, down).reshape(weight.shape), alpha=scale)
    matrix.addmm_(up, down, alpha=scale)
    return weight


@lru_cache(maxsize=256)
def _scaling(scales: tuple[float, ...], ranks: tuple[int, ...], device: torch.device) -> tuple[float, Tensor | None]:
    """(the largest scale, the others' shares of it: (Σ rank, 1) in fp32, `None` where all are the same).

    All weights of a stack share a handful of these.
    """
    largest = max(scales, key=abs)
    if all(scale == largest for scale in scales):
        return largest, None
    values = torch.tensor([scale / largest for scale in scales], dtype=torch.float32)
    return largest, values.repeat_interleave(torch.tensor(ranks)).unsqueeze(1).to(device)


@contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """No TF32 and no sums in half precision, whatever the host or another pack has allowed for its own products."""
    matmul = torch.backends.cuda.matmul
    names = [name for name in ("allow_tf32", "allow_fp16_accumulation") if getattr(matmul, name, False)]
    if device.type != "cuda" or not names:
        yield
        return
    for name in names:
        setattr(matmul, name, False)
    try:
        yield
    finally:
        for name in names:
            setattr(matmul, name, True)


register_class(LoraSum)
