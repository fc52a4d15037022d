"""Computes the hashes of all files in the background: with progress, to be cancelled, resting while a prompt runs."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from .hashing import Cancelled
from .library import Library
from .personal import set_setting, setting
from .schema import PRESENT
from .sums import verified_hash

TELL_SECONDS = 0.25
REST_SECONDS = 0.25
RATE_SECONDS = 10.0
"""The time over which bytes per second are measured."""
_OFF = "hashing_off"


class Hasher:
    """One thread that works through the files without hashes.

    It begins by itself after a scan, until somebody cancels it; that is remembered until somebody starts it again.
    """

    def __init__(self, library: Library, busy: Callable[[], bool] = lambda: False) -> None:
        """`busy`: whether the host needs the disk and the processor itself just now."""
        self._library = library
        self._busy = busy
        self._queue: deque[tuple[int, int]] = deque()
        self._queued: set[int] = set()
        self._lock = threading.Lock()
        self._cancel = threading.Event()
        self._thread: threading.Thread | None = None
        self._done = self._bytes = self._total = self._total_bytes = 0
        self._paused = False
        self._marks: deque[tuple[float, int]] = deque()
        self._told = 0.0

    @property
    def state(self) -> dict[str, Any]:
        """`running`, `paused`, `off`; files `done` of `total`; `bytes` of `total_bytes`; `bytes_per_second`;
        `seconds_left` (null where unknown)."""
        rate = self._rate()
        left = self._total_bytes - self._bytes
        return {
            "running": self._thread is not None,
            "paused": self._paused,
            "off": setting(self._library.store, _OFF) is not None,
            "done": self._done,
            "total": self._total,
            "bytes": self._bytes,
            "total_bytes": self._total_bytes,
            "bytes_per_second": rate,
            "seconds_left": left / rate if rate else None,
        }

    def after_scan(self) -> None:
        """Goes on with whatever has no hash yet, unless that was cancelled."""
        if setting(self._library.store, _OFF) is None:
            self._add(self._without_hash())

    def start(self, file_ids: Iterable[int] | None = None) -> None:
        """Computes these hashes first (all missing ones for `None`, and by itself from now on)."""
        if file_ids is None:
            set_setting(self._library.store, _OFF, None)
            self._add(self._without_hash())
            return
        wanted = set(file_ids)
        self._add([row for row in self._without_hash() if row[0] in wanted], first=True)

    def cancel(self) -> None:
        """Stops, in the middle of a file too, and stays off until `start`. What was computed is kept."""
        set_setting(self._library.store, _OFF, "1")
        self.stop()

    def stop(self) -> None:
        """Ends the thread; returns when it has ended."""
        with self._lock:
            thread = self._thread
            self._queue.clear()
            self._queued.clear()
            self._cancel.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def wait(self) -> None:
        """Returns when everything queued is computed."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def _without_hash(self) -> list[tuple[int, int]]:
        return self._library.store.connection().execute(
            "SELECT id, size FROM files WHERE sha256 IS NULL AND state = ? AND size > 0"
            " ORDER BY used_ns DESC, sort_name",
            (PRESENT,),
        ).fetchall()  # fmt: skip

    def _add(self, rows: list[tuple[int, int]], first: bool = False) -> None:
        with self._lock:
            new = [row for row in rows if row[0] not in self._queued]
            self._queued.update(row[0] for row in new)
            if self._thread is None:
                self._done = self._bytes = self._total = self._total_bytes = 0
                self._marks.clear()
            self._total += len(new)
            self._total_bytes += sum(size for _, size in new)
            if first:
                ahead = {row[0] for row in rows}
                rest = [row for row in self._queue if row[0] not in ahead]
                self._queue = deque([*rows, *rest])
            else:
                self._queue.extend(new)
            if self._queue and self._thread is None:
                self._cancel.clear()
                self._thread = threading.Thread(target=self._work, name="lora-deck hashing", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._queue or self._cancel.is_set():
                    self._thread = None
                    self._queued.clear()
                    break
                file_id, size = self._queue.popleft()
            before = self._bytes
            try:
                verified_hash(self._library.store, file_id, self._read, self._stopped)
            except Cancelled:
                continue
            self._bytes = before + size
            self._done += 1
            with self._lock:
                self._queued.discard(file_id)
        self._paused = False
        self._tell(force=True)

    def _read(self, count: int) -> None:
        self._bytes += count
        self._marks.append((time.monotonic(), self._bytes))
        while self._marks[0][0] < time.monotonic() - RATE_SECONDS:
            self._marks.popleft()
        self._tell()

    def _stopped(self) -> bool:
        """Asked before every chunk; holds the pass while the host is busy."""
        while self._busy() and not self._cancel.is_set():
            if not self._paused:
                self._paused = True
                self._marks.clear()
                self._tell(force=True)
            time.sleep(REST_SECONDS)
        if self._paused:
            self._paused = False
            self._tell(force=True)
        return self._cancel.is_set()

    def _rate(self) -> float:
        marks = list(self._marks)
        if len(marks) < 2 or marks[-1][0] - marks[0][0] < 0.01:
            return 0.0
        return (marks[-1][1] - marks[0][1]) / (marks[-1][0] - marks[0][0])

    def _tell(self, force: bool = False) -> None:
        now = time.monotonic()
        if force or now - self._told >= TELL_SECONDS:
            self._told = now
            self._library.tell("hash", self.state)
