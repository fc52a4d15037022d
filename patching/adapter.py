"""The patch that the host carries: all changes of one weight, in stack order.

The host rebuilds the object as `type(v)(loaded_keys, weights)` per weight and step, from other threads too, and moves
only the tensors that it finds in nested tuples. So the constructor is exactly that, and `weights` is

    (grown, ((multiplier, offset, function, region, packed), …))

with `grown` the weight's shape after all changes where that is larger than the model's, else `None`; `offset` `None` or
`(dim, start, length)` of the slice that the change is for; `function` `None` or the host's rearrangement of a change's
rows; `region` the shape that the change is for, counted from the slice's first corner; `packed` what `strategies.pack`
gives or, where the patch need not hold the factors, `(SharedFactors, (scale, …))`. Where all changes are such, the host
has nothing to find: `weights` is `(Sealed, SOMETHING)`. Only this module knows the layout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from comfy.weight_adapter.base import WeightAdapterBase
from torch import Tensor

from ..strategies import Strategy, unpack
from .cancel import end_cancelled_load
from .factors import SharedFactors

Shape = tuple[int, ...]
Offset = tuple[int, int, int]
Rearrange = Callable[[Tensor], Tensor]
Part = tuple[float, Offset | None, Rearrange | None, Shape, tuple[Any, ...]]


class Sealed:
    """Changes without a tensor: the host, which looks through a patch three times per weight, does not look in."""

    __slots__ = ("grown", "parts")

    def __init__(self, grown: Shape | None, parts: tuple[Part, ...]) -> None:
        self.grown = grown
        self.parts = parts


Parts = tuple[Shape | None, tuple[Part, ...]] | tuple[Sealed, Tensor]

SOMETHING = torch.zeros(1)
"""Goes with sealed changes: the host pins the tensors of a patch, and fails where a patch has none at all."""


def pack_parts(parts: Sequence[Part], shape: Shape) -> Parts:
    """All changes of a weight of the model's shape `shape`, in stack order."""
    found: Shape | None = None
    if any(part[3] != shape for part in parts):
        whole = [part[3] for part in parts if part[1] is None]
        grown = tuple(max(sizes) for sizes in zip(shape, *whole, strict=True))
        found = grown if grown != shape else None
    if all(isinstance(part[4][0], SharedFactors) for part in parts):
        return Sealed(found, tuple(parts)), SOMETHING
    return found, tuple(parts)


def open_parts(parts: Parts) -> tuple[Shape | None, tuple[Part, ...]]:
    """(shape of the weight afterwards where it grows, its changes)."""
    first = parts[0]
    if isinstance(first, Sealed):
        return first.grown, first.parts
    return first, parts[1]  # type: ignore[return-value]


def apply_parts(weight: Tensor, parts: Parts, strength: float, dtype: torch.dtype) -> Tensor:
    """The weight after all parts. `weight`: (out, in[, kernel…]), changed in place where it does not grow.

    Changes of a half-precision weight that meet are summed in fp32 and rounded once.
    """
    stored = weight.dtype
    changes = tuple(open_parts(parts)[1])
    if stored.itemsize < 4 and _meet(changes):
        weight = weight.to(torch.float32)
    for multiplier, offset, function, region, packed in changes:
        if offset is None:
            weight = _widened(weight, tuple(region))
        target = weight if offset is None else weight.narrow(*offset)
        for dim, size in enumerate(region):
            if size < target.shape[dim]:
                target = target.narrow(dim, 0, size)
        strategy = _strategy(packed, weight.device)
        if function is None:
            changed = strategy.apply(target, strength * multiplier, dtype)
        else:
            # The host's rearrangement is its own inverse (two halves change places).
            changed = function(strategy.apply(function(target).clone(), strength * multiplier, dtype))
        if changed is not target:
            target.copy_(changed)
    return weight.to(stored)


def _meet(changes: Sequence[Part]) -> bool:
    """Whether any element may be changed twice: not so for the slices q, k and v of one weight."""
    if len(changes) < 2:
        return False
    slices = sorted(change[1] for change in changes if change[1] is not None)
    if len(slices) < len(changes) or any(one[0] != slices[0][0] for one in slices):
        return True
    return any(start + length > after[1] for (_, start, length), after in pairwise(slices))


def _strategy(packed: tuple[Any, ...], device: torch.device) -> Strategy:
    if isinstance(packed[0], SharedFactors):
        factors: SharedFactors = packed[0]
        return factors.sum(packed[1], device)
    return unpack(packed)


def _widened(weight: Tensor, shape: Shape) -> Tensor:
    """The weight itself, or with zeros behind it where `shape` is larger."""
    if all(new <= old for new, old in zip(shape, weight.shape, strict=True)):
        return weight
    wide = weight.new_zeros([max(sizes) for sizes in zip(shape, weight.shape, strict=True)])
    wide[tuple(slice(0, size) for size in weight.shape)] = weight
    return wide


class DeckAdapter(WeightAdapterBase):  # type: ignore[misc]
    """All of a stack's changes of one model weight, as one patch."""

    name = "lora_deck"

    def __init__(self, loaded_keys: set[str], weights: Parts) -> None:
        self.loaded_keys = loaded_keys
        self.weights = weights

    def calculate_shape(self, key: str) -> Shape | None:
        """The weight's shape afterwards where it grows: the host then loads its layer at once."""
        return open_parts(self.weights)[0]

    def calculate_weight(
        self,
        weight: Tensor,
        key: str,
        strength: float,
        strength_model: float,
        offset: Offset | None,
        function: Rearrange | None,
        intermediate_dtype: torch.dtype = torch.float32,
        original_weight: Any = None,
    ) -> Tensor:
        """Called by the host with its temporary copy of the weight."""
        end_cancelled_load()
        return apply_parts(weight, self.weights, strength, intermediate_dtype)
