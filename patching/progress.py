"""How far a stack is prepared: the host's progress bar, and its Cancel while nothing is changed yet."""

from __future__ import annotations

import time
from concurrent.futures import Future, wait
from typing import Any

import comfy.model_management
import comfy.utils

SHOWN_AFTER = 0.3
"""Seconds. What is prepared sooner shows no bar."""
_POLLED_EVERY = 0.1
"""Seconds, while another thread works."""


class Progress:
    """Steps of a known number; each is a place where the host's Cancel ends the work.

    For what the host runs as a node; it raises the host's `InterruptProcessingException`.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._started = time.perf_counter()
        self._bar: Any = None

    def step(self, count: int = 1) -> None:
        """So much more is done."""
        self.poll()
        self._done += count
        if self._bar is None and time.perf_counter() - self._started >= SHOWN_AFTER:
            self._bar = comfy.utils.ProgressBar(self._total)
        if self._bar is not None:
            self._bar.update_absolute(self._done)

    def poll(self) -> None:
        """Ends the work where the user has cancelled it."""
        comfy.model_management.throw_exception_if_processing_interrupted()

    def wait(self, work: Future[Any] | None) -> None:
        """Until another thread's work is done."""
        while work is not None and not work.done():
            self.poll()
            wait((work,), _POLLED_EVERY)
