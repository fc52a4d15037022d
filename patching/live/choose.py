"""What of a stack is applied in the forward pass, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import comfy.utils

from ...stack.entry import SamplingPass
from ...stack.schedule import Schedule, describe, schedule_of
from ...strategies import Strategy
from ..entries import OpenedEntry, Patcher
from ..match import Match
from ..parameters import type_in
from .parts import LivePart
from .plan import LiveEntry
from .storage import is_plain, storage_of

Method = Literal["auto", "patch", "live"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A stack, parted."""

    opened: tuple[OpenedEntry, ...]
    """The entries with zero as the weight of what is not patched."""
    entries: tuple[LiveEntry, ...] = ()
    """Those of the rest."""
    parts: tuple[LivePart, ...] = ()
    version: tuple[Any, ...] = ()
    """Equal for parts that are equal, whatever their weights."""
    notes: tuple[str, ...] = ()


@dataclass
class _Entry:
    """One entry while it is parted."""

    opened: OpenedEntry
    schedule: Schedule | None
    live: dict[int, Match] = field(default_factory=dict)
    """Number of the match → match."""
    because: Counter[str] = field(default_factory=Counter)
    patched: Counter[str] = field(default_factory=Counter)
    """Why what should be live is not."""
    early: int = 0
    """Changes that read the weight before an earlier live one has changed it."""


class _Weights:
    """The model's weights, each looked up once for all files that change it."""

    def __init__(self, model: Patcher) -> None:
        self._model = model.model
        self._seen: dict[str, tuple[str, tuple[int, ...], str | None]] = {}

    def look(self, key: str) -> tuple[str, tuple[int, ...], str | None]:
        """(what hinders a change in the forward pass or nothing, shape, storage if it is one to be spared)."""
        seen = self._seen.get(key)
        if seen is None:
            name, _, parameter = key.rpartition(".")
            module = comfy.utils.get_attr(self._model, name)
            weight = getattr(module, parameter)
            fits = parameter in ("weight", "bias") and is_layer(module)
            kind = "" if fits else f"{type(module).__name__} layers"
            seen = self._seen[key] = kind, tuple(weight.shape), storage_of(weight, type_in(module, parameter, weight))
        return seen


def choose(method: Method, model: Patcher, opened: Sequence[OpenedEntry], sampling_pass: SamplingPass) -> Chosen:
    """Parts what a stack does to a diffusion model. `opened`: in stack order."""
    entries = [_Entry(one, schedule_of(one.item.entry, sampling_pass)) for one in opened]
    if all(entry.schedule is None for entry in entries) and _patches_all(method, model):
        # As with most stacks: not worth a look at each of thousands of changes.
        return Chosen(tuple(opened))
    before: dict[str, list[bool]] = {}
    weights = _Weights(model)
    for entry in entries:
        for i, found in enumerate(entry.opened.matchings["unet"].matches):
            if entry.opened.weights["unet"][i] or (entry.schedule is not None and entry.schedule.largest):
                _part(method, weights, entry, i, found, before)
    return _chosen(method, entries, sampling_pass)


def _patches_all(method: Method, model: Patcher) -> bool:
    if method == "auto":
        return is_plain(model.model)
    return method == "patch"


def _part(
    method: Method, weights: _Weights, entry: _Entry, number: int, found: Match, before: dict[str, list[bool]]
) -> None:
    """Decides about one change. `before`: whether each earlier live change of a weight only adds to it."""
    key, strategy = found.target.key, found.strategy
    earlier = before.get(key, [])
    kind, shape, storage = weights.look(key)
    reason = _reason(method, entry, storage, strategy)
    if reason is None and earlier and not (strategy.additive and all(earlier)):
        reason = "it comes after a live one"
    if reason is None:
        return
    hindrance = kind or _hindrance(found, shape)
    if hindrance:
        entry.patched[hindrance] += 1
        return
    entry.live[number] = found
    entry.because[reason] += 1
    entry.early += bool(earlier) and strategy.reads_weight
    before.setdefault(key, []).append(strategy.additive)


def _reason(method: Method, entry: _Entry, storage: str | None, strategy: Strategy) -> str | None:
    if method == "patch":
        return None
    if entry.schedule is not None:
        return "its weight moves over the steps"
    if method == "live":
        return "method is live"
    if storage is None or not strategy.has_forms:
        return None
    return f"the model's weights are {storage}"


def _hindrance(found: Match, whole: tuple[int, ...]) -> str:
    """Why a change cannot be made in the forward pass of a layer with a weight of that shape, if it cannot."""
    shape = list(whole)
    if found.target.offset is not None:
        shape[found.target.offset[0]] = found.target.offset[2]
    grows = any(new > old for new, old in zip(found.shape, shape, strict=True))
    return "weights that grow" if grows else ""


def is_layer(module: Any) -> bool:
    """Whether a module is a linear layer or a convolution, by what it has: packs bring classes of their own."""
    if hasattr(module, "in_features") and hasattr(module, "out_features"):
        return len(module.weight.shape) == 2
    return hasattr(module, "_conv_forward") and not getattr(module, "transposed", False) and module.groups == 1


def _chosen(method: Method, entries: Sequence[_Entry], sampling_pass: SamplingPass) -> Chosen:
    notes: list[str] = []
    live: list[LiveEntry] = []
    parts: list[LivePart] = []
    version: list[Any] = []
    for entry in entries:
        notes.extend(_notes(method, entry, sampling_pass))
        if not entry.live:
            continue
        item = entry.opened.item
        factors = {number: _factor(entry.opened, found) for number, found in entry.live.items()}
        for number, found in entry.live.items():
            target = found.target
            place = target.key, target.offset, target.function, found.shape
            parts.append(LivePart(len(live), factors[number], found.strategy, *place))
        live.append(LiveEntry(item.file.name, item.unet, entry.schedule))
        version.append((entry.opened.opened.version, entry.opened.ranks.limit, tuple(factors.items())))
    return Chosen(
        tuple(replace(e.opened, weights={**e.opened.weights, "unet": _patched_weights(e)}) for e in entries),
        tuple(live),
        tuple(parts),
        tuple(version),
        tuple(notes),
    )


def _factor(opened: OpenedEntry, found: Match) -> float:
    return 1.0 if opened.rules is None else opened.rules.factor(found.target, found.module)


def _patched_weights(entry: _Entry) -> tuple[float, ...]:
    return tuple(0.0 if i in entry.live else weight for i, weight in enumerate(entry.opened.weights["unet"]))


def _notes(method: Method, entry: _Entry, sampling_pass: SamplingPass) -> Iterable[str]:
    name, schedule = entry.opened.item.file.name, entry.schedule
    if schedule is not None:
        said = describe(schedule, entry.opened.item.entry, sampling_pass)
        if method == "patch":
            weight = entry.opened.item.unet
            yield f"{name}: {said} is not followed with method patch; its weight is {weight:g} throughout."
        elif entry.live:
            yield f"{name}: {said}, by this pass's own steps."
    if entry.live:
        reasons = "; ".join(entry.because)
        yield f"{name}: {len(entry.live)} weights are changed in the forward pass, because {reasons}."
    for what, count in entry.patched.items():
        at = f" at weight {entry.opened.item.unet:g}" if schedule is not None else ""
        yield f"{name}: {count} changes of {what} have no form in the forward pass and are patched{at}."
    if entry.early:
        yield (
            f"{name}: {entry.early} of its changes read the weight itself and see it without the live LoRAs before it."
        )
