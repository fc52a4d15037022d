"""The factors of a stack's plain LoRAs, weight by weight, without any strength: another strength moves no factor.

The host's patches carry `SharedFactors`, an object that the host does not look into, in place of tensors that it would
copy to the device at each load and step. Where the store has no room for them, and the host's copies are as good as
any, patches carry the tensors.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..strategies import LoraSum, pack
from .lying import AsTensors, Lying
from .store import STORE


class SharedFactors:
    """The factors of one weight (or slice), of one set of files. Compared by identity."""

    __slots__ = ("__dict__", "__weakref__", "parts", "ranks")

    def __init__(self, parts: tuple[Lying, ...]) -> None:
        """`parts`: the LoRAs in stack order."""
        self.parts = parts
        self.ranks = tuple([rank for part in parts for rank in part.ranks])

    @property
    def tensors(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """(ups, downs): each (out, rank[, 1…]) and (rank, in[, kernel…]), in the file's type."""
        ups, downs = zip(*(pair for part in self.parts for pair in part.tensors()), strict=True)
        return ups, downs

    @cached_property
    def dtype(self) -> torch.dtype:
        """The smallest type that holds every factor, and that a device multiplies."""
        return _common(frozenset().union(*[part.kinds for part in self.parts]))

    @cached_property
    def size(self) -> int:
        """Bytes on a device."""
        return sum([part.count for part in self.parts]) * self.dtype.itemsize

    @cached_property
    def packed(self) -> tuple[Any, ...]:
        """Their sum with the tensors themselves, packed but for the scales, its last field."""
        return pack(LoraSum(*self.tensors, self.ranks, ()))[:-1]

    def __reduce__(self) -> tuple[Any, ...]:
        return SharedFactors, (tuple(AsTensors(*pair) for part in self.parts for pair in part.tensors()),)

    def sum(self, scales: tuple[float, ...], device: torch.device) -> LoraSum:
        """The change at these scales, with the factors that are kept on `device` where they are."""
        kept = STORE.find(self, device) if device.type != "cpu" else None
        if kept is None:
            return LoraSum(*self.tensors, self.ranks, scales)
        return LoraSum((kept[0],), (kept[1],), self.ranks, scales)


def _common(kinds: frozenset[torch.dtype]) -> torch.dtype:
    # torch promotes no type of one byte; half precision holds all of their numbers.
    first, *others = (kind if kind.itemsize > 1 else torch.float16 for kind in kinds)
    for kind in others:
        first = torch.promote_types(first, kind)
    return first
