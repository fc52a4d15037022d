"""Locks for the browser: filling them before a workflow leaves, and finding what they name when one arrives."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ..library.edits import EditError
from ..library.find import find
from ..library.known import Known, known
from ..library.sums import verified_hash
from ..sharing.asked import asked_names, names_are_all_known
from ..sharing.fill import applies, entry_of
from ..sharing.lock import Lock, LockError, read_lock
from ..sharing.relink import relink
from ..stack.errors import AmbiguousLoraError, LoraNotFoundError
from .route import Asked, Route

TELL_SECONDS = 0.2


def fill_locks(asked: Asked) -> dict[str, Any]:
    """The lock of every Apply of a prompt, with hashes; and one for further names, such as the host loaders'."""
    prompt, hashing = asked.body["prompt"], asked.body.get("hash", True)
    wanted = {node_id: asked_names(prompt, node_id) for node_id in applies(prompt)}
    further = [name for name in asked.body.get("names", []) if isinstance(name, str)]
    files = _files(asked, [*(name for names in wanted.values() for name in names), *further], hashing)
    locks: dict[str, str] = {}
    problems: dict[str, str] = {}
    for node_id, names in wanted.items():
        try:
            lock = read_lock(prompt[node_id]["inputs"].get("lock", ""))
        except LockError as error:
            problems[node_id] = str(error)
            continue
        if names_are_all_known(prompt, node_id):
            lock = lock.only(names)
        locks[node_id] = _filled(lock, names, files, asked.body.get("other_content"))
    try:
        extra = _filled(read_lock(asked.body.get("lock", "")).only(further), further, files, None)
    except LockError as error:
        extra, problems[""] = asked.body["lock"], str(error)
    return {"locks": locks, "lock": extra, "problems": problems}


def _filled(lock: Lock, names: Sequence[str], files: dict[str, Known], other_content: Any) -> str:
    entries = [entry_of(name, files[name]) for name in names if name in files]
    lock = lock.completed(entries).with_entries(entries)
    if other_content in ("warn", "error"):
        lock = Lock(lock.entries, other_content, lock.unknown)
    return lock.to_text() if lock.entries else ""


def _files(asked: Asked, names: Sequence[str], hashing: bool) -> dict[str, Known]:
    """What the library knows of the names; files without hashes are read for them first."""
    library = asked.deck.library
    names = list(dict.fromkeys(names))
    library.freshen()
    if hashing:
        ids: dict[int, int] = {}
        for name in names:
            try:
                file = find(library, name)
            except (LoraNotFoundError, AmbiguousLoraError):
                continue
            ids[file.id] = file.fingerprint.size
        _hash(asked, ids)
    return known(library, names)


def _hash(asked: Asked, sizes: dict[int, int]) -> None:
    library = asked.deck.library
    store = library.store
    row = "SELECT 1 FROM files WHERE id = ? AND sha256 IS NULL"
    todo = {i: size for i, size in sizes.items() if store.connection().execute(row, (i,)).fetchone()}
    done, total, told = 0, sum(todo.values()), 0.0

    def progress(read: int) -> None:
        nonlocal done, told
        done += read
        if time.monotonic() - told > TELL_SECONDS:
            told = time.monotonic()
            library.tell("lock", {"bytes": done, "total_bytes": total, "files": len(todo)})

    for file_id in todo:
        verified_hash(store, file_id, progress)
    if told:
        library.tell("lock", {"bytes": total, "total_bytes": total, "files": len(todo)})


def find_names(asked: Asked) -> dict[str, Any]:
    choices = asked.body.get("choices", {})
    if not all(isinstance(i, int) for i in choices.values()):
        raise EditError("choices are the ids of files by name.")
    return relink(asked.body["workflow"], asked.deck.library, choices)


ROUTES = (
    Route("POST", "/lora-deck/locks", fill_locks, "Fills the locks of a prompt in API form; hashes what has no hash",
          "Locks", body={
              "prompt": {"type": "object"}, "hash": {"type": "boolean"},
              "other_content": {"type": "string", "enum": ["warn", "error"]},
              "names": {"type": "array", "items": {"type": "string"}}, "lock": {"type": "string"}},
          required=("prompt",), refusals=(400, 415)),
    Route("POST", "/lora-deck/relink", find_names, "What a workflow must hold so that its LoRAs are found",
          "Relinked", body={"workflow": {"type": "object"}, "choices": {"type": "object"}},
          required=("workflow",), refusals=(400, 415, 422)),
)  # fmt: skip
