"""Safetensors files as one mapping and a view per tensor.

Eight files of SDXL are 17,000 tensors; through the library's reader, one call each, that is half of what building a
stack costs. Whatever is unusual about a file is left to the host's own reader, which also words the errors.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import comfy.utils
import numpy as np
import torch
from torch import Tensor

from ..library.header import SAFETENSORS, HeaderError, read_header_bytes

_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
}
_NOT_FINITE = {
    "F64": (8, 0x7FF0_0000_0000_0000),
    "F32": (4, 0x7F80_0000),
    "F16": (2, 0x7C00),
    "BF16": (2, 0x7F80),
    "F8_E4M3": (1, 0x7F),
    "F8_E5M2": (1, 0x7C),
}
"""Type → (bytes, the smallest positive bits that are NaN or infinite)."""
_CHUNK = 1 << 19
"""Bytes that stay in a core's cache between two passes."""
_checks = ThreadPoolExecutor(4, "lora_deck_check")


@dataclass(frozen=True, slots=True)
class MappedFile:
    """A file's tensors, whose values are read where they are used."""

    tensors: dict[str, Tensor]
    metadata: Mapping[str, str]
    sound: Future[bool]
    """Whether all tensors but alphas are floating-point and finite."""


def map_file(path: str) -> MappedFile | None:
    """Maps a safetensors file; `None` where the host's own reader has to look at it."""
    if Path(path).suffix.lower() not in SAFETENSORS or getattr(comfy.utils, "DISABLE_MMAP", False):
        return None
    try:
        raw, size = read_header_bytes(path)
        entries = json.loads(raw)
        metadata = entries.pop("__metadata__", None) or {}
        start = 8 + len(raw)
        places = [_Place(name, e["dtype"], tuple(e["shape"]), *e["data_offsets"]) for name, e in entries.items()]
        if not places or raw.count(b'"data_offsets"') != len(places) or not all(p.fits(size - start) for p in places):
            return None
        with Path(path).open("rb") as file:
            # A private mapping, because torch asks for one that may be written to; nothing writes.
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except (HeaderError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    whole = torch.frombuffer(mapped, dtype=torch.uint8, offset=start)
    typed: dict[str, Tensor] = {}
    tensors: dict[str, Tensor] = {}
    for place in places:
        kind = place.kind
        if kind not in typed:
            size = _TYPES[kind].itemsize
            typed[kind] = whole[: len(whole) // size * size].view(_TYPES[kind])
        size = _TYPES[kind].itemsize
        tensors[place.name] = typed[kind].as_strided(place.shape, _strides(place.shape), place.begin // size)
    return MappedFile(tensors, metadata, _checks.submit(_is_sound, mapped, start, places))


@dataclass(frozen=True, slots=True)
class _Place:
    name: str
    kind: str
    shape: tuple[int, ...]
    begin: int
    end: int

    def fits(self, size: int) -> bool:
        kind = _TYPES.get(self.kind)
        if kind is None or self.begin < 0 or self.begin % kind.itemsize or self.end > size:
            return False
        return prod(self.shape) * kind.itemsize == self.end - self.begin and min(self.shape, default=1) > 0


@lru_cache(maxsize=4096)
def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(prod(shape[i + 1 :]) for i in range(len(shape)))


def _is_sound(mapped: Any, start: int, places: list[_Place]) -> bool:
    for kind, begin, end in _runs(places):
        if kind not in _NOT_FINITE:
            return False
        size, least = _NOT_FINITE[kind]
        # Read as numbers with a sign the bits of positive values keep their order, read without one those of negatives.
        for first in range(begin, end, _CHUNK):
            count = (min(first + _CHUNK, end) - first) // size
            signed = np.frombuffer(mapped, f"<i{size}", count, start + first)
            if signed.max() >= least or signed.view(f"<u{size}").max() >= least + (1 << (8 * size - 1)):
                return False
    return True


def _runs(places: list[_Place]) -> Iterator[tuple[str, int, int]]:
    """(type, begin, end) of neighbours of one type; alphas that are no floats are not looked at."""
    run: list[Any] = []
    for place in sorted(places, key=lambda p: p.begin):
        if place.name.endswith("alpha") and place.kind not in _NOT_FINITE:
            continue
        if run and run[0] == place.kind and run[2] == place.begin:
            run[2] = place.end
        else:
            if run:
                yield run[0], run[1], run[2]
            run = [place.kind, place.begin, place.end]
    if run:
        yield run[0], run[1], run[2]
