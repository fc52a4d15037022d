"""The patch that the host carries: all changes of one weight, in stack order.

The host rebuilds the object as `type(v)(loaded_keys, weights)` per weight and step, from other threads too, and moves
only the tensors that it finds in nested tuples. So the constructor is exactly that, and `weights` is

    ((multiplier, offset, function, packed strategy), …)

with `offset` `None` or `(dim, start, length)` of the slice that the change is for, and `function` `None` or the host's
rearrangement of a change's rows. `pack_part` and `apply_parts` are the only two places that know this layout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from comfy.weight_adapter.base import WeightAdapterBase
from torch import Tensor

from ..strategies import Strategy, pack, unpack

Offset = tuple[int, int, int]
Rearrange = Callable[[Tensor], Tensor]
Part = tuple[float, Offset | None, Rearrange | None, tuple[Any, ...]]


def pack_part(strategy: Strategy, multiplier: float, offset: Offset | None, function: Rearrange | None) -> Part:
    """One change of a weight in packed form."""
    return multiplier, offset, function, pack(strategy)


def apply_parts(weight: Tensor, parts: tuple[Part, ...], strength: float, dtype: torch.dtype) -> Tensor:
    """The weight after all parts. `weight`: (out, in[, kernel…]), changed in place where the families allow it."""
    for multiplier, offset, function, packed in parts:
        strategy = unpack(packed)
        target = weight if offset is None else weight.narrow(*offset)
        if function is None:
            changed = strategy.apply(target, strength * multiplier, dtype)
        else:
            # The host's rearrangement is its own inverse (two halves change places).
            changed = function(strategy.apply(function(target).clone(), strength * multiplier, dtype))
        if offset is None and function is None:
            weight = changed
        elif changed is not target:
            target.copy_(changed)
    return weight


class DeckAdapter(WeightAdapterBase):  # type: ignore[misc]
    """All of a stack's changes of one model weight, as one patch."""

    name = "lora_deck"

    def __init__(self, loaded_keys: set[str], weights: tuple[Part, ...]) -> None:
        self.loaded_keys = loaded_keys
        self.weights = weights

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
        return apply_parts(weight, tuple(self.weights), strength, intermediate_dtype)
