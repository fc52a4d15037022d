"""From a file's tensors to strategies: which keys form a module, and which families claim its parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from torch import Tensor

from . import boft, diff, dora, glora, ia3, loha, lokr, lora, norm, oft, peft_boft, peft_ia3, peft_oft, reshape, rest
from .base import Claim, ConflictError, Family, Strategy, StrategyError, register_class
from .module import ModuleTensors
from .settings import AdapterSettings, FileSettings

_FAMILIES: list[Family] = []
_SHARED = {"alpha": "alpha", "scale": "scale"}
_WRAPPERS = (rest.WRAPPER, dora.WRAPPER, reshape.WRAPPER)
"""From the inside out: each takes its keys and puts itself around the weight's change."""
_PLAIN = {*_SHARED, *(ending for spelling in lora.SPELLINGS for ending in spelling)}


@dataclass(frozen=True, slots=True)
class Module:
    """One module of a file."""

    name: str
    """As the file spells it."""
    parameters: Mapping[str, Strategy]
    """`weight` and `bias` → what changes it."""
    keys: tuple[str, ...]
    """The file's keys that made it."""

    @property
    def ranks(self) -> frozenset[int]:
        """The ranks of its changes that have one."""
        return frozenset(s.rank for s in self.parameters.values() if s.rank is not None)

    @property
    def family(self) -> str:
        """The family of its weight, else of its bias."""
        return (self.parameters.get("weight") or self.parameters["bias"]).family


@dataclass(frozen=True)
class FileModules:
    """A file, read."""

    modules: Mapping[str, Module]
    unrecognised: tuple[str, ...]
    """Modules and keys that no family claims."""
    broken: tuple[tuple[str, str], ...]
    """(module, why its tensors make no change)."""
    families: Mapping[str, str]
    """Module → its family."""
    ranks: Mapping[str, frozenset[int]]
    """Module → the ranks of its changes."""

    @classmethod
    def of(
        cls, modules: Mapping[str, Module], unrecognised: tuple[str, ...], broken: tuple[tuple[str, str], ...]
    ) -> FileModules:
        """With what can be said of the modules."""
        families = {name: module.family for name, module in modules.items()}
        return cls(modules, unrecognised, broken, families, {name: module.ranks for name, module in modules.items()})


def register_strategy(family: Family) -> None:
    """Adds a family. Raises `ValueError` where its name, a class or an ending's expression is taken."""
    taken = {pattern for known in _FAMILIES for pattern in known.endings.values()}
    if any(known.name == family.name for known in _FAMILIES) or taken & set(family.endings.values()):
        raise ValueError(f"The family {family.name!r} or one of its endings is registered already.")
    for cls in family.strategies:
        register_class(cls)
    _FAMILIES.append(family)
    _canonical.cache_clear()
    split.cache_clear()


def read(tensors: Mapping[str, Tensor], settings: FileSettings | None = None) -> FileModules:
    """Groups a file's tensors into modules and lets the families claim them.

    `tensors`: key → tensor, any order. `settings`: what PEFT keeps beside them.

    Raises:
        ConflictError: two claims on one parameter of a module, or two keys that mean the same.
    """
    groups: dict[str, dict[str, tuple[str, Tensor]]] = {}
    unrecognised: list[str] = []
    for key, tensor in tensors.items():
        name, ending = split(key)
        if ending is None:
            unrecognised.append(key)
            continue
        other = groups.setdefault(name, {}).setdefault(ending, (key, tensor))
        if other[0] != key:
            raise ConflictError(f"its keys {other[0]!r} and {key!r} mean the same")
    modules: dict[str, Module] = {}
    broken: list[tuple[str, str]] = []
    for name, group in groups.items():
        try:
            claims, left = _claims(name, {e: t for e, (_, t) in group.items()}, settings.of(name) if settings else None)
        except ConflictError:
            raise
        except StrategyError as error:
            broken.append((name, str(error)))
            continue
        if claims:
            keys = tuple(key for ending, (key, _) in group.items() if ending not in left)
            modules[name] = Module(name, {c.parameter: c.strategy for c in claims}, keys)
            unrecognised.extend(group[ending][0] for ending in left)
        else:
            unrecognised.append(name if len(group) > 1 else next(iter(group.values()))[0])
    return FileModules.of(modules, tuple(unrecognised), tuple(broken))


def _claims(
    name: str, group: dict[str, Tensor], settings: AdapterSettings | None
) -> tuple[list[Claim], tuple[str, ...]]:
    """(one claim for each parameter, endings that nobody took)."""
    module = ModuleTensors(name, group, settings)
    if group.keys() <= _PLAIN:
        # Nobody else takes a plain LoRA's endings, and nearly all modules of nearly all files are such.
        claims = list(lora.FAMILY.read(module))
        if len(claims) == 1:
            return claims, module.left
        module = ModuleTensors(name, group, settings)
    found: dict[str, tuple[Family, Claim]] = {}
    for family in _FAMILIES:
        for claim in family.read(module):
            if claim.parameter in found:
                other, first = found[claim.parameter]
                raise ConflictError(
                    f"its module {name!r} changes its {claim.parameter} twice: as {other.name} "
                    f"({', '.join(first.endings)}) and as {family.name} ({', '.join(claim.endings)})"
                )
            found[claim.parameter] = family, claim
    claims = [claim for _, claim in found.values()]
    for i, claim in enumerate(claims):
        if claim.parameter == "weight":
            strategy = claim.strategy
            for wrapper in _WRAPPERS:
                strategy = wrapper.wrap(strategy, module)
            claims[i] = Claim("weight", strategy, claim.endings)
    return claims, module.left


_DEEPEST = 3
"""Parts, counted by dots, of the longest ending: `lora_A.default.weight`."""


@lru_cache(maxsize=1 << 16)
def split(key: str) -> tuple[str, str | None]:
    """(module, canonical ending) of a key; the ending is `None` where no family knows it."""
    parts = key.split(".")
    for count in range(min(_DEEPEST, len(parts) - 1), 0, -1):
        ending = _canonical(".".join(parts[-count:]))
        if ending is not None:
            name = ".".join(parts[:-count])
            # diffusers' first form writes `…to_q_lora.down.weight`.
            return (name.removesuffix("_lora") if ending in lora.AFTER_UNDERSCORE else name), ending
    return key, None


@lru_cache(maxsize=4096)
def _canonical(ending: str) -> str | None:
    for endings in (_SHARED, *(wrapper.endings for wrapper in _WRAPPERS), *(family.endings for family in _FAMILIES)):
        for name, pattern in endings.items():
            found = re.fullmatch(pattern, ending)
            if found:
                return name + str(found.groupdict().get("number") or "")
    return None


for _wrapper in _WRAPPERS:
    register_class(_wrapper.strategy)
for _family in (
    lora.FAMILY,
    loha.FAMILY,
    lokr.FAMILY,
    ia3.FAMILY,
    glora.FAMILY,
    oft.FAMILY,
    boft.FAMILY,
    norm.FAMILY,
    diff.FAMILY,
    peft_ia3.FAMILY,
    peft_oft.FAMILY,
    peft_boft.FAMILY,
):
    register_strategy(_family)
