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

from ..strategies import Strategy, pack
from .adapter import Part, Shape
from .factors import SharedFactors
from .lying import AsTensors, InFiles, Lying
from .mapped import MappedFile, Source
from .match import Matching, Placement, Placements
from .plain import PlainChanges
from .upload import Wanted

KEPT_PLANS = 4
"""Per model. A plan refers to mapped factors."""


@dataclass(frozen=True, slots=True)
class Alike:
    """An entry, or several in a row whose files differ in nothing but their numbers."""

    entries: tuple[int, ...]
    placements: Placements
    changes: tuple[Sequence[Strategy], ...]
    """Of each entry, one for each placement."""
    plain: tuple[PlainChanges, ...]
    """The same where the files hold plain LoRAs and nothing else; else nothing."""
    files: tuple[MappedFile, ...]
    """Of these."""
    sources: tuple[Source, ...]
    """Of the files; none where the system cannot read past a mapping."""

    @classmethod
    def of(cls, entries: Sequence[int], matchings: Sequence[Matching]) -> Alike:
        """`matchings`: of each entry; of more than one, as `alike` puts them together."""
        changes = tuple(matching.changes for matching in matchings)
        plain = tuple(change for change in changes if isinstance(change, PlainChanges))
        files = tuple(one.plain.file for one in plain)
        sources = tuple(file.source for file in files if file.source is not None)
        return cls(tuple(entries), matchings[0].placements, changes, plain, files, sources)

    def lying(self, place: int) -> InFiles:
        """The factors of a placement, where the files hold plain LoRAs."""
        first = self.plain[0]
        module = first.plain.layout.modules[first.numbers[place]]
        return InFiles(self.files, self.sources, module.up, module.down)


def alike(matchings: Sequence[Matching]) -> list[Alike]:
    """The entries in order, neighbours of plain LoRAs of one layout together."""
    found: list[Alike] = []
    kept: list[int] = []
    for number, matching in enumerate(matchings):
        alike = kept and isinstance(matching.changes, PlainChanges) and _is_like(matching, matchings[kept[0]])
        if kept and not alike:
            found.append(Alike.of(kept, [matchings[i] for i in kept]))
            kept = []
        kept.append(number)
    if kept:
        found.append(Alike.of(kept, [matchings[i] for i in kept]))
    return found


def _is_like(one: Matching, other: Matching) -> bool:
    # Placements are shared by files of one layout alone.
    return one.placements is other.placements


@dataclass(frozen=True, slots=True)
class Change:
    """What files that are alike change at one of their placements."""

    alike: Alike
    match: int
    """Number of the placement."""

    @property
    def placement(self) -> Placement:
        """Where."""
        return self.alike.placements[self.match]

    @property
    def strategy(self) -> Strategy:
        """Where it is one entry."""
        return self.alike.changes[0][self.match]

    @property
    def additive(self) -> bool:
        """Whether the difference does not depend on the weight."""
        return bool(self.alike.plain) or self.strategy.additive

    def factored(self) -> tuple[Lying, tuple[float, ...]] | None:
        """(the factors, alpha/rank of each entry), `None` where a change is no product of two."""
        if self.alike.plain:
            return self.alike.lying(self.match), tuple([changes.scales[self.match] for changes in self.alike.plain])
        factors = self.strategy.factored(self.placement.shape)
        return None if factors is None else (AsTensors(factors.up, factors.down), (factors.scale,))


@dataclass(frozen=True, slots=True)
class Alone:
    """A change that is applied by itself."""

    entry: int
    match: int
    placement: Placement
    packed: tuple[Any, ...]

    @classmethod
    def of(cls, change: Change) -> Alone:
        """Of a change by one entry."""
        return cls(change.alike.entries[0], change.match, change.placement, pack(change.strategy))

    def part(self, weights: Sequence[Sequence[float]], lean: frozenset[Wanted]) -> Part | None:
        """In packed form, `None` at weight zero. `weights`: by entry and match."""
        weight, target = weights[self.entry][self.match], self.placement.target
        return (weight, target.offset, target.function, self.placement.shape, self.packed) if weight else None


@dataclass(frozen=True, slots=True)
class Together:
    """Plain LoRAs of the same weight or slice."""

    scales: tuple[tuple[int, int, float], ...]
    """(entry, match, alpha/rank) of each."""
    placement: Placement
    factors: SharedFactors

    def part(self, weights: Sequence[Sequence[float]], lean: frozenset[Wanted]) -> Part | None:
        """In packed form; `lean`: factors whose tensors the patch need not hold."""
        scales = tuple([weights[entry][match] * scale for entry, match, scale in self.scales])
        if not any(scales):
            return None
        packed = (self.factors, scales) if self.factors in lean else (*self.factors.packed, scales)
        target = self.placement.target
        return 1.0, target.offset, target.function, self.placement.shape, packed


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
    row: list[Change] = []
    for change in changes:
        if change.additive:
            row.append(change)
        else:
            yield from _additive(row)
            row = []
            yield Alone.of(change)
    yield from _additive(row)


_Factored = tuple[Change, Lying, tuple[float, ...]]


def _additive(row: Sequence[Change]) -> Iterator[Step]:
    """Each group of plain LoRAs in the place of its first."""
    found: list[Change | list[_Factored]] = []
    groups: dict[Hashable, list[_Factored]] = {}
    for change in row:
        factored = change.factored()
        if factored is None:
            found.append(change)
            continue
        placement = change.placement
        place = placement.target.offset, placement.target.function, placement.shape
        group = groups.get(place)
        if group is None:
            group = groups[place] = []
            found.append(group)
        group.append((change, *factored))
    for one in found:
        yield Alone.of(one) if isinstance(one, Change) else _together(one)


def _together(group: Sequence[_Factored]) -> Together:
    scales = tuple(
        [
            (entry, change.match, scale)
            for change, _, own in group
            for entry, scale in zip(change.alike.entries, own, strict=True)
        ]
    )
    return Together(scales, group[0][0].placement, SharedFactors(tuple([lying for _, lying, _ in group])))


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
