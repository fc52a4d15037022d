"""Filling locks: entries for the names that a prompt asks for and that its locks do not hold yet."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..library.known import Known
from .asked import asked_names
from .lock import Lock, LockEntry, LockError, OtherContent, read_lock
from .missing import APPLY
from .records import signature

KEPT = 512
"""Prompts' Applies of which it is remembered what was filled in."""

LookUp = Callable[[Sequence[str]], Mapping[str, Known]]


def entry_of(name: str, file: Known) -> LockEntry:
    """What the lock holds about a name that means this file."""
    identity = file.identity
    hashes = identity.hashes
    return LockEntry(
        name, identity.path, hashes.autov2 if hashes else None, hashes.autov3 if hashes else None, identity.size,
        identity.base_model,
    )  # fmt: skip


def applies(prompt: Mapping[str, Any]) -> list[str]:
    """Ids of the nodes that hold a lock."""
    return [
        str(node_id)
        for node_id, node in prompt.items()
        if isinstance(node, Mapping) and node.get("class_type") == APPLY and isinstance(node.get("inputs"), Mapping)
    ]


class Filler:
    """Fills the locks of prompts; the same work gets the same lock, so that the host's cache holds. For any thread."""

    def __init__(self) -> None:
        self._given: OrderedDict[tuple[str, str], tuple[tuple[object, ...], str]] = OrderedDict()
        self._lock = threading.Lock()

    def fill(
        self, prompt: Mapping[str, Any], look_up: LookUp, other_content: OtherContent | None = None
    ) -> dict[str, str]:
        """Node id → text of its lock, for the nodes whose lock changes. Locks that cannot be read are left as they are.

        `look_up`: what is known of names; `other_content`: what the client wants of it.
        """
        filled: dict[str, str] = {}
        todo: list[tuple[str, str, Lock, list[str]]] = []
        for node_id in applies(prompt):
            text = prompt[node_id]["inputs"].get("lock", "")
            try:
                lock = read_lock(text)
            except LockError:
                continue
            missing = [name for name in asked_names(prompt, node_id) if lock.of(name) is None]
            if missing or (other_content is not None and lock.entries):
                todo.append((node_id, text, lock, missing))
        if not todo:
            return filled
        known = look_up(list(dict.fromkeys(name for *_, missing in todo for name in missing)))
        for node_id, text, lock, missing in todo:
            if other_content is not None:
                lock = replace(lock, other_content=other_content)
            new = self._again(prompt, node_id, text, lock, missing, known)
            if new != text:
                filled[node_id] = new
        return filled

    def _again(
        self,
        prompt: Mapping[str, Any],
        node_id: str,
        text: str,
        lock: Lock,
        missing: Iterable[str],
        known: Mapping[str, Known],
    ) -> str:
        """The text of the filled lock, or what was given before for this same work and these same files.

        `text`: as it came, which stays where there is nothing to write.
        """
        files = tuple((name, known[name].identity.path, known[name].fingerprint) for name in missing if name in known)
        if files or lock.entries:
            text = lock.with_entries(entry_of(name, known[name]) for name in missing if name in known).to_text()
        key = (f"{node_id} {lock.other_content}", signature(prompt, node_id))
        with self._lock:
            before = self._given.get(key)
            # A file that the index did not know yet at that time changes nothing either.
            if before is not None and set(before[0]) <= set(files):
                self._given.move_to_end(key)
                return before[1]
            self._given[key] = (files, text)
            while len(self._given) > KEPT:
                self._given.popitem(last=False)
        return text
