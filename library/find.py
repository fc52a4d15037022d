"""From a name to a file: the one set of rules for tags, nodes, API and sidebar."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable

from ..stack.errors import AmbiguousLoraError, LoraNotFoundError
from .facts import is_empty_hash
from .files import Fingerprint, LoraFile
from .library import Library
from .names import (
    LONGEST,
    Candidate,
    answering,
    close_names,
    first_of_each_path,
    lookup_terms,
    normalise_path,
    shortest,
)
from .schema import PRESENT
from .sums import same_content, verified_hash
from .text import fold, storable

_HASH = re.compile(r"[0-9a-fA-F]{8,64}")
_COLUMNS = "id, root, name, position"


def find(library: Library, name: str) -> LoraFile:
    """The file that a name stands for: by relative path, base name, alias, or hash, in this order.

    Files of equal content are never ambiguous; of the same relative path in two folders, the host's first is taken
    and the others are named in the value. A name that misses causes one rescan.

    Raises:
        AmbiguousLoraError: several different files answer.
        LoraNotFoundError: none does, or its drive is away.
    """
    library.freshen()
    file = _by_path(library, name) or _after_reading(library, name)
    if file is None:
        library.rescan()
        file = _by_path(library, name) or _after_reading(library, name)
    if file is None:
        raise _not_found(library, name)
    return file


def spelling(library: Library, name: str) -> str:
    """The shortest spelling that means the file with this relative path; itself where nothing shorter does."""
    return spellings(library, [name])[name]


def spellings(library: Library, names: Iterable[str]) -> dict[str, str]:
    """`spelling` of many names at once."""
    terms = {name: lookup_terms(name) for name in names}
    by_term: dict[str, list[Candidate]] = {}
    for base, *row in library.store.connection().execute(
        f"SELECT base, {_COLUMNS} FROM files WHERE base IN (SELECT value FROM json_each(?)) AND state = {PRESENT}",
        (json.dumps(list(set().union(*terms.values()))),),
    ):
        by_term.setdefault(base, []).append(Candidate(*row))
    return {name: shortest(name, [c for term in own for c in by_term.get(term, ())]) for name, own in terms.items()}


def _by_path(library: Library, name: str) -> LoraFile | None:
    if len(name) > LONGEST:
        return None
    candidates = _with_base(library, lookup_terms(storable(name)))
    return _only(library, name, answering(storable(name), candidates))


def _after_reading(library: Library, name: str) -> LoraFile | None:
    """By alias, then by hash: both stand in files, so what was listed is read first."""
    library.read()
    name = storable(name).strip()
    return _only(library, name, _with_alias(library, name)) or _only(library, name, _with_hash(library, name))


def _with_base(library: Library, terms: set[str]) -> list[Candidate]:
    marks = ", ".join("?" * len(terms))
    rows = library.store.connection().execute(
        f"SELECT {_COLUMNS} FROM files WHERE base IN ({marks}) AND state = {PRESENT}", tuple(terms)
    )
    return [Candidate(*row) for row in rows]


def _with_alias(library: Library, name: str) -> list[Candidate]:
    rows = library.store.connection().execute(
        f"SELECT a.alias, {_COLUMNS} FROM aliases a JOIN files f ON f.id = a.file WHERE a.term = ? AND f.state = ?",
        (fold(name), PRESENT),
    ).fetchall()  # fmt: skip
    exact = [row for row in rows if row[0] == name]
    found = {row[1]: Candidate(*row[1:]) for row in exact or rows}
    return sorted(found.values(), key=lambda c: (c.position, c.name))


def _with_hash(library: Library, digits: str) -> list[Candidate]:
    """Files whose computed hash begins with the digits; a hash that is only claimed is computed first."""
    if not _HASH.fullmatch(digits) or is_empty_hash(digits):
        return []
    prefix = digits.lower()
    connection = library.store.connection()
    claimed = connection.execute(
        "SELECT f.id FROM claims c JOIN files f ON f.id = c.file WHERE (c.digits BETWEEN ? AND ? OR"
        " substr(?, 1, length(c.digits)) = c.digits) AND f.state = ? AND f.sha256 IS NULL",
        (prefix, prefix + "g", prefix, PRESENT),
    ).fetchall()  # fmt: skip
    for (file_id,) in claimed:
        verified_hash(library.store, file_id)
    rows = connection.execute(
        f"SELECT {_COLUMNS}, sha256, autov3 FROM files WHERE (sha256 BETWEEN ? AND ? OR autov3 BETWEEN ? AND ?)"
        f" AND state = {PRESENT}",
        (prefix, prefix + "g", prefix, prefix + "g"),
    ).fetchall()
    found = sorted((Candidate(*row[:4]) for row in rows), key=lambda c: (c.position, c.name))
    # Equal bytes behind different headers are equal for whoever asks by the hash of these bytes.
    if len({row[5] for row in rows}) == 1 and rows[0][5]:
        return found[:1]
    return found


def _only(library: Library, name: str, answers: list[Candidate]) -> LoraFile | None:
    """The one file among those that answer; `None` where there is none or it vanished."""
    if not answers:
        return None
    firsts, hidden = first_of_each_path(answers)
    if len(firsts) > 1:
        if not same_content(library.store, [c.id for c in firsts]):
            raise AmbiguousLoraError(name, [normalise_path(c.name) for c in firsts])
        firsts = firsts[:1]
    chosen = firsts[0]
    path = os.path.join(chosen.root, *chosen.name.split("/"))
    try:
        version = Fingerprint.of(path)
    except (OSError, ValueError):
        return None
    others = tuple(os.path.join(c.root, *c.name.split("/")) for c in hidden if c.name == chosen.name)
    return LoraFile(normalise_path(chosen.name), path, version, chosen.id, others)


def _not_found(library: Library, name: str) -> LoraNotFoundError:
    connection = library.store.connection()
    if len(name) > LONGEST:
        return LoraNotFoundError(name[:80] + "…", (), library.roots.loras)
    terms = lookup_terms(storable(name))
    marks = ", ".join("?" * len(terms))
    gone = [Candidate(*row) for row in connection.execute(
        f"SELECT {_COLUMNS} FROM files WHERE base IN ({marks}) AND state <> {PRESENT}", tuple(terms))]  # fmt: skip
    last_seen = [os.path.join(c.root, *c.name.split("/")) for c in answering(storable(name), gone)]
    bases = (row[0] for row in connection.execute("SELECT DISTINCT base FROM files WHERE state = ?", (PRESENT,)))
    suggestions = [spelling(library, path) for base in close_names(storable(name), bases)
                   for (path,) in connection.execute(
                       "SELECT name FROM files WHERE base = ? AND state = ? LIMIT 3", (base, PRESENT))]  # fmt: skip
    return LoraNotFoundError(name, suggestions[:3], library.roots.loras, last_seen)


