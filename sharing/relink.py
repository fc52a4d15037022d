"""A workflow that comes from elsewhere: which of its names mean the right files here, which files have other names
here, and which are missing; and the values that its nodes must hold so that all is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..library import Library, LoraFile
from ..library.content import find_content, has_content
from ..library.find import find, spelling
from ..library.names import normalise, normalise_path
from ..library.sums import verified_hash
from ..stack.errors import AmbiguousLoraError, LoraNotFoundError
from .foreign_hashes import foreign_entries, foreign_entry
from .lock import Lock, LockEntry, LockError, read_lock
from .workflow_names import HOST_LOADERS, OURS, Kind, NamedAt, Place, for_combo, is_lock, names_in, places, renamed

EXTRA = "lora_deck"
"""Of the workflow's `extra`: the lock of names that no Apply asks for, such as those of the host's own loaders."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What became of one name."""

    entry: LockEntry | None
    file: LoraFile | None
    """The file to use; `None` where there is none of the right content."""
    own: LoraFile | None
    """What the name means by itself."""
    closest: str = ""

    @property
    def state(self) -> str:
        if self.file is not None and (self.own is None or self.own.path != self.file.path):
            return "found"
        if self.file is not None:
            return "there"
        return "differing" if self.own is not None else "missing"


def relink(workflow: Mapping[str, Any], library: Library, choices: Mapping[str, int] | None = None) -> dict[str, Any]:
    """What to change in a workflow, as JSON: `changes` (value by place), `found`, `missing`, `differing` names,
    `problems` of locks, how many names there are (`total`), and whether the workflow is `locked` at all.

    `choices`: name → id of the file that a person chose for it; it takes the place of what the lock says.
    Blocks on files: those that the names mean, and those of a size that the locks name, are hashed where that was
    never done.
    """
    values = list(places(workflow))
    locks, problems = _locks(workflow, values)
    foreign = foreign_entries(workflow)
    names = [named for place, value in values for named in names_in(place, value)]
    is_locked = bool(locks or foreign or choices)
    finder = _Finder(library, locks, foreign, {normalise(k): v for k, v in (choices or {}).items()})
    results: dict[str, _Found | None] = {}
    for named in names if is_locked else ():
        # A name may stand in somebody else's node as well.
        results[named.name] = finder.of(named) or results.get(named.name)
    changes = _changes(library, values, results, choices or {})
    listed: dict[str, list[dict[str, Any]]] = {"found": [], "missing": [], "differing": []}
    for name, result in results.items():
        if result is not None and result.state in listed:
            at = [named for named in names if named.name == name]
            listed[result.state].append(_told(name, result, at))
    total = sum(result is not None for result in results.values())
    return {"locked": is_locked, "total": total, "changes": changes, "problems": problems, **listed}


def _locks(workflow: Mapping[str, Any], values: list[tuple[Place, Any]]) -> tuple[list[Lock], list[str]]:
    extra = workflow.get("extra")
    ours = extra.get(EXTRA) if isinstance(extra, Mapping) else None
    texts = [value for _, value in values if is_lock(value)]
    texts += [ours["lock"]] if isinstance(ours, Mapping) and isinstance(ours.get("lock"), str) else []
    locks: list[Lock] = []
    problems: list[str] = []
    for text in texts:
        try:
            lock = read_lock(text)
        except LockError as error:
            problems.append(str(error))
        else:
            locks += [lock] if lock.entries else []
    return locks, list(dict.fromkeys(problems))


