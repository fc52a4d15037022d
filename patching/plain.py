"""Files of plain LoRAs that differ in nothing but their numbers.

Whoever stacks LoRAs often has many of one trainer, rank and model: the same keys, shapes and places in the file. Such a
file is read once by rule; of the others only the tensors are looked up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from ..strategies import FileModules, Lora, Module, scale_of
from .mapped import MappedFile, Place


@dataclass(frozen=True, slots=True)
class _PlainModule:
    name: str
    keys: tuple[str, ...]
    up: Place
    down: Place
    alpha: Place | None


@dataclass(frozen=True, eq=False)
class PlainLayout:
    """What such files have in common; compared by identity, so that it can key weak caches."""

    modules: tuple[_PlainModule, ...]
    unrecognised: tuple[str, ...]
    families: Mapping[str, str]
    ranks: Mapping[str, frozenset[int]]
    keys: int
    looks_like: tuple[str, ...]

    def fill(self, file: MappedFile) -> FileModules | None:
        """The modules of another file with the same table; `None` where its alphas are not all finite."""
        alphas = iter(file.numbers([module.alpha for module in self.modules if module.alpha is not None]))
        modules: dict[str, Module] = {}
        for m in self.modules:
            scale = 1.0
            if m.alpha is not None:
                alpha = next(alphas)
                if not math.isfinite(alpha):
                    return None
                scale = scale_of(alpha, m.down.shape[0])
            change = Lora(file.tensor(m.up), file.tensor(m.down), None, scale)
            modules[m.name] = Module(m.name, {"weight": change}, m.keys)
        return FileModules(modules, self.unrecognised, (), self.families, self.ranks)


def plain_layout(
    file: MappedFile, tensors: Mapping[str, Tensor], read: FileModules, looks_like: tuple[str, ...]
) -> PlainLayout | None:
    """The layout of a file that holds plain LoRAs of weights and nothing else, `None` for any other.

    `tensors`: the file's, by key; `read`: what was made of them.
    """
    if read.broken:
        return None
    places = {place.name: place for place in file.table.places}
    by_identity = {id(tensor): places[key] for key, tensor in tensors.items()}
    modules = []
    for module in read.modules.values():
        found = _plain(module, places, by_identity)
        if found is None:
            return None
        modules.append(found)
    return PlainLayout(tuple(modules), read.unrecognised, read.families, read.ranks, len(tensors), looks_like)


def _plain(module: Module, places: Mapping[str, Place], by_identity: Mapping[int, Place]) -> _PlainModule | None:
    change = module.parameters.get("weight")
    if len(module.parameters) != 1 or not isinstance(change, Lora) or change.mid is not None:
        return None
    up, down = by_identity.get(id(change.up)), by_identity.get(id(change.down))
    if up is None or down is None:
        return None
    others = [key for key in module.keys if key not in (up.name, down.name)]
    if not others:
        return _PlainModule(module.name, module.keys, up, down, None)
    alpha = places.get(others[0])
    if len(others) > 1 or alpha is None or not alpha.name.endswith(".alpha") or math.prod(alpha.shape) != 1:
        return None
    return _PlainModule(module.name, module.keys, up, down, alpha)
