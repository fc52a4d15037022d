"""`resolve(name)`: the one way from a name to a file."""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import Any

from ..stack.errors import LoraNotFoundError
from .files import Fingerprint, LoraFile
from .names import NameIndex, normalise

FOLDER = "loras"


def names() -> list[str]:
    """Relative paths of all LoRA files that the host lists, its order and its separator."""
    listed: list[str] = _folder_paths().get_filename_list(FOLDER)
    return listed


def resolve(name: str) -> LoraFile:
    """The file that a name stands for; files added while the host runs are found.

    Blocks on the file system: call it off the event loop.

    Raises:
        AmbiguousLoraError: several files answer to the name.
        LoraNotFoundError: none does, or it vanished since it was listed.
    """
    host = _folder_paths()
    try:
        relative = _index(tuple(names())).find(name)
    except LoraNotFoundError as error:
        raise LoraNotFoundError(name, error.suggestions, host.get_folder_paths(FOLDER)) from None
    path = host.get_full_path(FOLDER, relative)
    try:
        if path is None:
            raise FileNotFoundError(relative)
        return LoraFile(normalise(relative), path, Fingerprint.of(path))
    except OSError as error:
        raise LoraNotFoundError(name, (), host.get_folder_paths(FOLDER)) from error


@lru_cache(maxsize=2)
def _index(listed: tuple[str, ...]) -> NameIndex:
    return NameIndex(listed)


def _folder_paths() -> Any:
    """The host's module; imported late, because the rooms load without the host."""
    return importlib.import_module("folder_paths")
