"""What every family provides, and the one packed form in which it travels through the host's patches.

The packed form of a strategy is `(family, field, field, …)`, fields in the order of the dataclass. The host moves and
rebuilds patches by walking nested tuples of tensors and plain values, so a strategy holds nothing else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

Packed = tuple[Any, ...]


class StrategyError(ValueError):
    """What a module holds cannot be applied to the weight; the message says why, without file and key."""


class Strategy(ABC):
    """One parameter's change, as read from a file. Subclasses are frozen dataclasses of tensors and plain values."""

    family: ClassVar[str]

    @property
    @abstractmethod
    def rank(self) -> int | None:
        """Rank of the change, `None` where the family has none."""

    @abstractmethod
    def check(self, shape: tuple[int, ...]) -> None:
        """Raises `StrategyError` unless the change fits a weight of this shape."""

    @abstractmethod
    def apply(self, weight: Tensor, multiplier: float, dtype: torch.dtype) -> Tensor:
        """W + multiplier · (f(W) − W), in place or new, of the weight's shape and dtype.

        `weight`: any device and float dtype. `dtype`: in which the factors are cast and multiplied.
        """


class ModuleReader(Protocol):
    """Makes strategies of one module's tensors; the tensors it took are removed from `tensors`."""

    def __call__(self, tensors: dict[str, Tensor]) -> Mapping[str, Strategy]:
        """`tensors`: ending → tensor. Returns parameter (`weight`, `bias`) → strategy, empty where it claims none."""
        ...


_FAMILIES: dict[str, type[Strategy]] = {}


def register_family(cls: type[Strategy]) -> type[Strategy]:
    """Makes a family known to `unpack`. Refuses a second class under the same name."""
    if _FAMILIES.setdefault(cls.family, cls) is not cls:
        raise ValueError(f"Two strategies call themselves {cls.family!r}.")
    return cls


def pack(strategy: Strategy) -> Packed:
    """The strategy as a nested tuple of tensors and plain values."""
    return (strategy.family, *(getattr(strategy, f.name) for f in fields(strategy)))  # type: ignore[arg-type]


def unpack(packed: Packed) -> Strategy:
    """The inverse of `pack`."""
    family, *values = packed
    return _FAMILIES[family](*values)
