"""Hashes of indexed files: looked up, computed where they are missing, kept for as long as the file stays the same."""

from __future__ import annotations

import os
from collections.abc import Callable

from .files import Fingerprint
from .hashing import Hashes, hash_file
from .schema import PRESENT, Store


def stored_hashes(store: Store, file_id: int) -> Hashes | None:
    """The computed hashes of a file, if they are those of the version on disk; never a claim."""
    row = store.connection().execute(
        "SELECT root, name, size, mtime_ns, sha256, autov3 FROM files WHERE id = ?", (file_id,)
    ).fetchone()  # fmt: skip
    if row is None or row[4] is None:
        return None
    try:
        now = Fingerprint.of(os.path.join(row[0], row[1]))
    except OSError:
        return Hashes(row[4], row[5])
    return Hashes(row[4], row[5]) if now == Fingerprint(row[2], row[3]) else None


def verified_hash(store: Store, file_id: int, progress: Callable[[int], None] = lambda read: None,
                  stop: Callable[[], bool] = lambda: False) -> Hashes | None:  # fmt: skip
    """The hashes of the file's present version, computed now if need be; `None` where it cannot be read.

    Raises:
        hashing.Cancelled: `stop` said so.
    """
    stored = stored_hashes(store, file_id)
    if stored is not None:
        return stored
    row = store.connection().execute("SELECT root, name FROM files WHERE id = ?", (file_id,)).fetchone()
    if row is None:
        return None
    path = os.path.join(*row)
    try:
        before = Fingerprint.of(path)
        hashes = hash_file(path, progress, stop)
        if Fingerprint.of(path) != before:
            return None
    except (OSError, ValueError):
        return None
    with store.writing() as connection:
        # Every name of the same file at once; a row whose version is not yet read keeps its own.
        connection.execute(
            "UPDATE files SET sha256 = ?, autov3 = ? WHERE (id = ? OR real = (SELECT real FROM files WHERE id = ?))"
            " AND size = ? AND mtime_ns = ?",
            (hashes.sha256, hashes.data_sha256, file_id, file_id, before.size, before.mtime_ns),
        )
        store.bump(connection)
    return hashes


def claimed_hashes(store: Store, file_id: int) -> tuple[str, ...]:
    """Hashes, lower case, that the header of a file says it has: unproven."""
    rows = store.connection().execute("SELECT digits FROM claims WHERE file = ?", (file_id,)).fetchall()
    return tuple(row[0] for row in rows)


def same_content(store: Store, file_ids: list[int]) -> bool:
    """Whether the files hold the same bytes. Files of different size are never read for it."""
    marks = ", ".join("?" * len(file_ids))
    rows = store.connection().execute(
        f"SELECT id, real, size FROM files WHERE id IN ({marks}) AND state = {PRESENT}", file_ids
    ).fetchall()
    if len({real for _, real, _ in rows}) == 1:
        return True
    if len({size for _, _, size in rows}) != 1:
        return False
    hashes = {h.sha256 if (h := verified_hash(store, file_id)) else f"unreadable {file_id}" for file_id, _, _ in rows}
    return len(hashes) == 1
