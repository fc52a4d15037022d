"""One indexed file by its id, with what lies beside it now; and bringing its row up to date."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .beside import Beside, Entry, Folder
from .card import Card, read_card
from .scan import reread
from .schema import PRESENT, Store
from .walk import list_folder


@dataclass(frozen=True, slots=True)
class Indexed:
    """An id, resolved: the only way from a client to a path."""

    id: int
    name: str
    """Below its LoRA folder, with `/`."""
    root: str
    path: str
    state: int
    entry: Entry
    beside: Beside
    siblings: Folder

    @property
    def folder(self) -> Path:
        return Path(self.path).parent


def indexed(store: Store, file_id: int) -> Indexed:
    """Looks at the file's folder as it is now.

    Raises:
        KeyError: the index holds no such file, or its path leads out of every folder that it was listed in.
    """
    row = store.connection().execute(
        "SELECT root, name, real, size, mtime_ns, state FROM files WHERE id = ?", (file_id,)
    ).fetchone()  # fmt: skip
    if row is None:
        raise KeyError(file_id)
    root, name, real, size, mtime_ns, state = row
    path = os.path.join(root, *name.split("/"))
    # A link inside a LoRA folder may lead out of it, as its owner laid it; then it must lead where it led when listed.
    if os.path.lexists(path) and not _within(path, root) and os.path.realpath(path) != real:
        raise KeyError(file_id)
    try:
        entries = list_folder(os.path.dirname(path))
    except OSError:
        entries = ()
    gone = Entry(os.path.basename(path), size, mtime_ns, error="The file is not there.")
    entry = next((e for e in entries if e.name == gone.name), gone)
    siblings = Folder(e for e in entries if e.name != entry.name)
    return Indexed(file_id, name, root, path, state, entry, siblings.beside(entry.name), siblings)


def contained(file: Indexed, path: str | os.PathLike[str]) -> bool:
    """Whether a path beside the file really lies with it: in its LoRA folder, or where the links of its owner lead."""
    return any(_within(os.fspath(path), folder) for folder in (
        file.root, os.path.dirname(file.path), os.path.dirname(os.path.realpath(file.path))))  # fmt: skip


def card_of(file: Indexed) -> Card:
    """Reads the card from disk, not from the index."""
    return read_card(file.folder, file.entry, file.beside)


def look_again(store: Store, file: Indexed) -> Card:
    """Reads the file and its neighbours again and stores what they say, for the file and every other that shares them:
    files of one base name have one sidecar."""
    now = indexed(store, file.id)
    card = reread(store, now.id, now.folder, now.entry, now.beside)
    stem = os.path.splitext(now.name)[0]
    others = store.connection().execute(
        "SELECT id FROM files WHERE root = ? AND name LIKE ? ESCAPE '\\' AND id <> ? AND state = ?",
        (now.root, stem.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + ".%", now.id, PRESENT),
    ).fetchall()  # fmt: skip
    for (other_id,) in others:
        other = indexed(store, other_id)
        reread(store, other.id, other.folder, other.entry, other.beside)
    return card


def _within(path: str, folder: str) -> bool:
    try:
        real = os.path.realpath(folder)
        return os.path.commonpath((os.path.realpath(path), real)) == real
    except ValueError:
        return False
