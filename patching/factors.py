"""The factors of a stack's plain LoRAs, joined per weight and kept on the device while they fit a budget.

A strength is no part of them, so another strength moves no factor. The host's patches carry `SharedFactors`, an object
that the host does not look into, in place of tensors that it would copy to the device at each load and step. What is
kept is listed among the host's loaded models, so that it counts as their memory does and goes when memory is short;
then the factors come from the mapped file again.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import comfy.model_management
import comfy.model_patcher
import torch
from torch import Tensor

from ..strategies import LoraSum
from .upload import uploaded

logger = logging.getLogger("lora_deck")

BUDGET = "LORA_DECK_FACTOR_MIB"
"""Environment variable: MiB of factors on each device. Without it a quarter of the device's memory; 0 keeps none."""


SOMETHING = torch.zeros(1)
"""Goes with shared factors: the host pins the tensors of a patch, and fails where a patch has none at all."""


class SharedFactors:
    """The factors of one weight (or slice), of one set of files. Compared by identity."""

    __slots__ = ("__dict__", "__weakref__", "downs", "ranks", "ups")

    def __init__(self, ups: tuple[Tensor, ...], downs: tuple[Tensor, ...]) -> None:
        """`ups`: each (out, rank[, 1…]); `downs`: each (rank, in[, kernel…]), in the file's type."""
        self.ups = ups
        self.downs = downs
        self.ranks = tuple([down.shape[0] for down in downs])

    @cached_property
    def dtype(self) -> torch.dtype:
        """The smallest type that holds every factor, and that a device multiplies."""
        return _common({factor.dtype for factor in (*self.ups, *self.downs)})

    @cached_property
    def size(self) -> int:
        """Bytes on a device."""
        return sum([factor.numel() for factor in (*self.ups, *self.downs)]) * self.dtype.itemsize

    def __reduce__(self) -> tuple[Any, ...]:
        return SharedFactors, (self.ups, self.downs)

    def sum(self, scales: tuple[float, ...], device: torch.device) -> LoraSum:
        """The change at these scales, with the factors that are kept on `device` where they are."""
        kept = STORE.find(self, device) if device.type != "cpu" else None
        if kept is None:
            return LoraSum(self.ups, self.downs, self.ranks, scales)
        return LoraSum((kept[0],), (kept[1],), self.ranks, scales)


def _common(kinds: set[torch.dtype]) -> torch.dtype:
    first, *others = kinds
    for kind in others:
        first = torch.promote_types(first, kind)
    return first if first.itemsize > 1 else torch.float16


