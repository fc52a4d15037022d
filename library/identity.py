"""What tells one file from all others wherever it lies: its name here, its size and its hashes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .files import LoraFile
from .hashing import Hashes
from .library import Library
from .sums import verified_hash


@dataclass(frozen=True, slots=True)
class Identity:
    """A file, as it can be found again on another machine."""

    path: str
    """Below its LoRA folder, with `/` and extension."""
    size: int
    """Bytes."""
    hashes: Hashes | None = None
    """`None` where they are not known."""
    base_model: str | None = None
    """Name of the architecture by the keys."""

    def to_json(self) -> dict[str, Any]:
        known = self.hashes
        return {
            "file": self.path,
            "size": self.size,
            "sha256": known.sha256 if known else None,
            "autov2": known.autov2 if known else None,
            "autov3": known.autov3 if known else None,
            "base_model": self.base_model,
        }


def identity(library: Library, file: LoraFile) -> Identity:
    """The identity of a resolved file; its hashes are computed now where they are not known.

    Blocks for as long as the file takes to read.
    """
    row = library.store.connection().execute("SELECT architecture FROM files WHERE id = ?", (file.id,)).fetchone()
    return Identity(
        file.name, file.fingerprint.size, verified_hash(library.store, file.id) if file.id else None,
        (row[0] or None) if row else None,
    )  # fmt: skip
