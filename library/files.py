"""A LoRA file as a value: where it lies and which version of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Tells one version of a file from the next without reading it."""

    size: int
    """Bytes."""
    mtime_ns: int

    @classmethod
    def of(cls, path: str | Path) -> Fingerprint:
        """Raises `OSError` where the file cannot be reached."""
        stat = Path(path).stat()
        return cls(stat.st_size, stat.st_mtime_ns)


ABSENT = Fingerprint(-1, -1)
"""Of a file that is not there."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A version of a file whose change changes a result."""

    path: str
    fingerprint: Fingerprint

    @classmethod
    def of(cls, path: str | Path) -> Watched:
        """The version that lies there now, `ABSENT` where there is none."""
        try:
            return cls(str(path), Fingerprint.of(path))
        except OSError:
            return cls(str(path), ABSENT)


@dataclass(frozen=True, slots=True)
class LoraFile:
    """A resolved name."""

    name: str
    """Path below its LoRA folder, with `/` and extension."""
    path: str
    """Where the file lies."""
    fingerprint: Fingerprint
    id: int = 0
    """Its number in the index, as the API uses it; 0 for a file that is not in it."""
    hides: tuple[str, ...] = ()
    """Other files of the same relative path, in folders that the host lists later: for the report."""
