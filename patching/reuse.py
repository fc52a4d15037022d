"""Earlier results: the same base and the same resolved stack give the same patches under the same uuid.

The host decides by `patches_uuid` whether weights must be patched again. What is kept is the patches and the uuid, not
the patcher, because the host may drop its own copy before the next run; it is kept as long as the base model lives.
"""

from __future__ import annotations

import threading
import uuid
import weakref
from collections import OrderedDict
from collections.abc import Hashable, Mapping
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

    def with_last(self, changes: Mapping[str, Any], base: Mapping[str, Any]) -> Kept | None:
        """The same with other changes of the same weights, under a uuid of its own; `None` where the weights differ.

        `changes`: weight → what the host's `add_patches` would append. It looks at the whole model to find that the
        weights exist, which took as long as all the rest. `base`: the patches that were there before.
        """
        changed = {key for key, patches in self.patches.items() if len(patches) > len(base.get(key, ()))}
        if changed != changes.keys():
            return None
        patches = dict(self.patches)
        for key, change in changes.items():
            *before, (strength, _, *rest) = patches[key]
            patches[key] = [*before, (strength, change, *rest)]
        return Kept(patches, uuid.uuid4())


_Results = OrderedDict[tuple[uuid.UUID, Hashable, Hashable], Kept]


class ResultCache:
    """Earlier results by base model (weakly), base patches, files and weights; the least recently used go first."""

    def __init__(self, kept_per_model: int = KEPT_RESULTS) -> None:
        self._kept_per_model = kept_per_model
        self._models: weakref.WeakKeyDictionary[torch.nn.Module, _Results]
        self._models = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def recall(self, model: torch.nn.Module, base: uuid.UUID, files: Hashable, weights: Hashable) -> Kept | None:
        """What these files gave before at these weights on `model` with the patches that `base` stands for."""
        with self._lock:
            results = self._models.get(model)
            kept = results.get((base, files, weights)) if results else None
            if results is not None and kept is not None:
                results.move_to_end((base, files, weights))
            return kept

    def recall_any(self, model: torch.nn.Module, base: uuid.UUID, files: Hashable) -> Kept | None:
        """What these files gave last, whatever the weights."""
        with self._lock:
            results = self._models.get(model)
            found = next((key for key in reversed(results) if key[:2] == (base, files)), None) if results else None
            return results[found] if results and found else None

    def keep(self, model: torch.nn.Module, base: uuid.UUID, files: Hashable, weights: Hashable, kept: Kept) -> None:
        """Remembers a result on that base."""
        with self._lock:
            results = self._models.setdefault(model, OrderedDict())
            results[(base, files, weights)] = kept
            while len(results) > self._kept_per_model:
                results.popitem(last=False)

    def clear(self) -> None:
        """Remembers nothing any more."""
        with self._lock:
            self._models.clear()
