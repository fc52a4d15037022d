"""LoRA and LoCon: Δ = alpha/rank · up·down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .base import Strategy, StrategyError, register_family

SPELLINGS: tuple[tuple[str, str], ...] = (
    ("lora_up.weight", "lora_down.weight"),
    ("lora_B.weight", "lora_A.weight"),
)
"""(up, down) endings."""
SUFFIXES = (*(ending for pair in SPELLINGS for ending in pair), "alpha")


@register_family
@dataclass(frozen=True, slots=True)
class Lora(Strategy):
    """Low-rank factors of a linear or convolution weight."""

    family: ClassVar[str] = "lora"

    up: Tensor
    """(out, rank[, 1, 1])"""
    down: Tensor
    """(rank, in[, kernel…])"""
    scale: float
    """alpha/rank; 1 where the file has no alpha, as its trainers mean it."""

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    def check(self, shape: tuple[int, ...]) -> None:
        if self.up.shape[1] != self.down.shape[0]:
            raise StrategyError(f"up is {tuple(self.up.shape)} and down is {tuple(self.down.shape)}: ranks differ")
        if self.up.shape[0] * self.down[0].numel() != torch.Size(shape).numel() or self.up.shape[0] != shape[0]:
            raise StrategyError(
                f"up {tuple(self.up.shape)} and down {tuple(self.down.shape)} do not make a weight of shape {shape}"
            )

    def apply(self, weight: Tensor, multiplier: float, dtype: torch.dtype) -> Tensor:
        up = self.up.to(weight.device, dtype).flatten(1)
        down = self.down.to(weight.device, dtype).flatten(1)
        delta = torch.mm(up, down).reshape(weight.shape)
        weight += ((multiplier * self.scale) * delta).to(weight.dtype)
        return weight


def read(tensors: dict[str, Tensor]) -> Mapping[str, Strategy]:
    """Claims one spelling of up and down with their alpha."""
    for up_name, down_name in SPELLINGS:
        if up_name in tensors and down_name in tensors:
            up, down = tensors.pop(up_name), tensors.pop(down_name)
            alpha = tensors.pop("alpha", None)
            scale = 1.0 if alpha is None else alpha.item() / down.shape[0]
            return {"weight": Lora(up, down, scale)}
    return {}
