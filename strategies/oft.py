"""OFT: blocks of output channels are rotated, W'ₖ = Rₖᵀ·Wₖ.

https://arxiv.org/abs/2306.07280. R = (I + Q)(I − Q)⁻¹ with Q = B − Bᵀ; alpha is the constraint: ‖Q‖ ≤ alpha · out,
where zero or no alpha means none. Three forms of file:

* `oft_blocks` (blocks, n, n): sd-scripts' networks/oft.py and LyCORIS' diag-oft, which may add `rescale` (out, 1…);
* `oft_blocks.0`, `.1`, …: sd-scripts' networks/oft_flux.py, one stack for each part of a fused projection, every one
  with a constraint of its own;
* `oft_diag`: LyCORIS 2.0, R itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .base import Claim, Family, Shape, Strategy, StrategyError
from .forms import Forms, OnOutput, Turn
from .module import ModuleTensors
from .products import bounded, cayley_less_identity


@dataclass(frozen=True, slots=True)
class Oft(Strategy):
    """Rotations of the output channels, and a gain for each of them."""

    family: ClassVar[str] = "oft"
    has_forms: ClassVar[bool] = True

    stacks: tuple[Tensor, ...]
    """(blocks, n, n) for each part of the output channels, in order."""
    rescale: Tensor | None
    """One gain per output channel, after the rotation."""
    alpha: float
    """Constraint per output channel of a part; 0 for none."""
    finished: bool
    """Whether the stacks hold R, and not what it is made of."""

    @property
    def rank(self) -> int:
        """Number of blocks, as the trainers count it."""
        return self.stacks[0].shape[0]

    def fit(self, shape: Shape) -> Shape:
        rows = sum(stack.shape[0] * stack.shape[1] for stack in self.stacks)
        if rows != shape[0]:
            blocks = ", ".join(str(tuple(stack.shape)) for stack in self.stacks)
            raise StrategyError(f"blocks {blocks} do not fit the {shape[0]} output channels of a weight of {shape}")
        check_rescale(self.rescale, shape)
        return shape

    def forms(self, shape: Shape, weight: Callable[[], Tensor]) -> Forms | None:
        stacks = tuple(self._rotation_less_identity(stack.float()).mT.contiguous() for stack in self.stacks)
        return (OnOutput(Turn(stacks, extra_gain(self.rescale))),)

    def delta(self, weight: Tensor) -> Tensor:
        change = torch.empty_like(weight, memory_format=torch.contiguous_format)
        start = 0
        for stack in self.stacks:
            blocks, size, _ = stack.shape
            rows = weight.narrow(0, start, blocks * size)
            turn = self._rotation_less_identity(stack.to(weight.device, weight.dtype))
            turned = torch.matmul(turn.mT, rows.reshape(blocks, size, -1))
            change.narrow(0, start, blocks * size).copy_(turned.reshape(rows.shape))
            start += blocks * size
        return rescaled(change, weight, self.rescale)

    def _rotation_less_identity(self, stack: Tensor) -> Tensor:
        if self.finished:
            return stack - torch.eye(stack.shape[-1], dtype=stack.dtype, device=stack.device)
        rows = stack.shape[0] * stack.shape[1]
        return cayley_less_identity(bounded(stack - stack.mT, self.alpha * rows))


def check_rescale(rescale: Tensor | None, shape: Shape) -> None:
    """Raises `StrategyError` unless there is one gain per output channel."""
    if rescale is not None and rescale.numel() != shape[0]:
        raise StrategyError(f"rescale {tuple(rescale.shape)} does not fit a weight of shape {shape}")


def extra_gain(rescale: Tensor | None) -> Tensor | None:
    """The gains less 1, (out,) in fp32."""
    return None if rescale is None else rescale.float().flatten() - 1


def rescaled(change: Tensor, weight: Tensor, rescale: Tensor | None) -> Tensor:
    """s·(W + Δ) − W as s·Δ + (s − 1)·W; the change as it is without gains."""
    if rescale is None:
        return change
    gain = rescale.to(weight.device, weight.dtype).reshape(-1, *[1] * (weight.ndim - 1))
    return change.mul_(gain).add_(weight * (gain - 1))


def _read(module: ModuleTensors) -> Iterable[Claim]:
    for name in ("oft_blocks", "oft_diag"):
        if module.dimensions(name) == 3:
            taken = module.take(name)
            assert taken is not None
            yield _claim(module, taken, name)
    parts: list[Tensor] = []
    while (part := module.take_one(f"oft_blocks.{len(parts)}")) is not None:
        parts.append(part)
    if parts:
        yield _claim(module, tuple(parts), "oft_blocks.0")


def _claim(module: ModuleTensors, stacks: tuple[Tensor, ...], name: str) -> Claim:
    if any(stack.ndim != 3 or stack.shape[1] != stack.shape[2] for stack in stacks):
        raise StrategyError(f"its {name} holds no square blocks")
    oft = Oft(stacks, module.take_one("rescale"), module.alpha or 0.0, name == "oft_diag")
    return Claim("weight", oft, (name,))


FAMILY = Family(
    "oft",
    {
        "oft_blocks": "oft_blocks",
        "oft_blocks.": r"oft_blocks\.(?P<number>\d+)",
        "oft_diag": "oft_diag",
        "rescale": "rescale",
    },
    _read,
    (Oft,),
)
