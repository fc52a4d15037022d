"""Lists folders and stats their entries, without opening a file."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from .beside import Entry
from .problems import os_reason

SKIPPED = frozenset({".git"})
"""Names of folders that the host does not look into either."""


Raw = tuple[str, int, int, int, int, bool]
"""Name, size, mtime_ns, inode, mode, whether it is a link; for an entry that cannot be reached -1, 0, 0, -errno."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One folder as it was found."""

    root: str
    folder: str
    """Below root, with `/`; empty for root itself."""
    path: str
    device: int
    inode: int
    mtime_ns: int
    raw: list[Raw]
    """Its files, by name."""
    has_folders: bool = False
    error: str = ""
    """Why it cannot be listed; then there are no files."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        return tuple(_entry(raw) for raw in self.raw)

    @property
    def real(self) -> str:
        return os.path.realpath(self.path)

    @property
    def digest(self) -> str:
        """Changes when a file is added, removed or replaced, or the folder leads elsewhere."""
        files = "\n".join([f"{name}\0{size}\0{mtime_ns}" for name, size, mtime_ns, *_ in self.raw])
        text = f"{self.device} {self.inode}\n{files}"
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def walk(root: str) -> Iterator[Listing]:
    """Every folder below `root` (and itself), links followed, a link back to a folder above it left out."""
    todo: list[tuple[str, str, tuple[tuple[int, int], ...]]] = [(root, "", ())]
    while todo:
        path, folder, above = todo.pop()
        try:
            status = os.stat(path)
            me = (status.st_dev, status.st_ino)
            if me in above and status.st_ino:
                continue
            folders, files = _list(path)
        except (OSError, ValueError) as error:
            reason = os_reason(error) if isinstance(error, OSError) else str(error)
            yield Listing(root, folder, path, 0, 0, 0, [], error=reason)
            continue
        yield Listing(root, folder, path, *me, status.st_mtime_ns, files, bool(folders))
        below = (*above, me)
        for name in reversed(folders):
            if name not in SKIPPED:
                todo.append((os.path.join(path, name), f"{folder}/{name}" if folder else name, below))


def _list(path: str) -> tuple[list[str], list[Raw]]:
    """Plain tuples: of most folders only the digest is wanted, and a scan of 50,000 files spends its time here."""
    folders: list[str] = []
    files: list[Raw] = []
    with os.scandir(path) as found:
        for entry in found:
            try:
                if entry.is_dir():
                    folders.append(entry.name)
                    continue
                s = entry.stat()
            except OSError as error:
                files.append((entry.name, -1, 0, 0, -(error.errno or errno.EIO), True))
                continue
            files.append((entry.name, s.st_size, s.st_mtime_ns, s.st_ino, s.st_mode, entry.is_symlink()))
    folders.sort()
    files.sort()
    return folders, files


def _entry(raw: Raw) -> Entry:
    name, size, mtime_ns, inode, mode, link = raw
    if mode < 0:
        return Entry(name, size, mtime_ns, error=_unreachable(-mode), is_link=True)
    error = "" if stat.S_ISREG(mode) else "This is no regular file."
    return Entry(name, size, mtime_ns, inode, error, link)


def _unreachable(number: int) -> str:
    if number == errno.ELOOP:
        return "This link leads back to itself."
    if number == errno.ENOENT:
        return "This link leads nowhere."
    return f"The file cannot be reached: {os.strerror(number)}."


def list_folder(path: str) -> tuple[Entry, ...]:
    """The files of one folder. Raises `OSError`."""
    return tuple(_entry(raw) for raw in _list(path)[1])
