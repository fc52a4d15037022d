"""BOFT as LyCORIS writes it: m butterfly stages of block rotations over the output channels.

https://arxiv.org/abs/2311.06243. `oft_blocks` (m, blocks, b, b) under the same name as OFT's, told apart by its
dimensions; stage i mixes channels at a distance of 2ⁱ·b/2. alpha is the constraint, as in OFT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .base import Claim, Family, Shape, Strategy, StrategyError
from .forms import Butterfly, Forms, OnOutput
from .module import ModuleTensors
from .oft import check_rescale, extra_gain, rescaled
from .products import bounded, cayley_less_identity


@dataclass(frozen=True, slots=True)
class Boft(Strategy):
    """Butterfly rotations of the output channels, and a gain for each of them."""

    family: ClassVar[str] = "boft"
    has_forms: ClassVar[bool] = True

    stages: Tensor
    """(m, blocks, b, b)"""
    rescale: Tensor | None
    """One gain per output channel, after the rotations."""
    alpha: float
    """Constraint per output channel; 0 for none."""

    @property
    def rank(self) -> int:
        """Number of blocks."""
        return self.stages.shape[1]

    def fit(self, shape: Shape) -> Shape:
        m, blocks, size, _ = self.stages.shape
        if blocks * size != shape[0] or size % 2 or shape[0] % (2**m * (size // 2)):
            raise StrategyError(f"blocks {tuple(self.stages.shape)} do not fit a weight of shape {shape}")
        check_rescale(self.rescale, shape)
        return shape

    def forms(self, shape: Shape, weight: Callable[[], Tensor]) -> Forms | None:
        return (OnOutput(Butterfly(self._turns(self.stages.float(), shape[0]), extra_gain(self.rescale))),)

    def _turns(self, stages: Tensor, out: int) -> Tensor:
        return cayley_less_identity(bounded(stages - stages.mT, self.alpha * out))

    def delta(self, weight: Tensor) -> Tensor:
        stages = self.stages.to(weight.device, weight.dtype)
        m, _, size, _ = stages.shape
        columns = weight[0].numel()
        turns = self._turns(stages, weight.shape[0])
        change = torch.zeros_like(weight, memory_format=torch.contiguous_format)
        for i in range(m):
            distance = 2**i * (size // 2)
            pairs = (weight + change).reshape(-1, 2, distance, columns).transpose(1, 2)
            turned = torch.matmul(turns[i], pairs.reshape(-1, size, columns))
            back = turned.reshape(-1, distance, 2, columns).transpose(1, 2)
            change += back.reshape(weight.shape)
        return rescaled(change, weight, self.rescale)


def _read(module: ModuleTensors) -> Iterable[Claim]:
    if module.dimensions("oft_blocks") != 4:
        return
    taken = module.take("oft_blocks")
    assert taken is not None
    (stages,) = taken
    if stages.shape[2] != stages.shape[3]:
        raise StrategyError("its oft_blocks holds no square blocks")
    yield Claim("weight", Boft(stages, module.take_one("rescale"), module.alpha or 0.0), ("oft_blocks",))


FAMILY = Family("boft", {}, _read, (Boft,))
