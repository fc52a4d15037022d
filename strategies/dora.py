"""DoRA around any family: V = W + Δ keeps its direction, and a learned length per channel replaces its own.

https://arxiv.org/abs/2402.09353. f(W) = scale · V / ‖V‖, the norm over all dimensions but the scale's own: `dora_scale`
(1, in, 1…) per input channel, (out, 1, 1…) per output channel (LyCORIS, OneTrainer); `lora_magnitude_vector` (PEFT)
always per output channel. LyCORIS adds its type's epsilon to the norm, which is below fp32's resolution of W.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .around import Around
from .base import Shape, Strategy, StrategyError, Wrapper
from .forms import Forms, Gain, OnInput, OnOutput, with_gain
from .module import ModuleTensors
from .products import along, widest

_ENDINGS = {
    "dora_scale": "dora_scale",
    "lora_magnitude_vector": r"lora_magnitude_vector(\.(?!weight$)[^.]+)?(\.weight)?",
}


@dataclass(frozen=True, slots=True)
class Dora(Around):
    """A change whose result is brought to given lengths."""

    length: Tensor
    """One number per channel."""
    axis: int
    """0: output channels, 1: input channels."""

    @property
    def family(self) -> str:  # type: ignore[override]
        return f"{self.inner.family} (DoRA)"

    @property
    def has_forms(self) -> bool:  # type: ignore[override]
        return self.inner.has_forms and self.inner.additive

    @property
    def additive(self) -> bool:
        return False

    @property
    def reads_weight(self) -> bool:
        return True

    @property
    def by_rows(self) -> bool:
        return self.axis == 0 and self.inner.by_rows

    def fit(self, shape: Shape) -> Shape:
        shape = self.inner.fit(shape)
        if self.axis >= len(shape) or shape[self.axis] != self.length.numel():
            raise StrategyError(f"{self.length.numel()} DoRA lengths do not fit a weight of shape {shape}")
        return shape

    def forms(self, shape: Shape, weight: Callable[[], Tensor]) -> Forms | None:
        inner = self.inner.forms(shape, weight)
        if inner is None:
            return None
        current = weight()
        gain = self._gain(current, self.inner.delta(current)).flatten()
        added = with_gain(inner, gain, self.axis)
        if added is None:
            return None
        # W + m·(g·Δ + (g − 1)·W): the channels of what is there, then the change.
        extra = Gain((gain - 1).float())
        return (OnInput(extra) if self.axis else OnOutput(extra), *added)

    def delta(self, weight: Tensor) -> Tensor:
        change = self.inner.delta(weight)
        gain = self._gain(weight, change)
        # g·(W + Δ) − W as g·Δ + (g − 1)·W
        return change.mul_(gain.to(weight.dtype)).add_(weight * (gain - 1).to(weight.dtype))

    def _gain(self, weight: Tensor, change: Tensor) -> Tensor:
        """The length of every channel over its length in W + Δ, in the widest type."""
        others = [i for i in range(weight.ndim) if i != self.axis]
        wide = widest(weight.device)
        norm = torch.linalg.vector_norm(weight + change, dim=others, keepdim=True, dtype=wide)
        length = along(self.length.to(weight.device, wide), self.axis, weight.ndim)
        gain: Tensor = length / norm.clamp_min(torch.finfo(torch.float32).tiny)
        return gain


def _wrap(strategy: Strategy, module: ModuleTensors) -> Strategy:
    """Puts DoRA around a weight's change where the module has lengths for it."""
    length = module.take_one("dora_scale")
    if length is not None:
        on_input = length.ndim >= 2 and length.shape[0] == 1 and length.shape[1] != 1
        return Dora(strategy, length, 1 if on_input else 0)
    length = module.take_one("lora_magnitude_vector")
    return strategy if length is None else Dora(strategy, length, 0)


WRAPPER = Wrapper(_ENDINGS, _wrap, Dora)
