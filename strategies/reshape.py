"""`reshape_weight`: the shape to which a weight grows by zeros before its change is added.

Written where a model gets more input channels, as by Black Forest Labs' control LoRAs through the host.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .around import Around
from .base import Shape, Strategy, StrategyError, Wrapper
from .matrix import Matrix
from .module import ModuleTensors

_ENDINGS = {"reshape_weight": "reshape_weight"}


@dataclass(frozen=True, slots=True)
class Reshaped(Around):
    """A change of a weight that has grown."""

    shape: Shape

    @property
    def by_rows(self) -> bool:
        return False

    def matrix(self, device: torch.device) -> Matrix | None:
        return self.inner.matrix(device)

    def fit(self, shape: Shape) -> Shape:
        if len(self.shape) != len(shape) or any(new < old for new, old in zip(self.shape, shape, strict=True)):
            raise StrategyError(f"a weight of shape {shape} cannot grow to {self.shape}")
        return self.inner.fit(self.shape)

    def delta(self, weight: Tensor) -> Tensor:
        return self.inner.delta(weight)


def _wrap(strategy: Strategy, module: ModuleTensors) -> Strategy:
    """Lets the weight grow where the module says so."""
    shape = module.take_one("reshape_weight")
    return strategy if shape is None else Reshaped(strategy, tuple(int(n) for n in shape.flatten().tolist()))


WRAPPER = Wrapper(_ENDINGS, _wrap, Reshaped)
