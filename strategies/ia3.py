"""IA3 as LyCORIS writes it: W' = W·(1 + w), w along the input or the output channels.

https://arxiv.org/abs/2205.05638. The bias is not scaled (LyCORIS 4's forward pass).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from .base import Claim, Family, Shape, Strategy, StrategyError
from .forms import Forms, Gain, OnInput, OnOutput
from .module import ModuleTensors
from .products import along


@dataclass(frozen=True, slots=True)
class Ia3(Strategy):
    """A gain per channel."""

    family: ClassVar[str] = "ia3"
    has_forms: ClassVar[bool] = True

    gain: Tensor
    """One number per channel, whatever its shape: the gain less 1."""
    axis: int
    """0: output channels, 1: input channels."""
    scale: float

    @property
    def by_rows(self) -> bool:
        return True

    def fit(self, shape: Shape) -> Shape:
        if len(shape) <= self.axis or self.gain.numel() != shape[self.axis]:
            side = "input" if self.axis else "output"
            raise StrategyError(f"{self.gain.numel()} {side} channels do not fit a weight of shape {shape}")
        return shape

    def forms(self, shape: Shape, weight: Callable[[], Tensor]) -> Forms | None:
        gain = Gain(self.gain.float().flatten() * self.scale)
        return (OnInput(gain) if self.axis else OnOutput(gain),)

    def delta(self, weight: Tensor) -> Tensor:
        return weight * along(self.gain.to(weight.device, weight.dtype) * self.scale, self.axis, weight.ndim)


def _read(module: ModuleTensors) -> Iterable[Claim]:
    taken = module.take("weight", "on_input")
    if taken is not None:
        gain, on_input = taken
        axis = 1 if bool(on_input.flatten()[0].item()) else 0
        yield Claim("weight", Ia3(gain, axis, module.scale(None)), ("weight", "on_input"))


FAMILY = Family("ia3", {"weight": "weight", "on_input": "on_input"}, _read, (Ia3,))
