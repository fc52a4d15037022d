"""Full differences (`diff`, `diff_b`), and values that replace the weight's (`set_weight`, PEFT's trained biases).

LyCORIS' `full`, and what extraction tools and the host write.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .base import Claim, Family, Shape, Strategy, StrategyError
from .matrix import Matrix, Whole
from .module import ModuleTensors
from .products import widest


@dataclass(frozen=True, slots=True)
class Diff(Strategy):
    """A difference as large as the weight, or larger: then the weight grows by zeros, as the host pads it."""

    has_forms: ClassVar[bool] = True

    diff: Tensor
    """The weight's shape, or one that reads the same row by row."""
    scale: float
    family: str  # type: ignore[misc]
    """The family that the difference is part of: `full`, `norm`, `lora`."""

    @property
    def additive(self) -> bool:
        return True

    @property
    def by_rows(self) -> bool:
        return True

    @property
    def kernel(self) -> Shape:
        return tuple(self.diff.shape[2:])

    def matrix(self, device: torch.device) -> Matrix | None:
        if self.diff.ndim < 2:
            return None
        return Whole(self.diff.to(device, widest(device)).flatten(1) * self.scale, may_sketch=True)

    def fit(self, shape: Shape) -> Shape:
        return fit_whole("its difference", self.diff, shape)

    def delta(self, weight: Tensor) -> Tensor:
        return self.diff.to(weight.device, weight.dtype).reshape(weight.shape) * self.scale


@dataclass(frozen=True, slots=True)
class Assigned(Strategy):
    """A value that takes the weight's place: f(W) = value."""

    family: ClassVar[str] = "set"

    value: Tensor

    @property
    def by_rows(self) -> bool:
        return True

    def fit(self, shape: Shape) -> Shape:
        return fit_whole("its value", self.value, shape)

    def delta(self, weight: Tensor) -> Tensor:
        return self.value.to(weight.device, weight.dtype).reshape(weight.shape) - weight


def fit_whole(what: str, tensor: Tensor, shape: Shape) -> Shape:
    """The weight's shape, or the tensor's where it is larger in some dimensions and smaller in none."""
    found = tuple(tensor.shape)
    if torch.Size(found).numel() == torch.Size(shape).numel() and found[:1] == shape[:1]:
        return shape
    if len(found) == len(shape) and all(new >= old for new, old in zip(found, shape, strict=True)):
        return found
    raise StrategyError(f"{what} {found} does not fit a weight of shape {shape}")


_ENDINGS = {"diff": "diff", "diff_b": "diff_b", "set_weight": "set_weight", "bias": r"(base_layer\.)?bias"}


def _read(module: ModuleTensors) -> Iterable[Claim]:
    diff = module.take_one("diff")
    if diff is not None:
        yield Claim("weight", Diff(diff, module.scale(None), "full"), ("diff",))
    value = module.take_one("set_weight")
    if value is not None:
        yield Claim("weight", Assigned(value), ("set_weight",))
    bias_diff = module.take_one("diff_b")
    if bias_diff is not None:
        yield Claim("bias", Diff(bias_diff, 1.0, "full"), ("diff_b",))
    if module.settings is not None and module.settings.trains_bias:
        bias = module.take_one("bias")
        if bias is not None:
            yield Claim("bias", Assigned(bias), ("bias",))


FAMILY = Family("full", _ENDINGS, _read, (Diff, Assigned))
