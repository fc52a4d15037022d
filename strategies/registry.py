"""From a file's tensors to strategies: which keys form a module, and which family claims it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from . import lora
from .base import ModuleReader, Strategy

_READERS: tuple[ModuleReader, ...] = (lora.read,)
_SUFFIXES: tuple[str, ...] = tuple(sorted(set(lora.SUFFIXES), key=len, reverse=True))


@dataclass(frozen=True, slots=True)
class Module:
    """One module of a file."""

    name: str
    """As the file spells it."""
    parameters: Mapping[str, Strategy]
    """`weight` and `bias` → what changes it."""
    keys: tuple[str, ...]
    """The file's keys that made it."""


@dataclass(frozen=True, slots=True)
class FileModules:
    """A file, read."""

    modules: Mapping[str, Module]
    unrecognised: tuple[str, ...] = field(default=())
    """Keys that no family claims."""


def read(tensors: Mapping[str, Tensor]) -> FileModules:
    """Groups a file's tensors into modules and lets the families claim them. `tensors`: key → tensor, any order."""
    groups: dict[str, dict[str, Tensor]] = {}
    unrecognised: list[str] = []
    for key, tensor in tensors.items():
        name, suffix = split(key)
        if suffix is None:
            unrecognised.append(key)
        else:
            groups.setdefault(name, {})[suffix] = tensor
    modules: dict[str, Module] = {}
    for name, group in groups.items():
        rest = dict(group)
        parameters: dict[str, Strategy] = {}
        for reader in _READERS:
            parameters.update(reader(rest))
        unrecognised.extend(f"{name}.{suffix}" for suffix in rest)
        if parameters:
            modules[name] = Module(name, parameters, tuple(f"{name}.{s}" for s in group if s not in rest))
    return FileModules(modules, tuple(unrecognised))


def split(key: str) -> tuple[str, str | None]:
    """(module, ending) of a key; the ending is `None` where no family knows it."""
    for suffix in _SUFFIXES:
        if key.endswith("." + suffix):
            return key[: -len(suffix) - 1], suffix
    return key, None
