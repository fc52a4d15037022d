"""From a hash to a file, whatever it is called and wherever it lies."""

from __future__ import annotations

import os

from .facts import is_empty_hash
from .files import Fingerprint, LoraFile
from .hashing import Hashes
from .library import Library
from .names import normalise_path
from .schema import PRESENT
from .sums import stored_hashes, verified_hash

_COLUMNS = "id, root, name"


def has_content(hashes: Hashes | None, autov2: str | None, autov3: str | None) -> bool:
    """Whether a file has this content: AutoV3 decides where both know it, because a header may be edited."""
    if hashes is None:
        return False
    if autov3 and hashes.data_sha256:
        return hashes.data_sha256.startswith(autov3)
    return bool(autov2) and hashes.sha256.startswith(str(autov2))


def find_content(library: Library, autov2: str | None, autov3: str | None, size: int | None) -> LoraFile | None:
    """The file whose content has this hash, the host's first where there are several.

    Files of the right size, and those that claim the hash, are hashed for it where that was never done, so a library
    without hashes answers as well. Blocks for as long as these take to read.
    """
    digits = [d for d in (autov3, autov2) if d and not is_empty_hash(d)]
    if not digits:
        return None
    library.freshen()
    library.read()
    found = _search(library, digits, autov2, autov3, size)
    if found is None:
        # As a name that misses: the file may have come this moment.
        library.rescan()
        found = _search(library, digits, autov2, autov3, size)
    return found


def _search(
    library: Library, digits: list[str], autov2: str | None, autov3: str | None, size: int | None
) -> LoraFile | None:
    found = _stored(library, digits, autov2, autov3)
    if found is not None:
        return found
    rows = library.store.connection().execute(
        "SELECT id FROM files f WHERE state = ? AND sha256 IS NULL AND (size = ? OR EXISTS (SELECT 1 FROM claims c"
        " WHERE c.file = f.id AND (substr(c.digits, 1, length(?)) = ? OR substr(c.digits, 1, length(?)) = ?)))",
        (PRESENT, -1 if size is None else size, digits[0], digits[0], digits[-1], digits[-1]),
    ).fetchall()
    for (file_id,) in rows:
        if has_content(verified_hash(library.store, file_id), autov2, autov3):
            break
    return _stored(library, digits, autov2, autov3)


def _stored(library: Library, digits: list[str], autov2: str | None, autov3: str | None) -> LoraFile | None:
    for prefix in digits:
        rows = library.store.connection().execute(
            f"SELECT {_COLUMNS} FROM files WHERE (sha256 BETWEEN ? AND ? OR autov3 BETWEEN ? AND ?) AND state = ?"
            " ORDER BY position, name",
            (prefix, prefix + "g", prefix, prefix + "g", PRESENT),
        ).fetchall()
        for file_id, root, name in rows:
            hashes = stored_hashes(library.store, file_id) or verified_hash(library.store, file_id)
            path = os.path.join(root, *name.split("/"))
            try:
                version = Fingerprint.of(path)
            except (OSError, ValueError):
                continue
            if has_content(hashes, autov2, autov3):
                return LoraFile(normalise_path(name), path, version, file_id)
    return None
