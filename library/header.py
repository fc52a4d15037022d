"""The header of a safetensors file, read without touching the tensors behind it.

Format: 8 bytes little-endian length N, N bytes of JSON `{name: {dtype, shape, data_offsets}, "__metadata__": {…}}`,
then the data. https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import gc
import json
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from operator import gt
from typing import Any

from .problems import Problem, os_reason
from .regular import open_regular

MAX_HEADER = 25_000_000
"""Bytes. The format allows 100 MB; a header beyond this is no LoRA's and would cost a gigabyte of memory to read."""

SAFETENSORS = (".safetensors", ".sft")

_FIRST_READ = 64 * 1024


@dataclass(frozen=True, slots=True)
class Header:
    """What the header says."""

    metadata: Mapping[str, str]
    """`__metadata__`; values that are no strings, against the format, are kept as their JSON text."""
    shapes: Mapping[str, tuple[int, ...]]
    """Tensor name → shape."""
    data_start: int
    """Offset of the first byte after the header."""


class HeaderError(ValueError):
    """The header cannot be used; `problem` says why."""

    def __init__(self, code: str, reason: str) -> None:
        self.problem = Problem("file", code, reason)
        super().__init__(reason)


def read_header(path: str | os.PathLike[str]) -> Header:
    """Reads and checks the header.

    Raises:
        HeaderError: the file cannot be opened, or is no whole safetensors file.
    """
    raw, size = read_header_bytes(path)
    return parse_header(raw, size)


def read_header_bytes(path: str | os.PathLike[str]) -> tuple[bytes, int]:
    """The JSON bytes of the header and the size of the file in bytes. Raises `HeaderError`."""
    try:
        handle = open_regular(path)
    except (OSError, ValueError) as error:
        reason = os_reason(error) if isinstance(error, OSError) else str(error)
        raise HeaderError("unreadable", f"The file cannot be opened: {reason}.") from error
    try:
        size = os.fstat(handle).st_size
        first = os.read(handle, _FIRST_READ)
        if not first:
            raise HeaderError("empty", "The file is empty. Download it again.")
        if len(first) < 8:
            raise HeaderError("truncated", "The file is cut short. Download it again.")
        (length,) = struct.unpack("<Q", first[:8])
        if length > size - 8:
            if first.lstrip()[:1] == b"<":
                raise HeaderError("not_safetensors", "This is a web page, not a LoRA file. Download it again.")
            raise HeaderError("truncated", "The header is longer than the file: cut short, or no safetensors file.")
        if length > MAX_HEADER:
            raise HeaderError("header_too_large", f"The header has {length:,} bytes; up to {MAX_HEADER:,} are read.")
        if length <= len(first) - 8:
            return first[8 : 8 + length], size
        parts, missing = [first[8:]], length - len(first) + 8
        while missing:
            part = os.read(handle, missing)
            if not part:
                raise HeaderError("truncated", "The file is cut short. Download it again.")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts), size
    except OSError as error:
        raise HeaderError("unreadable", f"The file cannot be read: {os_reason(error)}.") from error
    finally:
        os.close(handle)


def parse_header(raw: bytes, size: int) -> Header:
    """`raw`: the JSON bytes; `size`: bytes of the whole file. Raises `HeaderError`."""
    with uncollected():
        return _parsed(raw, size)


@contextmanager
def uncollected() -> Iterator[None]:
    """Holds the cycle collector for as long as headers are parsed.

    A header is thousands of small objects without a cycle; the collector would run several times over them and all
    else that the process holds, which made up a quarter of a scan of 50,000 files.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _parsed(raw: bytes, size: int) -> Header:
    try:
        content = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise HeaderError("not_json", "The header is not readable: it holds no JSON text.") from error
    if not isinstance(content, dict):
        raise HeaderError("not_json", "The header is not readable: it holds no JSON object.")
    metadata = content.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        raise HeaderError("not_json", "The header is not readable: its metadata are no JSON object.")
    shapes, end = _tensors(content)
    # Counting is far cheaper than a hook for every object; only a difference is looked into.
    if raw.count(b'"data_offsets"') != len(shapes) and (twice := _duplicate(raw)) is not None:
        raise HeaderError("duplicate_keys", f"The header names {_short(twice)} twice. The file is damaged.")
    start = 8 + len(raw)
    if start + end > size:
        raise HeaderError(
            "truncated", f"The file is cut short: {start + end - size:,} bytes are missing. Download it again."
        )
    return Header({k: v if isinstance(v, str) else _as_text(v) for k, v in metadata.items()}, shapes, start)


def _tensors(content: dict[str, Any]) -> tuple[dict[str, tuple[int, ...]], int]:
    """(shapes, end of the last tensor); whole passes in C, because a scan spends its time here."""
    try:
        shapes = {name: tuple(entry["shape"]) for name, entry in content.items()}
        places = [entry["data_offsets"] for entry in content.values()]
        begins, ends = zip(*places, strict=True) if places else ((0,), (0,))
        wrong = min(begins) < 0 or any(map(gt, begins, ends))
        last = max(ends)
    except (TypeError, KeyError, ValueError, IndexError) as error:
        raise HeaderError("not_json", "The header is not readable: a tensor's entry makes no sense.") from error
    if wrong or not isinstance(last, int):
        raise HeaderError("offsets", "A tensor lies at a place that makes no sense. The file is damaged.")
    return shapes, last


def _duplicate(raw: bytes) -> str | None:
    """The first key that stands twice in one object of the header's JSON."""
    found: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: set[str] = set()
        for key, _ in items:
            if key in seen:
                found.append(key)
            seen.add(key)
        return dict(items)

    json.loads(raw, object_pairs_hook=pairs)
    return found[0] if found else None


def _short(name: str) -> str:
    return repr(name if len(name) <= 80 else name[:77] + "…")


def _as_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
