"""What the index knows of names, without walking a folder, reading a file or computing a hash."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .facts import is_empty_hash
from .files import Fingerprint
from .hashing import Hashes
from .identity import Identity
from .library import Library
from .names import LONGEST, Candidate, answering, first_of_each_path, lookup_terms, normalise_path
from .schema import PRESENT
from .text import fold, storable

_COLUMNS = "f.id, f.root, f.name, f.position, f.size, f.mtime_ns, f.sha256, f.autov3, f.architecture"


@dataclass(frozen=True, slots=True)
class Known:
    """A file that a name means, as the index has it."""

    identity: Identity
    fingerprint: Fingerprint


def known(library: Library, names: Sequence[str]) -> dict[str, Known]:
    """The files that names mean by path, base name or alias, as `find` would say it.

    Left out: names that mean nothing or several different files, and files that changed since they were indexed. One
    look at each file's size and time is all that touches the disk.
    """
    wanted = {name: storable(name) for name in names if name and len(name) <= LONGEST}
    connection = library.store.connection()
    terms = {name: lookup_terms(text) for name, text in wanted.items()}
    by_base: dict[str, list[Any]] = {}
    for base, *row in connection.execute(
        f"SELECT f.base, {_COLUMNS} FROM files f WHERE f.base IN (SELECT value FROM json_each(?)) AND f.state = ?",
        (json.dumps(sorted(set().union(*terms.values()))), PRESENT),
    ):
        by_base.setdefault(base, []).append(row)
    found: dict[str, Known] = {}
    for name, text in wanted.items():
        rows = {row[0]: row for term in terms[name] for row in by_base.get(term, ())}
        hit = _only([rows[c.id] for c in answering(text, [Candidate(*row[:4]) for row in rows.values()])])
        hit = hit or _only(_with_alias(library, text.strip()))
        if hit is not None and (file := _as_known(hit)) is not None:
            found[name] = file
    return found


def _with_alias(library: Library, name: str) -> list[Any]:
    rows = library.store.connection().execute(
        f"SELECT a.alias, {_COLUMNS} FROM aliases a JOIN files f ON f.id = a.file WHERE a.term = ? AND f.state = ?",
        (fold(name), PRESENT),
    ).fetchall()  # fmt: skip
    exact = [row for row in rows if row[0] == name]
    return [row[1:] for row in exact or rows]


def _only(rows: Iterable[Any]) -> Any | None:
    by_id = {row[0]: row for row in rows}
    firsts, _ = first_of_each_path([Candidate(*row[:4]) for row in by_id.values()])
    if len(firsts) > 1 and len({by_id[c.id][6] or c.id for c in firsts}) > 1:
        return None
    return by_id[firsts[0].id] if firsts else None


def _as_known(row: Any) -> Known | None:
    _, root, name, _, size, mtime_ns, sha256, autov3, architecture = row
    indexed = Fingerprint(size, mtime_ns)
    try:
        if Fingerprint.of(os.path.join(root, *name.split("/"))) != indexed:
            return None
    except (OSError, ValueError):
        return None
    hashes = Hashes(sha256, autov3) if sha256 and not is_empty_hash(sha256) else None
    return Known(Identity(normalise_path(name), size, hashes, architecture or None), indexed)
