"""What is known of a LoRA nowhere but here: favourites and use.

Kept in `personal.sqlite3`, not in the sidecar: a star is one person's, a sidecar may lie on a share that many read
and few may write. The file is never dropped or rebuilt; names in it outlive the files.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from .schema import Store


def set_favourite(store: Store, file_ids: Iterable[int], favourite: bool) -> int:
    """How many files there were to mark."""
    marked = 0
    with store.writing() as connection:
        for file_id in file_ids:
            row = connection.execute(
                "UPDATE files SET favourite = ? WHERE id = ? RETURNING name", (favourite, file_id)
            ).fetchone()  # fmt: skip
            if row is not None:
                marked += 1
                connection.execute(
                    "INSERT INTO personal.cards (name, favourite) VALUES (?, ?)"
                    " ON CONFLICT (name) DO UPDATE SET favourite = excluded.favourite",
                    (row[0], favourite),
                )
        store.bump(connection)
    return marked


def record_use(store: Store, file_ids: Iterable[int]) -> None:
    """Counts one use of each file, now."""
    now = time.time_ns()
    with store.writing() as connection:
        for file_id in dict.fromkeys(file_ids):
            row = connection.execute(
                "UPDATE files SET uses = uses + 1, used_ns = ? WHERE id = ? RETURNING name", (now, file_id)
            ).fetchone()  # fmt: skip
            if row is not None:
                connection.execute(
                    "INSERT INTO personal.cards (name, uses, used_ns) VALUES (?, 1, ?)"
                    " ON CONFLICT (name) DO UPDATE SET uses = uses + 1, used_ns = excluded.used_ns",
                    (row[0], now),
                )
        store.bump(connection)


def setting(store: Store, key: str) -> str | None:
    row = store.connection().execute("SELECT value FROM personal.settings WHERE key = ?", (key,)).fetchone()
    return None if row is None else row[0]


def set_setting(store: Store, key: str, value: str | None) -> None:
    """`None` removes it."""
    if value is None:
        store.connection().execute("DELETE FROM personal.settings WHERE key = ?", (key,))
    else:
        store.connection().execute("INSERT OR REPLACE INTO personal.settings VALUES (?, ?)", (key, value))
