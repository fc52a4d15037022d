"""Brings the index in line with the disk: one walk, then only what changed is read.

First all names are listed (`list_changes`), which is quick, so that names resolve; then headers and sidecars are
read (`read_pending`). A folder's digest is stored once everything in it was read, so a scan that was cut off at any
point is simply repeated for the folders that it did not finish.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from .beside import Beside, Entry, Folder
from .card import Card, read_card, summary
from .fields import FIELDS
from .names import base_of, called
from .roots import Roots
from .schema import AWAY, MISSING, PRESENT, Store
from .text import fold, natural, storable
from .walk import Listing, walk

READ_BATCH = 250
EDITED = "edited"
"""Digest of a folder with a file that was read by itself: the folder is compared again, even if it looks as before."""
SEARCH_LENGTH = 4_000
"""Characters of one file that the search looks through."""

Progress = Callable[[int, int], None]


@dataclass
class Found:
    """What one scan saw."""

    first: bool = False
    """Whether the index was empty before."""
    files: int = 0
    """Of every kind, while folders are listed."""
    added: int = 0
    changed: int = 0
    removed: int = 0
    folders: dict[str, int] = field(default_factory=dict)
    """Absolute path of each folder → mtime_ns when it was listed; what `watch` polls."""
    unreachable: dict[str, str] = field(default_factory=dict)
    """Path → reason."""
    todo: list[tuple[Listing, list[_Work]]] = field(default_factory=list)

    @property
    def queued(self) -> dict[tuple[str, str], str]:
        """(root, folder) → digest of the folders that are still to be read."""
        return {(listing.root, storable(listing.folder)): listing.digest for listing, _ in self.todo}


@dataclass(frozen=True, slots=True)
class _Work:
    id: int
    name: str
    entry: Entry
    is_new: bool


def list_changes(store: Store, roots: Roots, queued: Mapping[tuple[str, str], str],
                 progress: Progress = lambda done, total: None) -> Found:  # fmt: skip
    """Walks all LoRA folders and notes in the index what was added, replaced, removed, or is out of reach.

    `queued`: folders that an earlier call found and that are still to be read, with their digests.
    """
    connection = store.connection()
    found = Found(first=connection.execute("SELECT 1 FROM files LIMIT 1").fetchone() is None)
    known = {(root, folder): (digest, device) for root, folder, digest, device in connection.execute(
        "SELECT root, folder, digest, device FROM folders")}  # fmt: skip
    read_later = {key: (digest, known.get(key, ("", 0))[1]) for key, digest in queued.items()}
    seen: dict[tuple[str, str], Listing] = {}
    changed: list[Listing] = []
    for position, root in enumerate(roots.loras):
        for listing in walk(root):
            key = (listing.root, storable(listing.folder))
            seen[key] = listing
            if listing.error:
                found.unreachable[listing.path] = listing.error
                continue
            found.folders[listing.path] = listing.mtime_ns
            is_empty = not listing.raw and not listing.has_folders
            if is_empty and known.get(key, ("", listing.device))[1] != listing.device:
                # An empty folder on another device than before: the mount point of a drive that is not mounted.
                found.unreachable[listing.path] = "The drive is not mounted."
                seen[key] = Listing(listing.root, listing.folder, listing.path, 0, 0, 0, [], error="not mounted")
                continue
            if read_later.get(key, known.get(key, ("", 0)))[0] != listing.digest:
                changed.append(listing)
            found.files += len(listing.raw)
            progress(found.files, 0)
        _place(store, root, position)
    for batch in _batches(changed, 20):
        with store.writing() as connection:
            for listing in batch:
                _compare(connection, listing, roots, found)
            store.bump(connection)
    _mark_unseen(store, roots, seen, {key: device for key, (_, device) in known.items()}, found)
    return found


def read_pending(store: Store, found: Found, progress: Progress = lambda done, total: None,
                 stop: Callable[[], bool] = lambda: False) -> bool:  # fmt: skip
    """Reads headers and what lies beside them for everything that `list_changes` found; False if stopped midway."""
    total, done = sum(len(work) for _, work in found.todo), 0
    batch: list[_Rows] = []
    finished: list[Listing] = []
    for listing, work in found.todo:
        folder, path = Folder(listing.entries), Path(listing.path)
        for item in work:
            if stop():
                return False
            beside = folder.beside(item.entry.name)
            batch.append(_rows(item, beside, read_card(path, item.entry, beside)))
            time.sleep(0)  # lets the host's event loop in, which else waits for the interpreter to switch threads
        finished.append(listing)
        if len(batch) >= READ_BATCH or len(finished) >= 500:
            done += len(batch)
            _write(store, batch, finished)
            batch, finished = [], []
            progress(done, total)
    _write(store, batch, finished)
    progress(total, total)
    found.todo.clear()
    return True


def reread(store: Store, file_id: int, folder: Path, entry: Entry, beside: Beside) -> Card:
    """Reads one file again and stores what it says: after an edit, or where a card turned out to be stale."""
    card = read_card(folder, entry, beside)
    with store.writing() as connection:
        row = connection.execute(
            "SELECT size, mtime_ns, name, root, folder FROM files WHERE id = ?", (file_id,)
        ).fetchone()
        if row is not None:
            connection.execute("UPDATE folders SET digest = ? WHERE root = ? AND folder = ?", (EDITED, *row[3:]))
            if (row[0], row[1]) != (entry.size, entry.mtime_ns):
                connection.execute(
                    "UPDATE files SET size = ?, mtime_ns = ?, inode = ?, sha256 = NULL, autov3 = NULL WHERE id = ?",
                    (entry.size, entry.mtime_ns, entry.inode, file_id),
                )
            _store(connection, [_rows(_Work(file_id, row[2], entry, False), beside, card)])
            store.bump(connection)
    return card


def _place(store: Store, root: str, position: int) -> None:
    wrong = store.connection().execute(
        "SELECT 1 FROM files WHERE root = ? AND position <> ? LIMIT 1", (root, position)
    )
    if wrong.fetchone():
        with store.writing() as connection:
            connection.execute("UPDATE files SET position = ? WHERE root = ?", (position, root))


def _compare(connection: sqlite3.Connection, listing: Listing, roots: Roots, found: Found) -> None:
    """One folder whose digest changed, against its rows."""
    folder_name = storable(listing.folder)
    connection.execute(
        "INSERT INTO folders VALUES (?, ?, ?, ?, '') ON CONFLICT DO UPDATE SET digest = ''",
        (listing.root, folder_name, storable(listing.real), listing.device),
    )
    rows = {name: rest for name, *rest in connection.execute(
        "SELECT name, id, size, mtime_ns, beside, state, pending, real FROM files WHERE root = ? AND folder = ?",
        (listing.root, folder_name))}  # fmt: skip
    entries, real_folder = listing.entries, listing.real
    siblings = Folder(entries)
    work: list[_Work] = []
    taken: set[str] = set()
    for entry in entries:
        name = storable(f"{listing.folder}/{entry.name}" if listing.folder else entry.name)
        # Names that are no valid text can look the same once they are.
        if name in taken or not _is_lora(entry.name, roots.extensions):
            continue
        taken.add(name)
        real = _real(real_folder, entry)
        row = rows.pop(name, None)
        if row is None:
            work.append(_insert(connection, listing, entry, name, real, roots, found))
            continue
        file_id, size, mtime_ns, beside, state, pending, old_real = row
        replaced = (size, mtime_ns, old_real) != (entry.size, entry.mtime_ns, real)
        if replaced:
            connection.execute(
                "UPDATE files SET size = ?, mtime_ns = ?, real = ?, inode = ?, pending = 1, state = ?,"
                " sha256 = NULL, autov3 = NULL WHERE id = ?",
                (entry.size, entry.mtime_ns, real, entry.inode, PRESENT, file_id),
            )
        elif state != PRESENT:
            connection.execute("UPDATE files SET state = ? WHERE id = ?", (PRESENT, file_id))
        found.added += state != PRESENT
        if replaced or pending or beside != siblings.beside(entry.name).signature:
            work.append(_Work(file_id, name, entry, False))
            found.changed += 1
    renamed = {item.id for item in work}
    for file_id, *_rest, state, _pending, _real_path in rows.values():
        if state != MISSING and file_id not in renamed:
            connection.execute("UPDATE files SET state = ? WHERE id = ?", (MISSING, file_id))
            found.removed += 1
    found.todo.append((listing, work))


def _insert(connection: sqlite3.Connection, listing: Listing, entry: Entry, name: str, real: str, roots: Roots,
            found: Found) -> _Work:  # fmt: skip
    found.added += 1
    folder_name = storable(listing.folder)
    base = base_of(called(name))
    position = roots.loras.index(listing.root)
    moved = None if found.first else _moved_from(connection, entry)
    if moved is not None:
        file_id, old_name = moved
        connection.execute(
            "UPDATE files SET root = ?, folder = ?, name = ?, base = ?, real = ?, state = ?, position = ?,"
            " sort_name = ?, sort_path = ?, pending = 1 WHERE id = ?",
            (listing.root, folder_name, name, fold(base), real, PRESENT, position, natural(base), natural(name),
             file_id),
        )  # fmt: skip
        connection.execute("UPDATE OR IGNORE personal.cards SET name = ? WHERE name = ?", (name, old_name))
        return _Work(file_id, name, entry, False)
    personal = connection.execute(
        "SELECT favourite, uses, used_ns FROM personal.cards WHERE name = ?", (name,)
    ).fetchone()
    same = None if found.first else connection.execute(
        "SELECT sha256, autov3 FROM files WHERE real = ? AND size = ? AND mtime_ns = ? AND sha256 IS NOT NULL",
        (real, entry.size, entry.mtime_ns),
    ).fetchone()
    cursor = connection.execute(
        "INSERT INTO files (root, folder, name, base, real, inode, size, mtime_ns, beside, state, pending, position,"
        " added_ns, sort_name, sort_path, favourite, uses, used_ns, sha256, autov3)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, '', ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (listing.root, folder_name, name, fold(base), real, entry.inode, entry.size, entry.mtime_ns, PRESENT, position,
         time.time_ns(), natural(base), natural(name), *(personal or (0, 0, 0)), *(same or (None, None))),
    )  # fmt: skip
    assert cursor.lastrowid is not None
    return _Work(cursor.lastrowid, name, entry, True)


def _moved_from(connection: sqlite3.Connection, entry: Entry) -> tuple[int, str] | None:
    """The row of the same file under a name that no longer exists: it was renamed or moved, and keeps its id."""
    if not entry.inode or entry.is_link:
        return None
    for file_id, root, name in connection.execute(
        "SELECT id, root, name FROM files WHERE inode = ? AND size = ? AND mtime_ns = ?",
        (entry.inode, entry.size, entry.mtime_ns),
    ):
        if os.path.isdir(root) and not os.path.lexists(os.path.join(root, name)):
            return file_id, name
    return None


def _real(folder: str, entry: Entry) -> str:
    path = os.path.join(folder, entry.name)
    return storable(os.path.realpath(path) if entry.is_link else path)


def _mark_unseen(store: Store, roots: Roots, seen: dict[tuple[str, str], Listing],
                 devices: dict[tuple[str, str], int], found: Found) -> None:  # fmt: skip
    """Folders that were known but not seen: away with their drive, or removed. `devices`: of all known folders."""
    away_before = store.connection().execute(
        "SELECT DISTINCT root, folder FROM files WHERE state = ?", (AWAY,)
    ).fetchall()  # fmt: skip
    for root, folder in {*devices, *away_before}:
        listing = seen.get((root, folder))
        if listing is not None and not listing.error:
            continue
        away = root in roots.loras and _is_away(root, folder, seen, devices)
        if away and (root, folder) not in devices:
            continue
        with store.writing() as connection:
            cursor = connection.execute(
                "UPDATE files SET state = ? WHERE root = ? AND folder = ? AND state <> ?",
                (AWAY if away else MISSING, root, folder, MISSING),
            )
            # Without its digest the folder is compared again when it comes back; its device says what it was.
            connection.execute("DELETE FROM folders WHERE root = ? AND folder = ?", (root, folder))
            store.bump(connection)
        found.removed += cursor.rowcount


def _is_away(root: str, folder: str, seen: dict[tuple[str, str], Listing],
             devices: dict[tuple[str, str], int]) -> bool:  # fmt: skip
    part = folder
    while True:
        listing = seen.get((root, part))
        if listing is not None and listing.error:
            return True
        path = os.path.join(root, part)
        if os.path.islink(path) and not os.path.exists(path):
            return True
        if not part:
            return False
        if devices.get((root, part), 0) != devices.get((root, ""), devices.get((root, part), 0)):
            return True
        part = part.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class _Rows:
    """What one card adds to the tables. Cards themselves, with their headers, are not kept until a batch is full."""

    work: _Work
    file: tuple[Any, ...]
    card: str
    aliases: list[tuple[str, int, str]]
    claims: list[tuple[str, int]]
    tags: list[tuple[str, int]]
    text: str


def _rows(work: _Work, beside: Beside, card: Card) -> _Rows:
    file_id, known = work.id, card.facts
    bad = any(p.part == "file" for p in card.problems)
    return _Rows(
        work,
        (beside.signature, known.architecture or "", known.family,
         bool(card.preview_kind), 2 if bad else bool(card.problems), card.adult, file_id),
        json.dumps(summary(card), separators=(",", ":")),
        [(fold(alias), file_id, alias) for alias in map(storable, card.aliases)],
        [(digits, file_id) for digits in card.claims],
        [(tag, file_id) for tag in _tags(card)],
        search_text(work.name, card),
    )  # fmt: skip


def _write(store: Store, batch: list[_Rows], finished: list[Listing]) -> None:
    if not batch and not finished:
        return
    with store.writing() as connection:
        _store(connection, batch)
        connection.executemany(
            "INSERT INTO folders VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET real = excluded.real,"
            f" device = excluded.device, digest = iif(digest = '{EDITED}', '', excluded.digest)",
            [(x.root, storable(x.folder), storable(x.real), x.device, x.digest) for x in finished],
        )
        store.bump(connection)


def _store(connection: sqlite3.Connection, batch: list[_Rows]) -> None:
    for rows in batch:
        if not rows.work.is_new:
            for table in ("aliases", "claims", "tags"):
                connection.execute(f"DELETE FROM {table} WHERE file = ?", (rows.work.id,))
    connection.executemany(
        "UPDATE files SET beside = ?, pending = 0, architecture = ?, family = ?,"
        " has_preview = ?, problem = ?, adult = ? WHERE id = ?", [r.file for r in batch])  # fmt: skip
    connection.executemany("INSERT OR REPLACE INTO cards VALUES (?, ?)", [(r.work.id, r.card) for r in batch])
    connection.executemany("INSERT OR IGNORE INTO aliases VALUES (?, ?, ?)", [row for r in batch for row in r.aliases])
    connection.executemany("INSERT OR IGNORE INTO claims VALUES (?, ?)", [row for r in batch for row in r.claims])
    connection.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?)", [row for r in batch for row in r.tags])
    connection.executemany(
        "INSERT OR REPLACE INTO search (rowid, text) VALUES (?, ?)", [(r.work.id, r.text) for r in batch]
    )


def search_text(name: str, card: Card) -> str:
    """What a search looks through: the name with its folders, aliases, and every searchable field."""
    parts = [name, *card.aliases, card.helps.title]
    for row in FIELDS:
        if row.searchable:
            value = card.fields[row.key]
            parts.append("\n".join(value) if isinstance(value, list) else str(value))
    return fold(storable("\n".join(p for p in parts if p)[:SEARCH_LENGTH]))


def _tags(card: Card) -> list[str]:
    tags = card.fields.get("tags", [])
    return [storable(t) for t in tags] if isinstance(tags, list) else []


def _is_lora(name: str, extensions: frozenset[str]) -> bool:
    dot = name.rfind(".")
    return dot > 0 and name[dot:].lower() in extensions


def _batches(items: Iterable[Listing], size: int) -> Iterable[list[Listing]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch

