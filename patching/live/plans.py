"""Plans of what is live in a stack; their tensors are kept, so that a new weight moves nothing to the device."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

import torch

from ..entries import Patcher
from ..keymap import weight_shape
from .choose import Chosen
from .factors import Factors
from .parts import Layers, build_layers
from .plan import Plan, make_patcher, unless_replaced
from .storage import current_weight

KEPT_PER_MODEL = 2
"""Kept factors may lie on the device until the host needs the room."""

_kept: weakref.WeakKeyDictionary[torch.nn.Module, OrderedDict[Hashable, tuple[Factors, Any]]]
_kept = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def make_plan(model: Patcher, chosen: Chosen) -> tuple[Plan, bool]:
    """(a plan for a clone with its constant patches on it, whether its tensors were there already)."""
    reads = any(part.strategy.reads_weight or part.key.endswith(".bias") for part in chosen.parts)
    key = (chosen.version, model.patches_uuid if reads else None)
    with _lock:
        known = _kept.setdefault(model.model, OrderedDict())
        found = known.get(key)
        if found is not None:
            known.move_to_end(key)
    if found is not None:
        return Plan(chosen.entries, *found, unless_replaced), True
    layers = build_layers(
        chosen.parts, lambda name: weight_shape(model.model, name), lambda name: current_weight(model, name)
    )
    factors = Factors(_in_order(layers, model.model), model.model.get_dtype_inference(), object())
    made = factors, make_patcher(model, factors)
    with _lock:
        known[key] = made
        while len(known) > KEPT_PER_MODEL:
            known.popitem(last=False)
    return Plan(chosen.entries, *made, unless_replaced), False


def _in_order(layers: Layers, root: torch.nn.Module) -> Layers:
    """Layers as the model has them; files have them by name or in any order."""
    order = {name: number for number, (name, _) in enumerate(root.named_modules(remove_duplicate=False))}
    return dict(sorted(layers.items(), key=lambda layer: order.get(layer[0], len(order))))
