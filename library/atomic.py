"""Writing a file so that whoever reads it, at any moment and after any crash, finds the old one or the new one."""

from __future__ import annotations

import os
import secrets
import stat
import time
from pathlib import Path

_MARK = ".lora-deck-"
_LEFT_OVER_SECONDS = 3600


def write_atomically(path: Path, content: bytes) -> None:
    """Temp file in the same folder, fsync, rename, fsync of the folder. Keeps the mode of what it replaces.

    Raises:
        OSError: nothing was changed.
    """
    temporary = path.with_name(f"{_MARK}{secrets.token_hex(8)}.tmp")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            temporary.chmod(stat.S_IMODE(path.stat().st_mode))
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def remove_left_overs(folder: Path) -> None:
    """Removes temp files that a killed process left in the folder an hour ago or earlier."""
    for path in folder.glob(f"{_MARK}*.tmp"):
        try:
            if time.time() - path.stat().st_mtime > _LEFT_OVER_SECONDS:
                path.unlink()
        except OSError:
            continue  # Another process was quicker, or the folder is read-only: it stays.


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):
        return  # Windows syncs a folder with its files.
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError:
        return  # Some network file systems have no sync for folders.
    finally:
        os.close(handle)
