"""Earlier results: the same base and the same resolved stack give the same patches under the same uuid.

The host decides by `patches_uuid` whether weights must be patched again. What is kept is the patches and the uuid, not
the patcher, because the host may drop its own copy before the next run; it is kept as long as the base model lives.
"""

from __future__ import annotations

import threading
import uuid
import weakref
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch

KEPT_RESULTS = 8
"""Per model. A result refers to mapped factors and holds no weights."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The patches of an earlier result."""

    patches: dict[str, list[Any]]
    patches_uuid: uuid.UUID

    def put_on(self, clone: Any) -> None:
        """Makes a fresh clone of the same base (a `ModelPatcher`) equal to the earlier result."""
        clone.patches = {key: list(patches) for key, patches in self.patches.items()}
        clone.patches_uuid = self.patches_uuid


class ResultCache:
    """Earlier results by base model (weakly), base patches and stack; the least recently used go first."""

    def __init__(self, kept_per_model: int = KEPT_RESULTS) -> None:
        self._kept_per_model = kept_per_model
        self._models: weakref.WeakKeyDictionary[torch.nn.Module, OrderedDict[Hashable, Kept]]
        self._models = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def recall(self, model: torch.nn.Module, base: uuid.UUID, stack_key: Hashable) -> Kept | None:
        """What this stack gave before on `model` with the patches that `base` stands for."""
        with self._lock:
            results = self._models.get(model)
            kept = results.get((base, stack_key)) if results else None
            if results is not None and kept is not None:
                results.move_to_end((base, stack_key))
            return kept

    def keep(self, model: torch.nn.Module, base: uuid.UUID, stack_key: Hashable, result: Any) -> None:
        """Remembers the patches of `result`, a patched clone (`ModelPatcher`) of that base."""
        kept = Kept({key: list(patches) for key, patches in result.patches.items()}, result.patches_uuid)
        with self._lock:
            results = self._models.setdefault(model, OrderedDict())
            results[(base, stack_key)] = kept
            while len(results) > self._kept_per_model:
                results.popitem(last=False)

    def clear(self) -> None:
        """Remembers nothing any more."""
        with self._lock:
            self._models.clear()
