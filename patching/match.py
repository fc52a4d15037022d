"""Which modules of a file fit which weights of a model. Everything that can be checked is checked here."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import torch

from ..library import LoraFile
from ..stack.blocks import BlockLayout
from ..stack.errors import LoraFileError
from ..strategies import ByHead, Lora, Rows, Strategy, StrategyError, check_values
from .blocks import block_of
from .keymap import KeyMap, Side, Target, key_map, target_shape
from .open import OpenFile
from .parameters import Parameters
from .plain import PlainChanges, PlainFile, PlainLayout


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a change of a module goes."""

    module: str
    target: Target
    shape: tuple[int, ...]
    """Shape of the part of the weight that the change is for; larger than the weight where it grows."""


class Placements(tuple[Placement, ...]):
    """Of a file in a model, one for each of its changes; files of one layout share them."""

    @cached_property
    def modules(self) -> frozenset[str]:
        """Names of the modules that change something."""
        return frozenset([placement.module for placement in self])

    def blocks(self, layout: BlockLayout | None) -> frozenset[str]:
        """Ids of the blocks in which something is changed. `layout`: of the model."""
        found = self._blocks.get(layout)
        if found is None:
            found = self._blocks[layout] = frozenset([block_of(placement.target, layout) for placement in self])
        return found

    @cached_property
    def _blocks(self) -> dict[BlockLayout | None, frozenset[str]]:
        return {}


@dataclass(frozen=True, slots=True)
class Match:
    """One parameter of a file's module and the weight that it changes."""

    placement: Placement
    strategy: Strategy

    @property
    def module(self) -> str:
        """The module's name."""
        return self.placement.module

    @property
    def target(self) -> Target:
        """What it changes."""
        return self.placement.target

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the part of the weight that the change is for; larger than the weight where it grows."""
        return self.placement.shape


@dataclass(frozen=True, eq=False)
class Matching:
    """A file against one model."""

    placements: Placements
    changes: Sequence[Strategy]
    """One for each placement."""
    misfits: tuple[tuple[str, str], ...]
    """(module, why its shape does not fit)."""

    @classmethod
    def of(cls, matches: Iterable[Match], misfits: tuple[tuple[str, str], ...]) -> Matching:
        """Of single matches."""
        found = tuple(matches)
        return cls(Placements(m.placement for m in found), tuple(m.strategy for m in found), misfits)

    @property
    def modules(self) -> frozenset[str]:
        """Names of the modules that change something."""
        return self.placements.modules

    @cached_property
    def matches(self) -> tuple[Match, ...]:
        """Placements with their changes."""
        return tuple(map(Match, self.placements, self.changes))


@dataclass(frozen=True, slots=True)
class _Placed:
    """Where the modules of files of one plain layout go in a model."""

    placements: Placements
    numbers: tuple[int, ...]
    """Of the module of each."""
    misfits: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, found: Matching, layout: PlainLayout) -> _Placed | None:
        """`None` where a match is not a module's own change, but rows of it."""
        if not all(isinstance(change, Lora) for change in found.changes):
            return None
        return cls(found.placements, tuple(layout.numbers[p.module] for p in found.placements), found.misfits)

    def with_changes(self, plain: PlainFile) -> Matching:
        """The matching of such a file, whose values are known to be sound."""
        return Matching(self.placements, PlainChanges(plain, self.numbers), self.misfits)


_matchings: weakref.WeakKeyDictionary[torch.nn.Module, weakref.WeakKeyDictionary[OpenFile, Matching]] = (
    weakref.WeakKeyDictionary()
)
_places_of: weakref.WeakKeyDictionary[torch.nn.Module, weakref.WeakKeyDictionary[PlainLayout, _Placed | None]] = (
    weakref.WeakKeyDictionary()
)


def match(
    side: Side, model: torch.nn.Module, file: LoraFile, opened: OpenFile, parameters: Parameters | None = None
) -> Matching:
    """Matches a file with a model by the host's names and checks every shape; kept while both live.

    `parameters`: of this model, to be shared by the files of one run.

    Raises:
        LoraFileError: two modules of the file claim the same weight.
    """
    per_model = _matchings.setdefault(model, weakref.WeakKeyDictionary())
    found = per_model.get(opened)
    if found is not None:
        return found
    found = per_model[opened] = _matched(side, model, file, opened, parameters or Parameters(model))
    return found


def _matched(side: Side, model: torch.nn.Module, file: LoraFile, opened: OpenFile, parameters: Parameters) -> Matching:
    """By what is known of its layout, where the file has one and its values need no look."""
    plain = opened.plain if opened.is_sound else None
    if plain is None:
        return _match(side, model, file, opened, parameters)
    alike = _places_of.setdefault(model, weakref.WeakKeyDictionary())
    placed = alike.get(plain.layout)
    if placed is None:
        found = _match(side, model, file, opened, parameters)
        placed = alike[plain.layout] = _Placed.of(found, plain.layout)
        if placed is None:
            return found
    return placed.with_changes(plain)


def _match(side: Side, model: torch.nn.Module, file: LoraFile, opened: OpenFile, parameters: Parameters) -> Matching:
    names = key_map(side, model)
    matches: list[Match] = []
    misfits: list[tuple[str, str]] = []
    claimed: dict[tuple[str, object], str] = {}
    for module in opened.modules.modules.values():
        for parameter, strategy in module.parameters.items():
            placed = list(_places(names, parameters, module.name, parameter, strategy))
            if not placed:
                if parameter == "bias" and not strategy.optional and names.find(module.name, "weight") is not None:
                    misfits.append((module.name, "its bias: this layer of the model has none"))
                continue
            try:
                shapes = [_fit(change, target_shape(parameters, target)) for target, change in placed]
                if not opened.is_sound:
                    check_values(strategy)
            except StrategyError as error:
                misfits.append((module.name, str(error)))
                continue
            for (target, change), shape in zip(placed, shapes, strict=True):
                other = claimed.setdefault((target.key, target.offset), module.name)
                if other != module.name:
                    raise LoraFileError(
                        file.path,
                        f"its modules {other!r} and {module.name!r} both change {target.key!r}. The file holds the "
                        "same change twice; ask its author, or remove one of the two sets of keys.",
                    )
                matches.append(Match(Placement(module.name, target, shape), change))
    return Matching.of(matches, tuple(misfits))


def _places(
    names: KeyMap, parameters: Parameters, module: str, parameter: str, strategy: Strategy
) -> Iterator[tuple[Target, Strategy]]:
    """Where a change goes: one weight, or the several that are its rows here."""
    target = names.find(module, parameter)
    if target is not None:
        heads = names.heads_in_turn(module, target)
        yield target, strategy if heads is None else ByHead(strategy, heads)
        return
    rows = names.find_rows(module, parameter)
    heights = [target_shape(parameters, target)[0] for target in rows]
    for target, start in zip(rows, accumulate(heights, initial=0), strict=False):
        yield target, Rows(strategy, start, sum(heights))


def _fit(strategy: Strategy, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strategy's own rule, and A1111's for inpainting models: what was trained on 4 latent channels changes the
    first 4 of the 9 that the first convolution of such a model takes."""
    try:
        return strategy.fit(shape)
    except StrategyError:
        if len(shape) == 4 and shape[1] == 9:
            return strategy.fit((shape[0], 4, *shape[2:]))
        raise
