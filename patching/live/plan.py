"""A plan: what one Apply does in the forward pass, and the patcher of its tensors."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import comfy.model_patcher

from ...stack.schedule import Schedule
from .factors import Factors

Patcher = Any
RowKey = Any
"""What a row's conditioning says of its own stack; equal for rows that are treated alike."""


@dataclass(frozen=True, slots=True)
class LiveEntry:
    """One LoRA of a plan."""

    name: str
    weight: float
    schedule: Schedule | None

    def at(self, place: float, steps: int) -> float:
        """Its weight at a place of the schedule."""
        return self.weight if self.schedule is None else self.schedule.at(place, steps)


def unless_replaced(entry: int, row: RowKey) -> bool:
    """Whether the model's own LoRAs act on a row."""
    return row is None or not row.replaces


@dataclass(frozen=True)
class Plan:
    """Entries, and the tensors of what they change. The tensors are shared by plans that differ in weights alone."""

    entries: tuple[LiveEntry, ...]
    factors: Factors
    patcher: Patcher
    """Of `factors`."""
    acts_on: Callable[[int, RowKey], bool] = unless_replaced
    """Whether an entry acts on a row."""

    @property
    def moves(self) -> bool:
        """Whether a weight depends on the step."""
        return any(entry.schedule is not None for entry in self.entries)

    def weights(self, rows: Sequence[RowKey], place: float, steps: int) -> tuple[tuple[float, ...], ...]:
        """Weight of every entry for every group of rows; one group where all are treated alike."""
        now = [entry.at(place, steps) for entry in self.entries]
        table = [tuple(w if self.acts_on(i, row) else 0.0 for i, w in enumerate(now)) for row in rows or (None,)]
        return (table[0],) if len(set(table)) == 1 else tuple(table)


def make_patcher(model: Patcher, factors: Factors) -> Patcher:
    """A patcher for the tensors on the devices of `model`, for the host to load and unload."""
    kind = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
    patcher = _kept_where_it_is(kind)(factors, load_device=model.load_device, offload_device=model.offload_device)
    if hasattr(patcher, "cached_patcher_init"):
        patcher.cached_patcher_init = (_copy_patcher, (weakref.ref(patcher),))
    return patcher


@cache
def _kept_where_it_is(kind: type[Any]) -> type[Any]:
    """The host's kind of patcher, which leaves tensors on the device from one sampling to the next.

    With dynamic memory the host brings whatever is no layer of its own to the device anew each time it samples. What
    is bound to the tensors goes when they go, or the device would not get their memory back.
    """

    class KeptPatcher(kind):  # type: ignore[misc]
        def partially_load(self, device_to: Any, *args: Any, **kwargs: Any) -> Any:
            if self.is_dynamic() and self.model.device == device_to and self.model.model_loaded_weight_memory:
                return None
            return super().partially_load(device_to, *args, **kwargs)

        def partially_unload(self, *args: Any, **kwargs: Any) -> Any:
            self.model.bound.clear()
            return super().partially_unload(*args, **kwargs)

        def unpatch_model(self, device_to: Any = None, unpatch_weights: bool = True) -> Any:
            if unpatch_weights:
                self.model.bound.clear()
            return super().unpatch_model(device_to, unpatch_weights)

    return KeptPatcher


def _copy_patcher(source: weakref.ref[Any], *_: Any, **__: Any) -> Patcher:
    """A patcher over a copy of the tensors, for another device."""
    patcher: Any = source()
    return make_patcher(patcher, patcher.model.copy())
