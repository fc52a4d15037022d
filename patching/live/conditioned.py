"""Stacks that come with conditionings: found when sampling begins, all rows in one batch, gone afterwards.

Also A1111's `AND`: u + Σ wᵢ·(cᵢ − u) (modules/sd_samplers_cfg_denoiser.py), where the host gives Σ wᵢ·cᵢ / Σ wᵢ.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import comfy.patcher_extension
from comfy.patcher_extension import WrappersMP

from ...library import LoraFile
from ...stack.entry import SamplingPass
from ...stack.errors import LoraDeckError, MissingLorasError
from ...stack.printer import print_tag
from ...stack.row_stack import STACK, SUM, RowStack
from ..adapter import DeckAdapter
from ..entries import OPEN_STEPS, open_entries, resolve_entries
from ..progress import Progress
from .choose import Chosen, choose
from .engine import KEY, Engine
from .parts import LivePart
from .plan import LiveEntry, Patcher
from .plans import make_plan
from .rows import CONDITION, RowCondition

logger = logging.getLogger("lora_deck")

_SUMMED = "lora_deck_summed"
_NOTHING = 1e-6
"""Sum of weights below which the host's mean says nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one conditioning wants."""

    number: int | None
    """Of its stack; `None` for none."""
    replaces: bool


class RowStackError(LoraDeckError):
    """A conditioning's stack cannot be applied; the message says what to do."""


@dataclass(frozen=True)
class Conditioned:
    """Wrappers of one Apply."""

    sampling_pass: SamplingPass
    missing: Literal["error", "warn"]
    resolve: Callable[[str], LoraFile]

    def attach(self, model: Patcher) -> None:
        """Lets a clone of a model heed the stacks of conditionings."""
        model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, self.outer_sample)
        model.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, KEY, calc_cond_batch)

    def outer_sample(self, executor: Any, *args: Any, **kwargs: Any) -> Any:
        """The host's `OUTER_SAMPLE` wrapper: what it adds belongs to this sampling alone."""
        guider = executor.class_obj
        conditions = [c for part in guider.conds.values() for c in part or ()]
        stacks = list(dict.fromkeys(c[STACK].stack for c in conditions if _wants(c)))
        if not any(_wants(c) for c in conditions) or any(CONDITION in c["model_conds"] for c in conditions):
            return executor(*args, **kwargs)
        model = guider.model_patcher
        if any(_wants(c) and c[STACK].replaces for c in conditions):
            _check_replaceable(model)
        chosen, owners = self._chosen(model, stacks)
        for c in conditions:
            row = _row(c, stacks)
            c["model_conds"] = {**c["model_conds"], CONDITION: RowCondition((row,))}
        if chosen.parts:
            plan, _ = make_plan(model, chosen)
            plan = replace(plan, acts_on=lambda entry, row: row is not None and row.number == owners[entry])
            first = conditions[0]
            first["additional_models"] = [*first.get("additional_models", ()), plan.patcher]
            comfy.patcher_extension.add_wrapper_with_key(
                WrappersMP.APPLY_MODEL, KEY, Engine(plan).apply_model, guider.model_options, is_model_options=True
            )
        return executor(*args, **kwargs)

    def _chosen(self, model: Patcher, stacks: Sequence[Any]) -> tuple[Chosen, tuple[int, ...]]:
        """(what all stacks do, the number of the stack of every entry)."""
        entries: list[LiveEntry] = []
        parts: list[LivePart] = []
        version: list[Any] = []
        owners: list[int] = []
        for number, stack in enumerate(stacks):
            resolved, errors = resolve_entries(stack, self.sampling_pass, self.resolve)
            if errors and self.missing == "error":
                raise MissingLorasError([(print_tag(entry), error) for entry, error in errors])
            for entry, error in errors:
                logger.warning("Left out %s: %s", print_tag(entry), error)
            items = [item for item in resolved if item.unet]
            opened = open_entries(items, {"unet": model}, Progress(len(items) * OPEN_STEPS))
            chosen = choose("live", model, opened, self.sampling_pass)
            left = sum(any(entry.weights["unet"]) for entry in chosen.opened)
            if left:
                logger.warning("%d LoRAs of a conditioning change weights that all rows share; those stay out", left)
            parts += [replace(part, entry=part.entry + len(entries)) for part in chosen.parts]
            owners += [number] * len(chosen.entries)
            entries += chosen.entries
            version.append(chosen.version)
        return Chosen((), tuple(entries), tuple(parts), ("rows", tuple(version))), tuple(owners)


def _wants(condition: Mapping[str, Any]) -> bool:
    own = condition.get(STACK)
    return isinstance(own, RowStack) and (own.replaces or len(own.stack) > 0)


def _row(condition: Mapping[str, Any], stacks: Sequence[Any]) -> Row:
    if not _wants(condition):
        return Row(None, False)
    own: RowStack = condition[STACK]
    return Row(stacks.index(own.stack), own.replaces)


def _check_replaceable(model: Patcher) -> None:
    patched = any(isinstance(patch[1], DeckAdapter) for patches in model.patches.values() for patch in patches)
    if patched:
        raise RowStackError(
            "A conditioning replaces the model's LoRAs (LoRA stack on conditioning, combine on replace), but they are "
            "patched into its weights, which all rows share. Set method of Apply LoRA stack to live."
        )


def calc_cond_batch(
    executor: Any, model: Any, conds: Sequence[Any], x_in: Any, timestep: Any, model_options: Mapping[str, Any]
) -> Any:
    """The host's `CALC_COND_BATCH` wrapper: parts of a prompt with `AND` are added up."""
    options = model_options.get("transformer_options", {})
    active = [c for c in conds[0] or () if _is_active(c, timestep)] if len(conds) == 2 else []
    plain = all(c.get(SUM) and not {"mask", "area", "default"} & c.keys() for c in active)
    if options.get(_SUMMED) or not active or not plain or not conds[1]:
        return executor(model, conds, x_in, timestep, model_options)
    inner = {**model_options, "transformer_options": {**options, _SUMMED: True}}
    total = float(sum(c.get("strength", 1.0) for c in active))
    if abs(total) >= _NOTHING:
        mean, negative = executor(model, conds, x_in, timestep, inner)
        return [negative + total * (mean - negative), negative]
    # The host would divide by nothing: the negative takes part in the mean once and is taken out again.
    base = {**conds[1][0], "strength": 1.0}
    if len(conds[1]) > 1 or {"mask", "area", "default"} & base.keys():
        return executor(model, conds, x_in, timestep, model_options)
    mean, negative = executor(model, [[*conds[0], base], conds[1]], x_in, timestep, inner)
    return [mean * (total + 1) - negative + negative * (1 - total), negative]


def _is_active(condition: Mapping[str, Any], timestep: Any) -> bool:
    if "timestep_start" in condition and timestep[0] > condition["timestep_start"]:
        return False
    return not ("timestep_end" in condition and timestep[0] < condition["timestep_end"])
