"""Which modules of a file fit which weights of a model. Everything that can be checked is checked here."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import torch

from ..library import LoraFile
from ..stack.errors import LoraFileError
from ..strategies import ByHead, Lora, Rows, Strategy, StrategyError, check_values
from .adapter import Offset
from .keymap import KeyMap, Side, Target, key_map, shape_of
from .open import OpenFile
from .plain import PlainLayout

Shapes = dict[tuple[str, Offset | None], tuple[int, ...]]
"""(key, offset) of a target → its shape."""


@dataclass(frozen=True, slots=True)
class Match:
    """One parameter of a file's module and the weight that it changes."""

    module: str
    target: Target
    strategy: Strategy
    shape: tuple[int, ...]
    """Shape of the part of the weight that the change is for; larger than the weight where it grows."""


@dataclass(frozen=True)
class Matching:
    """A file against one model."""

    matches: tuple[Match, ...] = ()
    misfits: tuple[tuple[str, str], ...] = ()
    """(module, why its shape does not fit)."""

    @cached_property
    def modules(self) -> frozenset[str]:
        """Names of the modules that change something."""
        return frozenset(match.module for match in self.matches)


@dataclass(frozen=True, slots=True)
class _Placed:
    """Where the modules of files of one plain layout go in a model."""

    places: tuple[tuple[str, Target, tuple[int, ...]], ...]
    """(module, target, shape) of each match."""
    misfits: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, found: Matching) -> _Placed | None:
        """`None` where a match is not a module's own change, but rows of it."""
        if not all(isinstance(match.strategy, Lora) for match in found.matches):
            return None
        return cls(tuple((m.module, m.target, m.shape) for m in found.matches), found.misfits)

    def with_changes(self, opened: OpenFile) -> Matching:
        """The matching of another such file, whose values are known to be sound."""
        modules = opened.modules.modules
        return Matching(
            tuple(Match(n, target, modules[n].parameters["weight"], shape) for n, target, shape in self.places),
            self.misfits,
        )


_matchings: weakref.WeakKeyDictionary[torch.nn.Module, weakref.WeakKeyDictionary[OpenFile, Matching]] = (
    weakref.WeakKeyDictionary()
)
_places_of: weakref.WeakKeyDictionary[torch.nn.Module, weakref.WeakKeyDictionary[PlainLayout, _Placed | None]] = (
    weakref.WeakKeyDictionary()
)


def match(
    side: Side, model: torch.nn.Module, file: LoraFile, opened: OpenFile, shapes: Shapes | None = None
) -> Matching:
    """Matches a file with a model by the host's names and checks every shape; kept while both live.

    `shapes`: of this model's targets, to be shared by the files of one run; filled here.

    Raises:
        LoraFileError: two modules of the file claim the same weight.
    """
    per_model = _matchings.setdefault(model, weakref.WeakKeyDictionary())
    found = per_model.get(opened)
    if found is not None:
        return found
    if opened.layout is None or not opened.is_sound:
        found = _match(side, model, file, opened, {} if shapes is None else shapes)
    else:
        alike = _places_of.setdefault(model, weakref.WeakKeyDictionary())
        placed = alike.get(opened.layout)
        if placed is None:
            found = _match(side, model, file, opened, {} if shapes is None else shapes)
            alike[opened.layout] = _Placed.of(found)
        else:
            found = placed.with_changes(opened)
    per_model[opened] = found
    return found


def _match(side: Side, model: torch.nn.Module, file: LoraFile, opened: OpenFile, known: Shapes) -> Matching:
    names = key_map(side, model)
    matches: list[Match] = []
    misfits: list[tuple[str, str]] = []
    claimed: dict[tuple[str, object], str] = {}
    for module in opened.modules.modules.values():
        for parameter, strategy in module.parameters.items():
            placed = list(_places(names, model, module.name, parameter, strategy))
            if not placed:
                if parameter == "bias" and not strategy.optional and names.find(module.name, "weight") is not None:
                    misfits.append((module.name, "its bias: this layer of the model has none"))
                continue
            try:
                shapes = [_fit(change, _shape(model, target, known)) for target, change in placed]
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
                matches.append(Match(module.name, target, change, shape))
    return Matching(tuple(matches), tuple(misfits))


def _shape(model: torch.nn.Module, target: Target, known: Shapes) -> tuple[int, ...]:
    place = target.key, target.offset
    shape = known.get(place)
    if shape is None:
        shape = known[place] = shape_of(model, target)
    return shape


def _places(
    names: KeyMap, model: torch.nn.Module, module: str, parameter: str, strategy: Strategy
) -> Iterator[tuple[Target, Strategy]]:
    """Where a change goes: one weight, or the several that are its rows here."""
    target = names.find(module, parameter)
    if target is not None:
        heads = names.heads_in_turn(module, target)
        yield target, strategy if heads is None else ByHead(strategy, heads)
        return
    rows = names.find_rows(module, parameter)
    heights = [shape_of(model, target)[0] for target in rows]
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
