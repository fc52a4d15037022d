"""The wrappers on the model: layers take their steps while the model runs, and are themselves again afterwards."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from comfy.patcher_extension import WrappersMP

from .bound import Bound, bind
from .factors import Factors
from .layer import Layer, RowsError
from .place import Places
from .plan import Patcher, Plan
from .rows import rows_of, split

KEY = "lora_deck"
"""Of our wrappers and additional models."""


class Engine:
    """Runs one plan. The object is shared by all clones of the model that carry it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._places = threading.local()
        self._running: weakref.WeakSet[torch.nn.Module] = weakref.WeakSet()

    def apply_model(
        self,
        executor: Any,
        x: Any,
        t: Any,
        c_concat: Any = None,
        c_crossattn: Any = None,
        control: Any = None,
        transformer_options: Any = None,
        **kwargs: Any,
    ) -> Any:
        """The host's `APPLY_MODEL` wrapper."""
        rows, options, kwargs = rows_of(transformer_options or {}, kwargs)
        call = (t, c_concat, c_crossattn, control, options)
        place, steps = self._now(options) if self.plan.moves else (0.0, 1)
        weights = self.plan.weights(rows, place, steps)
        if not any(weight for row in weights for weight in row):
            return executor(x, *call, **kwargs)
        root = executor.class_obj
        if root in self._running:
            return executor(x, *call, **kwargs)
        bound = bind(_factors_for(self.plan, root), root, x.device)
        self._running.add(root)
        try:
            if len(weights) == 1 or not bound.mixes_rows:
                bound.set_weights(weights)
                try:
                    with in_place(bound):
                        return executor(x, *call, **kwargs)
                except RowsError:
                    pass
            results = []
            for number, (own, part, rest) in enumerate(split(len(weights), x, call, kwargs)):
                bound.set_weights((weights[number],))
                with in_place(bound):
                    results.append(executor(own, *part, **rest))
            return torch.cat(results)
        finally:
            self._running.discard(root)

    def _now(self, options: Any) -> tuple[float, int]:
        if not hasattr(self._places, "value"):
            self._places.value = Places()
        now: tuple[float, int] = self._places.value.now(options)
        return now


def _factors_for(plan: Plan, root: Any) -> Factors:
    """The tensors that the host has loaded beside this copy of the model."""
    patcher = getattr(root, "current_patcher", None)
    for other in patcher.get_additional_models_with_key(KEY) if patcher is not None else ():
        if getattr(other.model, "identity", None) is plan.factors.identity:
            return other.model  # type: ignore[no-any-return]
    return plan.factors


@contextmanager
def in_place(bound: Bound) -> Iterator[None]:
    """The layers' own `forward`s are replaced, and put back whatever happens."""
    swapped: list[tuple[Layer, Any]] = []
    sharing, is_complete = bound.sharing, False
    bound.is_active = True
    sharing.begin()
    try:
        for layer in bound.active:
            attributes = layer.module.__dict__
            before = attributes.get("forward")
            layer.base = layer.module.forward
            attributes["forward"] = layer.forward
            swapped.append((layer, before))
        yield
        is_complete = True
    finally:
        sharing.end(is_complete)
        for layer, before in reversed(swapped):
            if before is None:
                layer.module.__dict__.pop("forward", None)
            else:
                layer.module.__dict__["forward"] = before
        bound.is_active = False


def attach(model: Patcher, plan: Plan) -> Engine:
    """Lets a clone of a model run a plan."""
    engine = Engine(plan)
    model.add_wrapper_with_key(WrappersMP.APPLY_MODEL, KEY, engine.apply_model)
    if plan.factors.segments:
        model.set_additional_models(KEY, [*model.get_additional_models_with_key(KEY), plan.patcher])
    return engine

