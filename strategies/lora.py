"""LoRA and LoCon: Δ = alpha/rank · up·down, with a core tensor between them for tucker convolutions.

https://arxiv.org/abs/2106.09685; key names of kohya-ss/sd-scripts, LyCORIS, PEFT, diffusers and Mochi.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .base import Claim, Factors, Family, Shape, Strategy, StrategyError
from .diff import Diff
from .forms import Forms, Pair
from .matrix import Matrix, Product
from .module import ModuleTensors
from .products import core_down, tucker, widest

_NAME = r"(\.(?!(weight|bias)$)[^.]+)?"
"""PEFT's name of the adapter, which some writers leave in."""
_ENDINGS = {
    "lora_up": r"lora_up\.weight",
    "lora_down": r"lora_down\.weight",
    "lora_mid": r"lora_mid\.weight",
    "lora_up.bias": r"lora_up\.bias",
    "lora_B": rf"lora_B{_NAME}(\.weight)?",
    "lora_A": rf"lora_A{_NAME}(\.weight)?",
    "lora_B.bias": rf"lora_B{_NAME}\.bias",
    "lora.up": r"lora\.up\.weight",
    "lora.down": r"lora\.down\.weight",
    "lora_linear_layer.up": r"lora_linear_layer\.up\.weight",
    "lora_linear_layer.down": r"lora_linear_layer\.down\.weight",
    "up": r"up\.weight",
    "down": r"down\.weight",
}
AFTER_UNDERSCORE = ("up", "down")
"""Endings before which diffusers' first form has `_lora` in place of a dot."""
SPELLINGS = (
    ("lora_up", "lora_down"),
    ("lora_B", "lora_A"),
    ("lora.up", "lora.down"),
    ("lora_linear_layer.up", "lora_linear_layer.down"),
    ("up", "down"),
)


@dataclass(frozen=True, slots=True)
class Lora(Strategy):
    """Low-rank factors of a linear or convolution weight."""

    family: ClassVar[str] = "lora"
    has_forms: ClassVar[bool] = True

    up: Tensor
    """(out, rank[, 1…])"""
    down: Tensor
    """(rank, in[, kernel…]); (rank, in[, 1…]) beside a core"""
    mid: Tensor | None
    """(rank, rank, kernel…), the core of a tucker convolution"""
    scale: float
    """alpha/rank; 1 where the file has no alpha, as its trainers mean it."""

    @property
    def additive(self) -> bool:
        return True

    def factored(self, shape: Shape) -> Factors | None:
        return Factors(self.up, self.down, self.scale) if self.mid is None else None

    @property
    def by_rows(self) -> bool:
        return True

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    def truncated(self, rank: int) -> Strategy | None:
        return None if self.mid is not None else Lora(self.up[:, :rank], self.down[:rank], None, self.scale)

    @property
    def kernel(self) -> Shape:
        return tuple((self.down if self.mid is None else self.mid).shape[2:])

    def matrix(self, device: torch.device) -> Matrix:
        wide = widest(device)
        up, down = self.up.to(device, wide).flatten(1), self.down.to(device, wide).flatten(1)
        if self.mid is not None:
            down = core_down(self.mid.to(device, wide), down.mT)
        return Product(up * self.scale, down)

    def fit(self, shape: Shape) -> Shape:
        if (
            self.mid is None
            and (self.up.shape[0], *self.down.shape[1:]) == shape
            and (self.up.shape[1:] == self.down.shape[:1])
        ):
            return shape
        up, down = tuple(self.up.shape), tuple(self.down.shape)
        if len(up) < 2 or len(down) < 2 or up[1:].count(1) < len(up) - 2 or up[1] != down[0]:
            raise StrategyError(f"up {up} and down {down} do not share a rank")
        kernel: Shape = ()
        if self.mid is not None:
            kernel = tuple(self.mid.shape[2:])
            if tuple(self.mid.shape[:2]) != (down[0], down[0]) or self.down[0].numel() != down[1]:
                raise StrategyError(f"its core {tuple(self.mid.shape)} does not fit up {up} and down {down}")
        size = up[0] * self.down[0].numel() * torch.Size(kernel).numel()
        if size != torch.Size(shape).numel() or up[0] != shape[0]:
            raise StrategyError(f"up {up} and down {down} do not make a weight of shape {shape}")
        return shape

    def delta(self, weight: Tensor) -> Tensor:
        return self._product(weight.device, weight.dtype).mul_(self.scale).reshape(weight.shape)

    def forms(self, shape: Shape, weight: Callable[[], Tensor]) -> Forms | None:
        up, down = self.up.float().flatten(1), self.down.float()
        if self.mid is not None:
            # up·mid·down is up·down′ with down′ over mid's kernel: still of this rank.
            down = torch.einsum("pq...,qi->pi...", self.mid.float(), down.flatten(1))
        return (Pair(up * self.scale, down.reshape(down.shape[0], *shape[1:])),)

    def apply(self, weight: Tensor, multiplier: float, dtype: torch.dtype) -> Tensor:
        # In the order of the host's own chain, so that a plain stack gives the same bits as its loaders. Products in
        # half precision are fifty times slower than fp32 on a CPU.
        product = self._product(weight.device, torch.float32 if weight.device.type == "cpu" else dtype)
        weight += ((multiplier * self.scale) * product.reshape(weight.shape)).to(weight.dtype)
        return weight

    def _product(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        up = self.up.to(device, dtype).flatten(1)
        down = self.down.to(device, dtype)
        if self.mid is not None:
            return tucker(self.mid.to(device, dtype), up, down.flatten(1).T)
        return torch.mm(up, down.flatten(1))


def _read(module: ModuleTensors) -> Iterable[Claim]:
    for up_name, down_name in SPELLINGS:
        taken = module.take(up_name, down_name)
        if taken is None:
            continue
        up, down = taken
        mid = module.take_one("lora_mid") if up_name == "lora_up" else None
        if down.ndim < 2 or up.ndim < 2:
            raise StrategyError(f"{up_name} {tuple(up.shape)} and {down_name} {tuple(down.shape)} are no matrices")
        scale = module.scale(down.shape[0])
        yield Claim("weight", Lora(up, down, mid, scale), (up_name, down_name))
        bias = module.take_one(f"{up_name}.bias")
        if bias is not None:
            yield Claim("bias", Diff(bias, scale, "lora"), (f"{up_name}.bias",))


FAMILY = Family("lora", _ENDINGS, _read, (Lora,))
