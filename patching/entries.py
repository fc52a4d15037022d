"""A stack's entries on the way to a model: resolved to files, opened, matched, weighed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import library
from ..library import LoraFile
from ..library.header import uncollected
from ..stack.entry import LoraEntry, SamplingPass
from ..stack.errors import AmbiguousLoraError, LoraFileError, LoraNotFoundError
from ..stack.stack import LoraStack
from .experts import expert_of, file_of
from .fit import check_fit
from .keymap import Side, blocks_of
from .match import Matching, match
from .open import OpenFile, open_file
from .parameters import Parameters
from .progress import Progress
from .rank_limit import RankedFile, limit_ranks
from .weights import BlockRules, read_rules

OPEN_STEPS = 2
Patcher = Any
"""The host's `ModelPatcher`, which has no types."""


@dataclass(frozen=True, slots=True)
class ResolvedEntry:
    """An entry with its file and the weights of the sampling pass."""

    entry: LoraEntry
    file: LoraFile
    te: float
    unet: float

    def weight(self, side: Side) -> float:
        """The weight of one side."""
        return self.te if side == "te" else self.unet


@dataclass(frozen=True, slots=True)
class OpenedEntry:
    """A resolved entry with its file and what of it fits each connected side, at which weight."""

    item: ResolvedEntry
    opened: OpenFile
    matchings: dict[Side, Matching]
    weights: dict[Side, tuple[float, ...]]
    """One weight for each match of the side."""
    rules: BlockRules | None
    ranks: RankedFile
    """What the entry's rank limit did; `matchings` are as it left them."""


def resolve_entries(
    stack: LoraStack, sampling_pass: SamplingPass, resolve: Callable[[str], LoraFile] = library.resolve
) -> tuple[list[ResolvedEntry], list[tuple[LoraEntry, LoraNotFoundError | AmbiguousLoraError]]]:
    """The entries with their files and weights, and those that no file or several answer to.

    `resolve`: from name to file; raises as `library.resolve` does.
    """
    resolved: list[ResolvedEntry] = []
    errors: list[tuple[LoraEntry, LoraNotFoundError | AmbiguousLoraError]] = []
    for entry in stack:
        try:
            file = resolve(entry.name)
        except (LoraNotFoundError, AmbiguousLoraError) as error:
            errors.append((entry, error))
            continue
        te, unet = entry.weights(sampling_pass)
        resolved.append(ResolvedEntry(entry, file, te, unet))
    return resolved, errors


def open_entries(
    items: Sequence[ResolvedEntry],
    clones: dict[Side, Patcher],
    progress: Progress,
    parameters: Mapping[Side, Parameters] | None = None,
) -> list[OpenedEntry]:
    """Opens the entries' files and matches them with what is connected: `OPEN_STEPS` of progress for each.

    All files are opened first: what they hold is checked meanwhile. `parameters`: of what is connected.

    Raises:
        LoraFileError: the file is unreadable, or does not fit.
        BlockWeightError: its block or element weights mean nothing for this model.
    """
    parameters = parameters or {side: Parameters(clone.model) for side, clone in clones.items()}
    with uncollected():
        files: list[OpenFile] = []
        for item in items:
            files.append(_for_this_expert(item.file, open_file(item.file), clones.get("unet")))
            progress.step()
        matched: list[dict[Side, Matching]] = []
        for item, opened in zip(items, files, strict=True):
            progress.wait(opened.check)
            matched.append(
                {side: match(side, clone.model, item.file, opened, parameters[side]) for side, clone in clones.items()}
            )
            progress.step()
    return [_opened(*found, clones) for found in zip(items, files, matched, strict=True)]


def _for_this_expert(file: LoraFile, opened: OpenFile, model: Patcher | None) -> OpenFile:
    """What of a file for two experts is for the model."""
    if opened.experts is None or model is None:
        return opened
    name = file_of(model)
    expert = expert_of(name) if name is not None else None
    if expert is None:
        whose = f"the name of the model's file ({name})" if name is not None else "the loader of the model"
        way = "Load a model with 'high' or 'low' in its file's name, or use" if name is not None else "Use"
        raise LoraFileError(
            file.path,
            f"holds a LoRA for each of two experts (high and low noise), and {whose} does not say which of them the "
            f"model is. {way} a LoRA file for each expert.",
        )
    return opened.experts[expert]


def _opened(
    item: ResolvedEntry, opened: OpenFile, matchings: dict[Side, Matching], clones: dict[Side, Patcher]
) -> OpenedEntry:
    check_fit(item.file, opened, matchings, clones)
    layout = blocks_of(clones["unet"].model) if "unet" in clones else None
    rules = read_rules(item.entry, layout)
    weights = {side: _weights(item.weight(side), rules, matching) for side, matching in matchings.items()}
    ranks = limit_ranks(item.entry, item.file, opened, matchings, layout)
    return OpenedEntry(item, opened, ranks.matchings, weights, rules, ranks)


def _weights(weight: float, rules: BlockRules | None, matching: Matching) -> tuple[float, ...]:
    if rules is None:
        return (weight,) * len(matching.placements)
    return tuple(weight * rules.factor(place.target, place.module) for place in matching.placements)
