"""Opening files that anybody may have put there: a pipe or a device with a LoRA's name must not hang a scan."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

READ_ONLY = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def open_regular(path: str | os.PathLike[str]) -> int:
    """A descriptor for reading.

    Raises:
        IsADirectoryError: it is a folder.
        OSError: it cannot be opened or is no regular file.
        ValueError: the path holds a NUL.
    """
    handle = os.open(path, READ_ONLY)
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return handle
    os.close(handle)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", os.fspath(path))
    raise OSError(errno.EINVAL, "it is no regular file", os.fspath(path))


def read_start(path: Path, limit: int) -> bytes:
    """Up to `limit` bytes from the start. Raises like `open_regular`."""
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read(limit)
