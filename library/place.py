"""Where a new LoRA file may be written: below the first LoRA folder, over nothing, named as any system takes it."""

from __future__ import annotations

import filecmp
import os
import re
import secrets
from collections.abc import Callable
from itertools import count
from pathlib import Path

from ..stack.errors import LoraDeckError
from .atomic import remove_left_overs
from .resolve import current

_FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f\x7f]')
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
_LONGEST = 200
"""Characters of one part; file systems take 255 bytes."""
_SUFFIX = ".safetensors"


class FilenameError(LoraDeckError):
    """A name under which no file may be written; the message says why."""


def relative_place(filename: str) -> Path:
    """The path below a LoRA folder that `filename` means; it may hold sub-folders, with either separator.

    Raises:
        FilenameError: it is empty, leads out of the folder, or holds what some system does not take.
    """
    name = filename.strip().replace("\\", "/")
    parts = name.removesuffix(_SUFFIX).split("/")
    for part in parts:
        problem = _problem(part)
        if problem:
            raise FilenameError(f"{filename!r} is no name for a LoRA file: {problem}. Write one like mixes/ink_mira.")
    return Path(*parts[:-1], parts[-1] + _SUFFIX)


def _problem(part: str) -> str:
    if not part.strip():
        return "it is empty, or begins or ends with a separator"
    if part in (".", "..") or part.startswith("."):
        return "a part of it begins with a dot"
    if part != part.strip() or part.endswith("."):
        return "a part of it ends with a dot, or has spaces around it"
    forbidden = _FORBIDDEN.search(part)
    if forbidden:
        return f"it holds {forbidden[0]!r}"
    if _RESERVED.fullmatch(part):
        return f"Windows keeps {part!r} for itself"
    return "a part of it is too long" if len(part.encode()) > _LONGEST else ""


def add_file(filename: str, write: Callable[[Path], None]) -> tuple[str, bool]:
    """Writes a new LoRA file below the first LoRA folder; the library knows it when this returns.

    `write` fills the file at a path. A file that is there is never written over: the new one gets a number behind its
    name, unless both are the same to the byte. Blocks on disk.

    Returns (name below the folder, whether it is new).

    Raises:
        FilenameError: see `relative_place`.
        LoraDeckError: the host lists no LoRA folder.
        OSError: it cannot be written; nothing was left behind.
    """
    library = current()
    if not library.roots.loras:
        raise LoraDeckError("The host lists no folder for LoRAs, so there is nowhere to save one.")
    root = Path(library.roots.loras[0])
    place = root / relative_place(filename)
    place.parent.mkdir(parents=True, exist_ok=True)
    remove_left_overs(place.parent)
    temporary = place.with_name(f".lora-deck-{secrets.token_hex(8)}.tmp")
    try:
        write(temporary)
        final, new = _put(temporary, place)
    finally:
        temporary.unlink(missing_ok=True)
    library.freshen(force=True)
    library.refresh()
    return final.relative_to(root).as_posix(), new


def _put(temporary: Path, place: Path) -> tuple[Path, bool]:
    """Gives the finished file the first name that is free."""
    for number in count(1):
        path = place if number == 1 else place.with_name(f"{place.stem}_{number}{_SUFFIX}")
        try:
            # Claims the name; only an empty file of our own is replaced.
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        except FileExistsError:
            if path.is_file() and filecmp.cmp(path, temporary, shallow=False):
                return path, False
            continue
        try:
            temporary.replace(path)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return path, True
    raise AssertionError
