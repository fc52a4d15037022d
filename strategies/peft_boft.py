"""BOFT as PEFT writes it: butterfly stages over the *input* side, and a gain per output channel.

`boft_R` (stages, blocks, n, n), `boft_s` (out, 1) or (1, out). W' = s·W·Mᵀ over (in · kernel), M the product of
PᵢBᵢPᵢᵀ, last stage on the left; Bᵢ = (I − S)(I + S)⁻¹ with S = (A − Aᵀ)/2; Pᵢ sorts groups of n/2 within blocks of
2ⁱ·n, even ones first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .base import Claim, Family, Shape, Strategy, StrategyError
from .module import ModuleTensors
from .oft import check_rescale, rescaled
from .products import cayley_less_identity


@dataclass(frozen=True, slots=True)
class PeftBoft(Strategy):
    """Butterfly rotations of the input side."""

    family: ClassVar[str] = "boft"

    stages: Tensor
    """(stages, blocks, n, n)"""
    gain: Tensor | None
    """One per output channel, after the rotations."""

    @property
    def rank(self) -> int:
        """Number of blocks."""
        return self.stages.shape[1]

    def fit(self, shape: Shape) -> Shape:
        stages, blocks, size, _ = self.stages.shape
        columns = torch.Size(shape[1:]).numel()
        if blocks * size != columns or (stages > 1 and (size % 2 or blocks % 2 ** (stages - 1))):
            raise StrategyError(f"blocks {tuple(self.stages.shape)} do not fit a weight of shape {shape}")
        check_rescale(self.gain, shape)
        return shape

    def delta(self, weight: Tensor) -> Tensor:
        stages = self.stages.to(weight.device, weight.dtype)
        turns = cayley_less_identity((stages.mT - stages) / 2)
        columns = weight.flatten(1).T
        change = torch.zeros_like(columns)
        for i, turn in enumerate(turns):
            order = self._order(i, columns.shape[0]).to(weight.device)
            sorted_back = torch.empty_like(columns).index_copy_(0, order, columns + change)
            turned = torch.bmm(turn, sorted_back.reshape(*turn.shape[:2], -1)).reshape(columns.shape)
            change = change + turned[order]
        return rescaled(change.T.reshape(weight.shape).contiguous(), weight, self.gain)

    def _order(self, stage: int, columns: int) -> Tensor:
        """Where Pᵢ takes each column from: (Px)[j] = x[order[j]]."""
        stages, _, size, _ = self.stages.shape
        order = torch.arange(columns)
        if stages == 1:
            return order
        groups = order.reshape(-1, 2 ** (stage + 1), size // 2)
        return torch.cat([groups[:, 0::2], groups[:, 1::2]], dim=1).flatten()


def _read(module: ModuleTensors) -> Iterable[Claim]:
    stages = module.take_one("boft_R")
    if stages is None:
        return
    if stages.ndim != 4 or stages.shape[2] != stages.shape[3]:
        raise StrategyError(f"its boft_R {tuple(stages.shape)} holds no square blocks")
    yield Claim("weight", PeftBoft(stages, module.take_one("boft_s")), ("boft_R",))


FAMILY = Family("boft (PEFT)", {"boft_R": r"boft_R(\.[^.]+)?", "boft_s": r"boft_s(\.[^.]+)?"}, _read, (PeftBoft,))
