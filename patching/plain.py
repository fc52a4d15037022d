"""Files of plain LoRAs that differ in nothing but their numbers.

Whoever stacks LoRAs often has many of one trainer, rank and model: the same keys, shapes and places in the file. Such a
file is read once by rule; of the others only the alphas are read. Their tensors are made when somebody asks for them,
which a stack whose factors are read past the mapping never does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from ..strategies import FileModules, Lora, Module, scale_of
from .mapped import MappedFile, Place


@dataclass(frozen=True, slots=True)
class PlainModule:
    """A module that is one LoRA of a weight."""

    name: str
    keys: tuple[str, ...]
    up: Place
    """(out, rank[, 1…])"""
    down: Place
    """(rank, in[, kernel…])"""
    alpha: Place | None


@dataclass(frozen=True, eq=False)
class PlainLayout:
    """What such files have in common; compared by identity, so that it can key weak caches."""

    modules: tuple[PlainModule, ...]
    unrecognised: tuple[str, ...]
    families: Mapping[str, str]
    ranks: Mapping[str, frozenset[int]]
    keys: int
    looks_like: tuple[str, ...]

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """Name of a module → its number."""
        return {module.name: number for number, module in enumerate(self.modules)}

    @cached_property
    def _alphas(self) -> tuple[Place, ...]:
        return tuple(module.alpha for module in self.modules if module.alpha is not None)

    def fill(self, file: MappedFile) -> PlainFile | None:
        """Another file with the same table; `None` where its alphas are not all finite."""
        values = file.numbers(self._alphas)
        if not all(map(math.isfinite, values)):
            return None
        alphas = iter(values)
        scales = tuple(1.0 if m.alpha is None else scale_of(next(alphas), m.down.shape[0]) for m in self.modules)
        return PlainFile(self, file, scales)


class PlainFile:
    """What such a file has of its own."""

    def __init__(self, layout: PlainLayout, file: MappedFile, scales: tuple[float, ...]) -> None:
        """`scales`: alpha/rank of each module."""
        self.layout = layout
        self.file = file
        self.scales = scales
        self._changes: dict[int, Lora] = {}

    def change(self, number: int) -> Lora:
        """What the module with this number does, always the same object."""
        made = self._changes.get(number)
        if made is None:
            module = self.layout.modules[number]
            up, down = self.file.tensor(module.up), self.file.tensor(module.down)
            made = self._changes.setdefault(number, Lora(up, down, None, self.scales[number]))
        return made

    @property
    def modules(self) -> FileModules:
        """All modules, made when asked for."""
        layout = self.layout
        return FileModules(PlainModules(self), layout.unrecognised, (), layout.families, layout.ranks)


class PlainModules(Mapping[str, Module]):
    """A plain file's modules by name."""

    def __init__(self, plain: PlainFile) -> None:
        self._plain = plain

    def __getitem__(self, name: str) -> Module:
        number = self._plain.layout.numbers[name]
        return Module(name, {"weight": self._plain.change(number)}, self._plain.layout.modules[number].keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._plain.layout.numbers)

    def __len__(self) -> int:
        return len(self._plain.layout.modules)


class PlainChanges(Sequence[Lora]):
    """The changes of some modules of a plain file, in an order that a model gives."""

    def __init__(self, plain: PlainFile, numbers: tuple[int, ...]) -> None:
        """`numbers`: of the modules."""
        self.plain = plain
        self.numbers = numbers

    def __getitem__(self, place: int) -> Lora:  # type: ignore[override]
        return self.plain.change(self.numbers[place])

    def __len__(self) -> int:
        return len(self.numbers)

    @cached_property
    def scales(self) -> tuple[float, ...]:
        """alpha/rank of each."""
        return tuple([self.plain.scales[number] for number in self.numbers])


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


def _plain(module: Module, places: Mapping[str, Place], by_identity: Mapping[int, Place]) -> PlainModule | None:
    change = module.parameters.get("weight")
    if len(module.parameters) != 1 or not isinstance(change, Lora) or change.mid is not None:
        return None
    up, down = by_identity.get(id(change.up)), by_identity.get(id(change.down))
    if up is None or down is None:
        return None
    others = [key for key in module.keys if key not in (up.name, down.name)]
    if not others:
        return PlainModule(module.name, module.keys, up, down, None)
    alpha = places.get(others[0])
    if len(others) > 1 or alpha is None or not alpha.name.endswith(".alpha") or math.prod(alpha.shape) != 1:
        return None
    return PlainModule(module.name, module.keys, up, down, alpha)
