"""The library of the running host, and `resolve(name)` over it."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

from . import personal
from .files import LoraFile
from .find import find
from .hashing import Hashes
from .identity import Identity, identity
from .library import Library
from .roots import host_roots, index_folder
from .sums import verified_hash

logger = logging.getLogger("lora_deck")

_lock = threading.Lock()
_open: tuple[Path, Library] | None = None


def current() -> Library:
    """The library over the host's folders, opened on first use. It watches the disk once it is started (`api`)."""
    global _open
    folder = index_folder()
    with _lock:
        if _open is None or _open[0] != folder:
            _open = (folder, Library(folder, host_roots))
        return _open[1]


def resolve(name: str) -> LoraFile:
    """The file that a name stands for: relative path, base name, alias, or hash, in this order; rules in `find`.

    Blocks on the file system: call it off the event loop.

    Raises:
        AmbiguousLoraError: several different files answer to the name.
        LoraNotFoundError: none does, or it vanished since it was listed.
    """
    return find(current(), name)


def hashes(file: LoraFile) -> Hashes | None:
    """The hashes of a resolved file, computed now where they are not known yet; `None` where it cannot be read.

    Blocks for as long as the file takes to read.
    """
    return verified_hash(current().store, file.id)


def identify(file: LoraFile) -> Identity:
    """What tells a resolved file from all others, its hashes computed now where they are not known yet.

    Blocks for as long as the file takes to read.
    """
    try:
        return identity(current(), file)
    except sqlite3.Error as error:
        # What is written about a picture must not cost the picture.
        logger.warning("The hashes of %s were not looked up (%s).", file.name, error)
        return Identity(file.name, file.fingerprint.size)


def record_use(files: Sequence[LoraFile]) -> None:
    """Counts one use of each file, for the orders "most used" and "recently used". Blocks briefly."""
    try:
        personal.record_use(current().store, [file.id for file in files if file.id])
    except sqlite3.Error as error:
        # A count that is lost must not cost the picture that was being made.
        logger.warning("The use of %s was not counted (%s).", ", ".join(file.name for file in files), error)
