"""The library: the index kept in line with the disk, for as long as the host runs."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import models, scan
from .roots import Roots
from .scan import Found
from .schema import Store

logger = logging.getLogger("lora_deck")

POLL_SECONDS = 2.0
"""Between two looks at the folders' times."""
WALK_SECONDS = 60.0
"""Between two walks over all files, which also find what was written over in place."""
POLL_SHARE = 20
"""A resolved name may look at the folders' times again after this many times what the last look took."""
RACY_NS = 50_000_000
RACY_COARSE_NS = 2_000_000_000
"""A folder that changed this shortly before it was listed may have changed again without its time showing it: a tick
of the kernel, or of a file system that counts in whole seconds."""

Listener = Callable[[str, dict[str, Any]], None]


class Library:
    """One index and the folders that it describes. Every method may be called from any thread; most block on disk."""

    def __init__(self, folder: Path, roots: Callable[[], Roots]) -> None:
        """`folder`: where the index lies; `roots`: asked before every walk, because the host's list can grow."""
        self.store = Store(folder)
        self._roots = roots
        self._listing = threading.RLock()
        self._reading = threading.Lock()
        self._todo: list[Found] = []
        self._folders: dict[str, int] = {}
        self._listed_at_ns = 0
        self._walked_at = -math.inf
        self._looked_at = -math.inf
        self._walk_took = 0.0
        self._poll_after = 0.0
        self._poll_took = 0.0
        self._listened: tuple[str, ...] | None = None
        self._listeners: list[Listener] = []
        self._unreachable: dict[str, str] = {}
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._state: dict[str, Any] = {"phase": "idle", "done": 0, "total": 0}
        self.after_scan: list[Callable[[], None]] = []

    # --- events

    def listen(self, listener: Listener) -> None:
        """`listener(event, data)` is called, from any thread, for `scan`, `hash` and `changed`."""
        self._listeners.append(listener)

    def tell(self, event: str, data: dict[str, Any]) -> None:
        for listener in self._listeners:
            listener(event, data)

    @property
    def scan_state(self) -> dict[str, Any]:
        """`phase` (`idle`, `listing`, `reading`), `done` and `total` files, `unreachable` paths with their reasons."""
        return {**self._state, "unreachable": dict(self._unreachable)}

    @property
    def roots(self) -> Roots:
        return self._roots()

    # --- the thread that watches

    def start(self) -> None:
        """Scans now and watches from then on, in a thread; returns at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="lora-deck library", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Ends the thread and closes the index."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self.store.close()

    def refresh(self) -> None:
        """Asks the thread for a walk over all files; returns at once."""
        self._walked_at = -math.inf
        self._wake.set()

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                self._look()
            except OSError as error:
                logger.warning("Looking for LoRAs failed: %s. It is tried again.", error)
            self._wake.wait(max(POLL_SECONDS, POLL_SHARE * self._poll_took))
            self._wake.clear()

    def _look(self) -> None:
        due = max(WALK_SECONDS, POLL_SHARE * self._walk_took)
        if self._listened is None or time.monotonic() - self._walked_at > due or self._folders_changed():
            self.list()
        if self._walked_at == self._looked_at and not self._todo:
            return
        self._looked_at = self._walked_at
        self.read()
        models.read_all(self.store, self._roots().models, self._stop.is_set)
        for task in self.after_scan:
            task()

    # --- bringing the index in line

    def scan(self) -> None:
        """Walks all folders and reads all that changed; returns when it is done."""
        self.list()
        self.read()

    def list(self) -> None:
        """Walks all folders, so that names are right; what changed is left to `read`."""
        with self._listing:
            roots = self._roots()
            started, started_ns = time.monotonic(), time.time_ns()
            self._progress("listing", 0, 0)
            found = scan.list_changes(
                self.store, roots, {k: v for f in self._todo for k, v in f.queued.items()},
                lambda done, total: self._progress("listing", done, total),
            )  # fmt: skip
            self._folders = found.folders
            self._unreachable = found.unreachable
            self._listed_at_ns = started_ns
            self._listened = roots.loras
            self._walked_at = time.monotonic()
            self._walk_took = self._walked_at - started
            self._todo.append(found)
            if found.added or found.removed:
                self._changed(found)
            self._progress("idle" if not found.todo else "reading", 0, sum(len(w) for _, w in found.todo))

    def read(self) -> None:
        """Reads what `list` found changed; waits for another thread that is at it."""
        with self._reading:
            while self._todo:
                found = self._todo[0]
                total = sum(len(work) for _, work in found.todo)
                scan.read_pending(
                    self.store, found, lambda done, total: self._progress("reading", done, total), self._stop.is_set
                )
                self._todo.pop(0)
                if total:
                    self._changed(found)
                self._progress("idle", total, total)

    def freshen(self, force: bool = False) -> None:
        """Makes names right: lists where that never happened, or where a folder changed since. Cheap when repeated."""
        if self._listened is not None and not force and time.monotonic() < self._poll_after:
            return
        with self._listing:
            if self._listened is None or self._folders_changed():
                self.list()

    def rescan(self) -> None:
        """What a name that misses asks for: a walk, unless one has just ended and no folder changed since."""
        with self._listing:
            if time.monotonic() - self._walked_at > max(1.0, self._walk_took) or self._folders_changed():
                self.list()
        self.read()

    def _folders_changed(self) -> bool:
        started = time.monotonic()
        try:
            if self._roots().loras != self._listened:
                return True
            for path, mtime_ns in self._folders.items():
                try:
                    now = os.stat(path).st_mtime_ns
                except OSError:
                    return True
                if now != mtime_ns or _racy(now, self._listed_at_ns):
                    return True
            # A folder that could not be reached may be back.
            return any(map(_has_entries, self._unreachable))
        finally:
            self._poll_took = time.monotonic() - started
            self._poll_after = time.monotonic() + POLL_SHARE * self._poll_took

    def _progress(self, phase: str, done: int, total: int) -> None:
        self._state = {"phase": phase, "done": done, "total": total}
        self.tell("scan", self._state)

    def _changed(self, found: Found) -> None:
        self.tell("changed", {"revision": self.store.revision(), "added": found.added, "removed": found.removed,
                              "changed": found.changed})  # fmt: skip


def _racy(mtime_ns: int, listed_at_ns: int) -> bool:
    span = RACY_NS if mtime_ns % 1_000_000_000 else RACY_COARSE_NS
    return 0 <= listed_at_ns - mtime_ns < span


def _has_entries(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except OSError:
        return False
