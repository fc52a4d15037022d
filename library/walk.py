"""Lists folders and stats their entries, without opening a file."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from .beside import Entry, digest
from .problems import os_reason

SKIPPED = frozenset({".git"})
"""Names of folders that the host does not look into either."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One folder as it was found."""

    root: str
    folder: str
    """Below root, with `/`; empty for root itself."""
    path: str
    real: str
    device: int
    mtime_ns: int
    entries: tuple[Entry, ...]
    """Files by name, in a fixed order."""
    has_folders: bool = False
    error: str = ""
    """Why it cannot be listed; then there are no entries."""

    @property
    def digest(self) -> str:
        """Changes when a file is added, removed or replaced, or the folder leads elsewhere."""
        return digest((Entry(self.real, self.device, 0), *self.entries))


def walk(root: str) -> Iterator[Listing]:
    """Every folder below `root` (and itself), links followed, a link back to a folder above it left out."""
    todo: list[tuple[str, str, frozenset[tuple[int, int]]]] = [(root, "", frozenset())]
    while todo:
        path, folder, above = todo.pop()
        try:
            status = os.stat(path)
            me = (status.st_dev, status.st_ino)
            if me in above and status.st_ino:
                continue
            folders, entries = _list(path)
        except (OSError, ValueError) as error:
            reason = os_reason(error) if isinstance(error, OSError) else str(error)
            yield Listing(root, folder, path, path, 0, 0, (), error=reason)
            continue
        real = os.path.realpath(path)
        yield Listing(root, folder, path, real, status.st_dev, status.st_mtime_ns, entries, bool(folders))
        below = above | {me}
        for name in reversed(folders):
            if name not in SKIPPED:
                todo.append((os.path.join(path, name), f"{folder}/{name}" if folder else name, below))


def _list(path: str) -> tuple[list[str], tuple[Entry, ...]]:
    folders: list[str] = []
    files: list[Entry] = []
    with os.scandir(path) as found:
        for entry in found:
            try:
                if entry.is_dir():
                    folders.append(entry.name)
                    continue
                status = entry.stat()
            except OSError as error:
                files.append(Entry(entry.name, -1, 0, error=_unreachable(error), is_link=True))
                continue
            error_text = "" if stat.S_ISREG(status.st_mode) else "This is no regular file."
            link = entry.is_symlink()
            files.append(Entry(entry.name, status.st_size, status.st_mtime_ns, status.st_ino, error_text, link))
    folders.sort()
    files.sort(key=_name)
    return folders, tuple(files)


def _name(entry: Entry) -> str:
    return entry.name


def _unreachable(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "This link leads back to itself."
    if error.errno == errno.ENOENT:
        return "This link leads nowhere."
    return f"The file cannot be reached: {os_reason(error)}."
