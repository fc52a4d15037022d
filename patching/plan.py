"""What a set of files changes in a model, weight by weight, before any strength is known.

Plain LoRAs of a weight (or of one slice of it) become one product. That may bring a LoRA past other changes whose
difference does not depend on the weight, and never past one that reads it. A plan is kept per model and set of files,
so another strength groups nothing anew.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from ..strategies import Factors, LoraSum, pack
from .adapter import Part, Shape
from .factors import SOMETHING, SharedFactors
from .match import Match

KEPT_PLANS = 4
"""Per model. A plan refers to mapped factors."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one weight, of the entry and match with these numbers."""

    entry: int
    match: int
    found: Match


@dataclass(frozen=True, slots=True)
class Alone:
    """A change that is applied by itself."""

    change: Change
    packed: tuple[Any, ...]

    def part(self, weights: Sequence[Sequence[float]], kept: frozenset[SharedFactors]) -> Part | None:
        """In packed form, `None` at weight zero. `weights`: by entry and match."""
        found, target = self.change.found, self.change.found.target
        weight = weights[self.change.entry][self.change.match]
        return (weight, target.offset, target.function, found.shape, self.packed) if weight else None


@dataclass(frozen=True, slots=True)
class Together:
    """Plain LoRAs of the same weight or slice."""

    changes: tuple[Change, ...]
    scales: tuple[float, ...]
    """alpha/rank of each."""
    factors: SharedFactors
    packed: tuple[Any, ...]
    """Of their sum, but for the scales, its last field."""

    def part(self, weights: Sequence[Sequence[float]], kept: frozenset[SharedFactors]) -> Part | None:
        """In packed form; `kept`: factors that the device has."""
        found, target = self.changes[0].found, self.changes[0].found.target
        scales = tuple([weights[c.entry][c.match] * scale for c, scale in zip(self.changes, self.scales, strict=True)])
        if not any(scales):
            return None
        packed = (self.factors, scales, SOMETHING) if self.factors in kept else (*self.packed, scales)
        return 1.0, target.offset, target.function, found.shape, packed


Step = Alone | Together


@dataclass(frozen=True, eq=False)
class Plan:
    """The steps for each weight of a model, in order."""

    steps: Mapping[str, tuple[Step, ...]]
    shapes: Mapping[str, Shape]
    """Of each weight, before."""

    @cached_property
    def factors(self) -> list[SharedFactors]:
        """Of all plain LoRAs."""
        return [step.factors for steps in self.steps.values() for step in steps if isinstance(step, Together)]


def plan(changes: Mapping[str, Sequence[Change]], shapes: Mapping[str, Shape], poll: Callable[[], None]) -> Plan:
    """Groups the changes of each weight, which come in stack order.

    `shapes`: of the weights; `poll`: called between weights, may end the work by an exception.
    """
    steps: dict[str, tuple[Step, ...]] = {}
    for key, found in changes.items():
        poll()
        steps[key] = tuple(_steps(found))
    return Plan(steps, shapes)


def _steps(changes: Sequence[Change]) -> Iterator[Step]:
    run: list[Change] = []
    for change in changes:
        if change.found.strategy.additive:
            run.append(change)
        else:
            yield from _additive(run)
            run = []
            yield Alone(change, pack(change.found.strategy))
    yield from _additive(run)


def _additive(run: Sequence[Change]) -> Iterator[Step]:
    """Each group of plain LoRAs in the place of its first."""
    groups: dict[Hashable, list[tuple[Change, Factors | None]]] = {}
    for i, change in enumerate(run):
        found = change.found
        factors = found.strategy.factored(found.shape)
        place = i if factors is None else (found.target.offset, found.target.function, found.shape)
        groups.setdefault(place, []).append((change, factors))
    for group in groups.values():
        change, factors = group[0]
        if factors is None:
            yield Alone(change, pack(change.found.strategy))
        else:
            yield _together(group)


def _together(group: Sequence[tuple[Change, Factors | None]]) -> Together:
    factors = [found for _, found in group if found is not None]
    shared = SharedFactors(tuple([f.up for f in factors]), tuple([f.down for f in factors]))
    return Together(
        tuple([change for change, _ in group]),
        tuple([f.scale for f in factors]),
        shared,
        pack(LoraSum(shared.ups, shared.downs, shared.ranks, ()))[:-1],
    )


class PlanCache:
    """Plans by model (weakly) and set of files; the least recently used go first."""

    def __init__(self) -> None:
        self._plans: weakref.WeakKeyDictionary[torch.nn.Module, OrderedDict[Hashable, Plan]]
        self._plans = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def recall(self, model: torch.nn.Module, files: Hashable) -> Plan | None:
        """The plan for these files, if it is kept."""
        with self._lock:
            plans = self._plans.get(model)
            found = plans.get(files) if plans else None
            if plans is not None and found is not None:
                plans.move_to_end(files)
            return found

    def keep(self, model: torch.nn.Module, files: Hashable, made: Plan) -> None:
        """Remembers a plan."""
        with self._lock:
            plans = self._plans.setdefault(model, OrderedDict())
            plans[files] = made
            while len(plans) > KEPT_PLANS:
                plans.popitem(last=False)

    def clear(self) -> None:
        """Remembers nothing any more."""
        with self._lock:
            self._plans.clear()
