"""The index's tables, and how its file is opened.

Two files lie in the pack's folder below the host's user folder: `index.sqlite3` can be deleted at any time and is
rebuilt from disk; `personal.sqlite3` holds what exists nowhere else (favourites, how often and when a LoRA was used)
and is never dropped. The index keeps a copy of those columns, so that sorting needs one file only.
"""

from __future__ import annotations

import logging
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VERSION = 4
"""Raised with every change of the tables; an index of another version is rebuilt."""

BUSY_SECONDS = 30
logger = logging.getLogger("lora_deck")

PRESENT, AWAY, MISSING = 0, 1, 2
"""States of a file: there; its folder cannot be reached; removed from a folder that can be."""

TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS folders (
    root TEXT NOT NULL, folder TEXT NOT NULL, real TEXT NOT NULL, device INTEGER NOT NULL, digest TEXT NOT NULL,
    PRIMARY KEY (root, folder)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    root TEXT NOT NULL,              -- as the host lists it
    folder TEXT NOT NULL,            -- below root, with /, empty for root itself
    name TEXT NOT NULL,              -- below root, with /
    base TEXT NOT NULL,              -- folded last part of what the file is called: what names are looked up by
    real TEXT NOT NULL,              -- realpath
    inode INTEGER NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    beside TEXT NOT NULL,            -- signature of the files beside it
    state INTEGER NOT NULL,
    pending INTEGER NOT NULL,        -- 1: listed, not yet read
    position INTEGER NOT NULL,       -- of the root in the host's order
    added_ns INTEGER NOT NULL,
    sort_name TEXT NOT NULL,
    sort_path TEXT NOT NULL,
    architecture TEXT NOT NULL DEFAULT '',
    family TEXT NOT NULL DEFAULT '',
    has_preview INTEGER NOT NULL DEFAULT 0,
    problem INTEGER NOT NULL DEFAULT 0,
    adult INTEGER NOT NULL DEFAULT 0,
    sha256 TEXT,
    autov3 TEXT,                     -- whole sha256 of the bytes behind the header
    favourite INTEGER NOT NULL DEFAULT 0,
    uses INTEGER NOT NULL DEFAULT 0,
    used_ns INTEGER NOT NULL DEFAULT 0,
    UNIQUE (root, name)
);
CREATE INDEX IF NOT EXISTS files_base ON files (base);
CREATE INDEX IF NOT EXISTS files_folder ON files (folder, root);
CREATE INDEX IF NOT EXISTS files_architecture ON files (architecture, state);
CREATE INDEX IF NOT EXISTS files_inode ON files (inode);
CREATE INDEX IF NOT EXISTS files_real ON files (real);
CREATE INDEX IF NOT EXISTS files_sha256 ON files (sha256) WHERE sha256 IS NOT NULL;
CREATE INDEX IF NOT EXISTS files_autov3 ON files (autov3) WHERE autov3 IS NOT NULL;
CREATE INDEX IF NOT EXISTS files_by_name ON files (sort_name, id, state);
CREATE INDEX IF NOT EXISTS files_not_here ON files (state, root, folder) WHERE state <> 0;
CREATE TABLE IF NOT EXISTS cards (file INTEGER PRIMARY KEY, card TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS aliases (
    term TEXT NOT NULL, file INTEGER NOT NULL, alias TEXT NOT NULL, PRIMARY KEY (term, file, alias)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS aliases_file ON aliases (file);
CREATE TABLE IF NOT EXISTS claims (
    digits TEXT NOT NULL, file INTEGER NOT NULL, PRIMARY KEY (digits, file)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS claims_file ON claims (file);
CREATE TABLE IF NOT EXISTS tags (tag TEXT NOT NULL, file INTEGER NOT NULL, PRIMARY KEY (tag, file)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tags_file ON tags (file);
CREATE TABLE IF NOT EXISTS models (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, architecture TEXT, problem TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS model_hashes (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, sha256 TEXT NOT NULL
) WITHOUT ROWID;
"""
SEARCH = "CREATE VIRTUAL TABLE IF NOT EXISTS search USING fts5(text, tokenize='trigram')"
SEARCH_PLAIN = "CREATE TABLE IF NOT EXISTS search (text TEXT NOT NULL)"
PERSONAL = """
CREATE TABLE IF NOT EXISTS personal.cards (
    name TEXT PRIMARY KEY, favourite INTEGER NOT NULL DEFAULT 0, uses INTEGER NOT NULL DEFAULT 0,
    used_ns INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS personal.settings (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
"""


class Store:
    """Connections to the index, one for each thread that asks."""

    def __init__(self, folder: Path) -> None:
        """`folder`: where the two files lie; made if it is not there. On a local disk: WAL needs shared memory.

        Nothing is opened before something is asked, so that the host's start does not wait for it.
        """
        self.folder = folder
        self._local = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._opening = threading.RLock()
        self._ready = False
        self._trigram = True

    @property
    def trigram(self) -> bool:
        """Whether `search` is an FTS table; else it is a plain one."""
        self._open()
        return self._trigram

    def _open(self) -> None:
        if self._ready:
            return
        with self._opening:
            if self._ready:
                return
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._prepare()
            except (OSError, sqlite3.OperationalError) as error:
                if "locked" in str(error):
                    raise
                # A user folder that cannot be written to must not keep anybody from using LoRAs.
                logger.warning("No index can be kept in %s (%s); it is made anew at every start.", self.folder, error)
                self._forget_connections()
                self.folder = Path(tempfile.mkdtemp(prefix="lora-deck-"))
                self._prepare()
            except sqlite3.DatabaseError as error:
                self._set_aside(error)
                self._prepare()
            self._ready = True

    def connection(self) -> sqlite3.Connection:
        """This thread's connection; every statement outside `writing` commits by itself."""
        self._open()
        return self._mine()

    def _mine(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._connect()
            self._local.connection = connection
        return connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock from its start, against every other thread and process."""
        self._open()
        with self._transaction() as connection:
            yield connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._mine()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def bump(self, connection: sqlite3.Connection) -> None:
        """Marks, inside a transaction, that what lists show has changed."""
        connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'revision'")

    def revision(self) -> int:
        """Rises with every change that lists show, in whichever process it was made."""
        return int(self.connection().execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()[0])

    def close(self) -> None:
        """Closes all connections; the store cannot be used afterwards."""
        self._forget_connections()

    def _forget_connections(self) -> None:
        with self._lock:
            for connection in self._all:
                connection.close()
            self._all.clear()
        self._local = threading.local()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.folder / "index.sqlite3", timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.execute("ATTACH DATABASE ? AS personal", (str(self.folder / "personal.sqlite3"),))
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA personal.synchronous = FULL")
        connection.execute("PRAGMA cache_size = -16000")
        connection.execute("PRAGMA temp_store = MEMORY")
        with self._lock:
            self._all.append(connection)
        return connection

    def _prepare(self) -> None:
        connection = self._mine()
        if not _is_ready(connection):
            for schema in ("main", "personal"):
                _wal(connection, schema)
            with self._transaction():
                found = connection.execute("PRAGMA main.user_version").fetchone()[0]
                if found not in (0, VERSION):
                    _drop_all(connection)
                for statement in _statements(TABLES + PERSONAL):
                    connection.execute(statement)
                try:
                    connection.execute(SEARCH)
                except sqlite3.OperationalError:  # an SQLite before 3.34, or one without FTS5
                    connection.execute(SEARCH_PLAIN)
                connection.execute("INSERT OR IGNORE INTO meta VALUES ('revision', 0)")
                connection.execute(f"PRAGMA main.user_version = {VERSION}")
        sql = connection.execute("SELECT sql FROM main.sqlite_master WHERE name = 'search'").fetchone()[0]
        self._trigram = "fts5" in sql

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        """Renames a damaged index, which can be rebuilt; the other file is left where it is."""
        self._forget_connections()
        damaged = self.folder / "index.sqlite3"
        aside = damaged.with_suffix(f".damaged-{time.time_ns()}")
        logger.warning("The index %s is damaged (%s); it is rebuilt, the old kept as %s.", damaged, error, aside.name)
        damaged.replace(aside)
        for ending in ("-wal", "-shm"):
            damaged.with_name(damaged.name + ending).unlink(missing_ok=True)


def _is_ready(connection: sqlite3.Connection) -> bool:
    version = connection.execute("PRAGMA main.user_version").fetchone()[0]
    personal = connection.execute("SELECT count(*) FROM personal.sqlite_master").fetchone()[0]
    return bool(version == VERSION and personal)


def _wal(connection: sqlite3.Connection, schema: str) -> None:
    """Switches to WAL; two processes that do so at once see each other's lock without waiting, so it is retried."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute(f"PRAGMA {schema}.journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.02)


def _drop_all(connection: sqlite3.Connection) -> None:
    tables = connection.execute(
        "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        " AND name NOT LIKE 'search\\_%' ESCAPE '\\'"
    ).fetchall()
    for (table,) in tables:
        connection.execute(f'DROP TABLE main."{table}"')


def _statements(script: str) -> Iterator[str]:
    return (s for s in (part.strip() for part in script.split(";\n")) if s)
