"""The two hashes of a file, in one pass."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .facts import EMPTY_SHA256
from .header import SAFETENSORS
from .regular import open_regular

CHUNK = 4 * 1024 * 1024
"""Bytes read at once; hashlib lets other threads run meanwhile."""


class Cancelled(Exception):
    """The pass was stopped before its end."""


@dataclass(frozen=True, slots=True)
class Hashes:
    """Lower-case hexadecimal digits, 64 of them."""

    sha256: str
    """Of the whole file; its first 10 are AutoV2."""
    data_sha256: str | None
    """Of the bytes behind the header, safetensors only; its first 12 are AutoV3. `None` where there are none."""

    @property
    def autov2(self) -> str:
        return self.sha256[:10]

    @property
    def autov3(self) -> str | None:
        return self.data_sha256[:12] if self.data_sha256 else None

    @property
    def infotext(self) -> str:
        """What A1111 writes as `Lora hashes`: AutoV3, or 12 digits of the file's hash where there is none."""
        return self.autov3 or self.sha256[:12]


def hash_file(path: str | Path, progress: Callable[[int], None] = lambda read: None,
              stop: Callable[[], bool] = lambda: False) -> Hashes:  # fmt: skip
    """Reads the file once. `progress`: told the bytes read since it was last told; `stop`: asked before every chunk.

    Raises:
        Cancelled: `stop` said so.
        OSError: the file cannot be read.
    """
    whole, data = hashlib.sha256(), hashlib.sha256()
    safetensors = os.fspath(path).lower().endswith(SAFETENSORS)
    with os.fdopen(open_regular(path), "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        buffer = memoryview(bytearray(min(CHUNK, max(size, 8))))
        skip = size
        position = 0
        while read := file.readinto(buffer):
            if stop():
                raise Cancelled(os.fspath(path))
            chunk = buffer[:read]
            if position == 0 and safetensors and read >= 8:
                skip = 8 + struct.unpack("<Q", chunk[:8])[0]
            whole.update(chunk)
            data.update(chunk if position >= skip else chunk[min(skip - position, read) :])
            position += read
            progress(read)
    behind = data.hexdigest()
    return Hashes(whole.hexdigest(), behind if behind != EMPTY_SHA256 else None)
