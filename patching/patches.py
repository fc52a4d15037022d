"""The patches of opened entries on a clone of the host's patcher."""

from __future__ import annotations

from collections.abc import Sequence

from ..library.header import uncollected
from .adapter import DeckAdapter, pack_parts
from .entries import OpenedEntry, Patcher
from .keymap import Side
from .parameters import Parameters
from .plan import Change, Plan, PlanCache, alike, plan
from .progress import Progress
from .reuse import Kept, ResultCache
from .store import STORE

_results = ResultCache()
_plans = PlanCache()


def put_patches(
    side: Side, clone: Patcher, opened: Sequence[OpenedEntry], parameters: Parameters, progress: Progress
) -> bool:
    """Puts the side's patches on a fresh clone; whether an earlier result could be used again.

    `parameters`: the clone's. One step of progress for each entry.
    """
    active = [entry for entry in opened if any(entry.weights[side])]
    progress.step(len(opened) - len(active))
    if not active:
        return True
    files = (side, tuple((e.opened.version, e.ranks.limit) for e in active))
    weights = tuple(entry.weights[side] for entry in active)
    planned = _plans.recall(clone.model, files)
    kept = _results.recall(clone.model, clone.patches_uuid, files, weights)
    if kept is not None:
        if planned is not None:
            # What memory pressure took from the device is put back.
            STORE.keep(planned.factors, clone)
        kept.put_on(clone)
        progress.step(len(active))
        return True
    if planned is None:
        with uncollected():
            planned = _plan(side, active, parameters, progress)
        _plans.keep(clone.model, files, planned)
    else:
        progress.step(len(active))
    lean = STORE.keep(planned.factors, clone)
    patches = {}
    for key, steps in planned.steps.items():
        parts = [part for step in steps if (part := step.part(weights, lean)) is not None]
        if parts:
            patches[key] = DeckAdapter(set(), pack_parts(parts, planned.shapes[key]))
    base = clone.patches_uuid
    before = _results.recall_any(clone.model, base, files)
    kept = before.with_last(patches, clone.patches) if before is not None else None
    if kept is not None:
        kept.put_on(clone)
    else:
        clone.add_patches(patches)
        kept = Kept({key: list(found) for key, found in clone.patches.items()}, clone.patches_uuid)
    _results.keep(clone.model, base, files, weights, kept)
    return False


def forget() -> None:
    """Keeps no plan, no result and no factor any more."""
    _results.clear()
    _plans.clear()
    STORE.clear()


def _plan(side: Side, active: Sequence[OpenedEntry], parameters: Parameters, progress: Progress) -> Plan:
    changes: dict[str, list[Change]] = {}
    for files in alike([entry.matchings[side] for entry in active]):
        for place, placement in enumerate(files.placements):
            changes.setdefault(placement.target.key, []).append(Change(files, place))
        for _ in files.entries:
            progress.step()
    return plan(changes, {key: parameters.shape(key) for key in changes}, progress.poll)
