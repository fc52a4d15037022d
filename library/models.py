"""Checkpoints and diffusion models: which architecture they are, by the keys in their header, and their hash, where
it is asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from ..stack.architectures import detect
from .files import Fingerprint
from .hashing import hash_file
from .header import SAFETENSORS, HeaderError, read_header
from .schema import Store
from .text import storable
from .walk import walk


def read_all(store: Store, folders: Iterable[tuple[str, str]], stop: Callable[[], bool] = lambda: False) -> None:
    """Notes the architecture of every model whose file changed. `folders`: (kind, path)."""
    known = {path: (size, mtime_ns) for path, size, mtime_ns in store.connection().execute(
        "SELECT path, size, mtime_ns FROM models")}  # fmt: skip
    for _, root in folders:
        for listing in walk(root):
            for entry in listing.entries:
                path = os.path.join(listing.path, entry.name)
                if entry.error or not entry.name.lower().endswith(SAFETENSORS):
                    continue
                if known.get(storable(path)) == (entry.size, entry.mtime_ns):
                    continue
                if stop():
                    return
                _read(store, path, Fingerprint(entry.size, entry.mtime_ns))
                time.sleep(0)


def architecture_of(store: Store, folders: Iterable[tuple[str, str]], name: str) -> str | None:
    """The architecture of a checkpoint or diffusion model by the name that the host's combo shows.

    `None` where no rule knows it or the file says nothing (no safetensors). `folders`: (kind, path).

    Raises:
        FileNotFoundError: no folder holds a file of that name.
    """
    path = path_of(folders, name)
    now = Fingerprint.of(path)
    row = store.connection().execute(
        "SELECT architecture FROM models WHERE path = ? AND size = ? AND mtime_ns = ?",
        (storable(path), now.size, now.mtime_ns),
    ).fetchone()  # fmt: skip
    return row[0] if row else _read(store, path, now)


def path_of(folders: Iterable[tuple[str, str]], name: str) -> str:
    """Where a model lies that the host's combo shows as `name`. `folders`: (kind, path).

    Raises:
        FileNotFoundError: no folder holds a file of that name.
    """
    for _, root in folders:
        path = os.path.join(root, name.replace("\\", "/"))
        if contained(path, root) and os.path.isfile(path):
            return path
    raise FileNotFoundError(name)


def hash_of(store: Store, folders: Iterable[tuple[str, str]], name: str) -> str | None:
    """The sha256 of a model by the name that the host's combo shows; `None` where it cannot be read.

    Kept for as long as the file stays the same; else it blocks for as long as the file takes to read.

    Raises:
        FileNotFoundError: no folder holds a file of that name.
    """
    path = path_of(folders, name)
    now = Fingerprint.of(path)
    row = store.connection().execute(
        "SELECT sha256 FROM model_hashes WHERE path = ? AND size = ? AND mtime_ns = ?",
        (storable(path), now.size, now.mtime_ns),
    ).fetchone()  # fmt: skip
    if row:
        return str(row[0])
    try:
        sha256 = hash_file(path).sha256
        if Fingerprint.of(path) != now:
            return None
    except OSError:
        return None
    store.connection().execute(
        "INSERT OR REPLACE INTO model_hashes VALUES (?, ?, ?, ?)", (storable(path), now.size, now.mtime_ns, sha256)
    )
    return sha256


def with_hash(store: Store, folders: Iterable[tuple[str, str]], names: Iterable[str], digits: str) -> str | None:
    """That one of `names`, as a combo shows them, whose known hash begins with the digits; nothing is computed."""
    folders = tuple(folders)
    known = {path: Fingerprint(size, mtime_ns) for path, size, mtime_ns in store.connection().execute(
        "SELECT path, size, mtime_ns FROM model_hashes WHERE sha256 BETWEEN ? AND ?",
        (digits, digits + "g"))}  # fmt: skip
    for name in names if known else ():
        try:
            path = path_of(folders, name)
            if known.get(storable(path)) == Fingerprint.of(path):
                return name
        except OSError:
            continue
    return None


def contained(path: str | Path, folder: str | Path) -> bool:
    """Whether `path`, by its own names, lies in `folder`; a link inside may lead anywhere, as the user laid it."""
    try:
        return os.path.commonpath((os.path.abspath(path), os.path.abspath(folder))) == os.path.abspath(folder)
    except ValueError:
        return False


def _read(store: Store, path: str, version: Fingerprint) -> str | None:
    architecture, problem = None, None
    if path.lower().endswith(SAFETENSORS):
        try:
            architecture = detect(read_header(path).shapes)
        except HeaderError as error:
            problem = error.problem.reason
    store.connection().execute(
        "INSERT OR REPLACE INTO models VALUES (?, ?, ?, ?, ?)",
        (storable(path), version.size, version.mtime_ns, architecture, problem),
    )
    return architecture
