"""IA3 as PEFT writes it: W' = W·l and, on the output side, b' = b·l.

Shapes of `ia3_l`: (out, 1) or (1, in) for linear layers; (1, channels, 1, 1) for convolutions, where the settings'
`feedforward_modules` (input side) decide, and without them the number of channels, the output side first.
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
class PeftIa3(Strategy):
    """A factor per channel."""

    family: ClassVar[str] = "ia3"

    factor: Tensor
    """One number per channel, whatever its shape."""
    axis: int | None
    """0: output channels (and the bias), 1: input channels, `None`: as their number says."""
    on_bias: bool
    """Whether this is the bias' change; a layer without one loses nothing."""

    @property
    def has_forms(self) -> bool:  # type: ignore[override]
        return not self.on_bias

    @property
    def optional(self) -> bool:
        return self.on_bias

    @property
    def by_rows(self) -> bool:
        return True

    def fit(self, shape: Shape) -> Shape:
        axes = (0, 1) if self.axis is None else (self.axis,)
        if not any(axis < len(shape) and shape[axis] == self.factor.numel() for axis in axes):
            raise StrategyError(f"{self.factor.numel()} channels do not fit a weight of shape {shape}")
        return shape

    def forms(self, shape: Shape, weight: Callable[[], Tensor]) -> Forms | None:
        if self.on_bias:
            return None
        gain = Gain(self.factor.float().flatten() - 1)
        return (OnInput(gain) if self._axis_for(shape) else OnOutput(gain),)

    def delta(self, weight: Tensor) -> Tensor:
        factor = self.factor.to(weight.device, weight.dtype)
        return weight * along(factor - 1, self._axis_for(tuple(weight.shape)), weight.ndim)

    def _axis_for(self, shape: Shape) -> int:
        return self.axis if self.axis is not None else int(self.factor.numel() != shape[0])


def _read(module: ModuleTensors) -> Iterable[Claim]:
    factor = module.take_one("ia3_l")
    if factor is None:
        return
    axis: int | None
    if factor.ndim == 2:
        axis = 0 if factor.shape[1] == 1 and factor.shape[0] != 1 else 1
    else:
        feedforward = module.settings.is_feedforward(module.name) if module.settings is not None else None
        axis = None if feedforward is None else int(feedforward)
    yield Claim("weight", PeftIa3(factor, axis, False), ("ia3_l",))
    if axis != 1:
        yield Claim("bias", PeftIa3(factor, 0, True), ("ia3_l",))


FAMILY = Family("ia3 (PEFT)", {"ia3_l": r"ia3_l(\.[^.]+)?"}, _read, (PeftIa3,))
