"""From a name as somebody writes it to the relative path of a file.

Order: exact relative path with either separator (with or without extension), then unique base name; letter case is
forgiven only where that stays unique.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

from ..stack.errors import AmbiguousLoraError, LoraNotFoundError

EXTENSIONS = (".safetensors", ".sft", ".pt", ".pth", ".ckpt", ".bin")


def normalise(name: str) -> str:
    """Either separator as `/`, Unicode composed (NFC), without `./` before it and spaces around it."""
    return unicodedata.normalize("NFC", name.replace("\\", "/")).strip().removeprefix("./")


def without_extension(name: str) -> str:
    """The name without a LoRA file's extension; other dots belong to the name."""
    for extension in EXTENSIONS:
        if name.lower().endswith(extension):
            return name[: -len(extension)]
    return name


class NameIndex:
    """Looks names up in a fixed list of relative paths."""

    def __init__(self, relative_paths: Iterable[str]) -> None:
        """`relative_paths`: paths below the LoRA folders, either separator, first root first."""
        self._paths: dict[str, str] = {}
        for path in relative_paths:
            self._paths.setdefault(normalise(path), path)
        self._lookups: list[dict[str, list[str]]] = []
        for fold in (str, str.casefold):
            for key in (lambda p: p, without_extension, _base, lambda p: _base(without_extension(p))):
                lookup: dict[str, list[str]] = {}
                for normal in self._paths:
                    lookup.setdefault(fold(key(normal)), []).append(normal)
                self._lookups.append(lookup)

    def find(self, name: str) -> str:
        """The relative path, spelled as it was listed, that `name` stands for.

        Raises:
            AmbiguousLoraError: several files answer at the first step where any does.
            LoraNotFoundError: none does; carries the closest names.
        """
        wanted = normalise(name)
        for step, lookup in enumerate(self._lookups):
            found = lookup.get(wanted if step < 4 else wanted.casefold())
            if found:
                if len(found) > 1:
                    raise AmbiguousLoraError(name, sorted(found))
                return self._paths[found[0]]
        raise LoraNotFoundError(name, self.suggest(name))

    def suggest(self, name: str, limit: int = 3) -> list[str]:
        """The closest names without extension, best first; the shortest spelling that resolves."""
        wanted = _base(without_extension(normalise(name))).casefold()
        bases = self._lookups[7]
        close = difflib.get_close_matches(wanted, bases, n=limit, cutoff=0.5)
        holding = [base for base in bases if wanted and (wanted in base or base in wanted)]
        ranked = list(dict.fromkeys([*close, *sorted(holding, key=len)]))[:limit]
        return [self._shortest(path) for base in ranked for path in bases[base]][:limit]

    def _shortest(self, path: str) -> str:
        stem = without_extension(path)
        return _base(stem) if len(self._lookups[7][_base(stem).casefold()]) == 1 else stem


def _base(path: str) -> str:
    return PurePosixPath(path).name