class _Finder:
    def __init__(
        self, library: Library, locks: list[Lock], foreign: list[LockEntry], choices: Mapping[str, int]
    ) -> None:
        self._library = library
        self._locks = locks
        self._foreign = foreign
        self._choices = choices

    def of(self, named: NamedAt) -> _Found | None:
        """`None` for a name that is nobody's business here: without an entry, in a node of somebody else."""
        name = named.name
        entry = next((found for lock in self._locks if (found := lock.of(name)) is not None), None)
        by_others = None if entry is not None and entry.has_hash else foreign_entry(self._foreign, name)
        entry = by_others or entry
        closest = ""
        own: LoraFile | None = None
        try:
            own = find(self._library, name)
        except LoraNotFoundError as error:
            closest = error.suggestions[0] if error.suggestions else ""
        except AmbiguousLoraError as error:
            closest = error.candidates[0]
        chosen = self._choices.get(normalise(name))
        if chosen is not None:
            return _Found(entry, self._by_id(chosen), own, closest)
        if entry is None and named.place.type not in OURS:
            return None
        if entry is None or not entry.has_hash:
            return _Found(entry, own, own, closest)
        if own is not None and self._is_right(own, entry):
            return _Found(entry, own, own)
        file = find_content(self._library, entry.autov2, entry.autov3, entry.size)
        if file is None and by_others is not None and named.place.type not in OURS:
            # Other programs ask about their own nodes themselves.
            return None
        return _Found(entry, file, own, closest)

    def _is_right(self, file: LoraFile, entry: LockEntry) -> bool:
        return has_content(verified_hash(self._library.store, file.id), entry.autov2, entry.autov3)

    def _by_id(self, file_id: int) -> LoraFile | None:
        row = self._library.store.connection().execute("SELECT name FROM files WHERE id = ?", (file_id,)).fetchone()
        return find(self._library, row[0]) if row else None


def _changes(
    library: Library, values: list[tuple[Place, Any]], results: Mapping[str, _Found | None], choices: Mapping[str, int]
) -> list[dict[str, Any]]:
    """New values of nodes; entries of locks follow the names that they are about."""

    def tag_name(name: str) -> str | None:
        result = results.get(name)
        if result is None or result.file is None or result.state != "found":
            return None
        return spelling(library, result.file.name)

    changes = []
    new_names: dict[str, str] = {}
    for place, value in values:

        def new_name(name: str, kind: Kind, place: Place = place) -> str | None:
            result = results.get(name)
            new = tag_name(name)
            if kind == "name" and result is not None and result.file is not None and result.entry is not None:
                # The host's combos take the path and nothing else.
                new = for_combo(result.file.name) if new or place.type in HOST_LOADERS else None
            if new is not None and new != name:
                new_names.setdefault(normalise(name), new)
                return new
            return None

        new_value = renamed(place, value, new_name)
        if new_value != value:
            changes.append(_change(place, new_value))
    chosen = {normalise(name) for name in choices}
    for place, value in values:
        text = _new_lock(library, value, results, new_names, chosen) if is_lock(value) else None
        if text is not None and text != value:
            changes.append(_change(place, text))
    return changes


def _new_lock(
    library: Library, text: str, results: Mapping[str, _Found | None], new_names: Mapping[str, str], chosen: set[str]
) -> str | None:
    try:
        lock = read_lock(text)
    except LockError:
        return None
    entries = []
    for entry in lock.entries:
        key = normalise(entry.name)
        if key in chosen:
            file = next((r.file for n, r in results.items() if normalise(n) == key and r is not None), None)
            entry = _entry_of(library, entry.name, file) if file is not None else entry
        entries.append(replace(entry, name=new_names.get(key, entry.name)))
    return replace(lock, entries=tuple(entries)).to_text()


def _entry_of(library: Library, name: str, file: LoraFile) -> LockEntry:
    hashes = verified_hash(library.store, file.id)
    row = library.store.connection().execute("SELECT architecture FROM files WHERE id = ?", (file.id,)).fetchone()
    return LockEntry(
        name, normalise_path(file.name), hashes.autov2 if hashes else None, hashes.autov3 if hashes else None,
        file.fingerprint.size, (row[0] or None) if row else None,
    )  # fmt: skip


def _change(place: Place, value: Any) -> dict[str, Any]:
    return {"graph": place.graph, "node": place.node, "index": place.index, "value": value}


def _told(name: str, result: _Found, at: list[NamedAt]) -> dict[str, Any]:
    entry = result.entry or LockEntry(name)
    return {
        "name": name,
        "path": entry.path,
        "autov2": entry.autov2,
        "autov3": entry.autov3,
        "size": entry.size,
        "base_model": entry.base_model,
        "weights": next((named.weights for named in at if named.weights), ""),
        "file": result.file.name if result.file else None,
        "own": {"id": result.own.id, "name": result.own.name} if result.own else None,
        "closest": result.closest,
        "used_by": [
            {"graph": n.place.graph, "node": n.place.node, "type": n.place.type, "title": n.place.title, "kind": n.kind}
            for n in at
        ],
    }