class _Kept(comfy.model_patcher.ModelPatcher):  # type: ignore[misc]
    """One device's kept factors as the host sees them: a loaded model that it may unload."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(torch.nn.Module(), load_device=device, offload_device=torch.device("cpu"), size=1)
        self.entries: OrderedDict[weakref.ref[SharedFactors], tuple[Tensor, Tensor, int]] = OrderedDict()

    def model_size(self) -> int:
        return sum(size for _, _, size in list(self.entries.values()))

    def loaded_size(self) -> int:
        return self.model_size()

    def is_dynamic(self) -> bool:
        return False

    def partially_load(self, *_: Any, **__: Any) -> int:
        return 0

    def partially_unload(self, device_to: Any, memory_to_free: int = 0, **_: Any) -> int:
        freed = 0
        while self.entries and freed < memory_to_free:
            freed += self.entries.popitem(last=False)[1][2]
        return freed

    def detach(self, unpatch_all: bool = True) -> torch.nn.Module:
        self.entries.clear()
        return self.model  # type: ignore[no-any-return]

    def unpin_all_weights(self) -> None:
        pass


class FactorStore:
    """Kept factors by device; the least recently used go first."""

    def __init__(self) -> None:
        self._devices: dict[torch.device, _Kept] = {}
        self._lock = threading.Lock()

    def find(self, factors: SharedFactors, device: torch.device) -> tuple[Tensor, Tensor] | None:
        """(U, D) on the device, `None` where they are not kept."""
        kept = self._devices.get(device)
        entry = kept.entries.get(weakref.ref(factors)) if kept is not None else None
        return None if entry is None else entry[:2]

    def size(self, device: torch.device) -> int:
        """Bytes kept on a device."""
        kept = self._devices.get(device)
        return 0 if kept is None else kept.model_size()

    def clear(self) -> None:
        """Keeps nothing any more."""
        with self._lock:
            for kept in self._devices.values():
                kept.entries.clear()

    def keep(self, wanted: Sequence[SharedFactors], patcher: Any) -> frozenset[SharedFactors]:
        """Puts factors on the device that `patcher` (a `ModelPatcher`) loads to, as many as the budget allows.

        Returns those that are there now.
        """
        device = patcher.load_device
        if device is None or device.type != "cuda":
            return frozenset()
        with self._lock:
            kept = self._devices.setdefault(device, _Kept(device))
            room = _room(patcher, kept.model_size())
            fitting: list[SharedFactors] = []
            for factors in wanted:
                room -= factors.size
                if room < 0:
                    break
                fitting.append(factors)
            chosen = {weakref.ref(factors): factors for factors in fitting}
            _make_room(kept, chosen, _budget(device))
            missing = [factors for ref, factors in chosen.items() if ref not in kept.entries]
            try:
                for factors, entry in zip(missing, uploaded(missing, device), strict=True):
                    kept.entries[weakref.ref(factors, _drop(kept))] = (*entry, factors.size)
            except torch.cuda.OutOfMemoryError:
                kept.entries.clear()
                logger.debug("no room for factors on %s", device)
                return frozenset()
            for ref in chosen:
                kept.entries.move_to_end(ref)
            _list_as_loaded(kept)
            return frozenset(fitting)


def _drop(kept: _Kept) -> Any:
    """Called when a set of factors is in no patch any more."""
    where = weakref.ref(kept)

    def gone(ref: weakref.ref[SharedFactors]) -> None:
        patcher = where()
        if patcher is not None:
            patcher.entries.pop(ref, None)

    return gone


def _budget(device: torch.device) -> int:
    given = os.environ.get(BUDGET)
    if given is None:
        total: int = comfy.model_management.get_total_memory(device)
        return total // 4
    try:
        return max(0, int(given)) * 2**20
    except ValueError:
        raise ValueError(f"{BUDGET}={given!r} is no number of MiB.") from None


def _room(patcher: Any, used: int) -> int:
    """Bytes that factors may take: the budget, and no more than leaves the model resident if it fits at all."""
    device = patcher.load_device
    budget = _budget(device)
    reserve = comfy.model_management.minimum_inference_memory()
    left = comfy.model_management.get_total_memory(device) - reserve - patcher.model_size()
    if left > 0:
        budget = min(budget, left)
    if getattr(patcher, "is_dynamic", bool)():
        # Weights give way to what torch allocates there.
        return int(budget)
    return int(min(budget, used + comfy.model_management.get_free_memory(device) - reserve))


def _make_room(kept: _Kept, chosen: Mapping[Any, SharedFactors], budget: int) -> None:
    """Lets others go until what is chosen fits the budget beside them."""
    size = kept.model_size() + sum(factors.size for ref, factors in chosen.items() if ref not in kept.entries)
    for ref in [ref for ref in kept.entries if ref not in chosen]:
        if size <= budget:
            break
        gone = kept.entries.pop(ref, None)
        size -= gone[2] if gone else 0


def _list_as_loaded(kept: _Kept) -> None:
    loaded = comfy.model_management.current_loaded_models
    if not kept.entries or any(entry.model is kept for entry in loaded):
        return
    entry = comfy.model_management.LoadedModel(kept)
    entry.real_model = weakref.ref(kept.model)
    entry.model_finalizer = weakref.finalize(kept.model, bool)
    entry.model_finalizer.atexit = False
    loaded.append(entry)


STORE = FactorStore()
