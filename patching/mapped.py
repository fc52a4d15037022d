"""Safetensors files as one mapping and a view per tensor.

Eight files of SDXL are 17,000 tensors; through the library's reader, one call each, that is half of what building a
stack costs. Whatever is unusual about a file is left to the host's own reader, which also words the errors.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from pathlib import Path
from typing import Any

import comfy.utils
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
_NOT_FINITE = {"F8_E4M3": 0x7F, "F8_E5M2": 0x7C}
"""Type that torch has no arithmetic for → the smallest positive bits that are NaN or infinite."""
_FINITE = {"F64", "F32", "F16", "BF16", *_NOT_FINITE}
"""Types that are floating-point."""
_checks = ThreadPoolExecutor(4, "lora_deck_check")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor lies in a file."""

    name: str
    kind: str
    """As the header calls its type."""
    shape: tuple[int, ...]
    begin: int
    """Bytes behind the header."""
    end: int
    strides: tuple[int, ...]
    """In elements."""
    first: int
    """Elements of its type behind the header."""

    @property
    def dtype(self) -> torch.dtype:
        """Its type."""
        return _TYPES[self.kind]


def _place(name: str, entry: Mapping[str, Any]) -> Place | None:
    """`None` where it is not what its type and shape say, not aligned, empty, or of a type that is not known here."""
    shape, (begin, end) = tuple(entry["shape"]), entry["data_offsets"]
    kind = _TYPES.get(entry["dtype"])
    if kind is None or begin < 0 or begin % kind.itemsize:
        return None
    if prod(shape) * kind.itemsize != end - begin or min(shape, default=1) <= 0:
        return None
    return Place(name, entry["dtype"], shape, begin, end, _strides(shape), begin // kind.itemsize)


class Source:
    """A mapped file as it is read past its mapping; its descriptor is open as long as anybody holds this."""

    def __init__(self, path: str, descriptor: int, start: int) -> None:
        """`descriptor`: is duplicated; `start`: bytes before the tensors."""
        self.path = path
        self.start = start
        self.handle = os.dup(descriptor)
        weakref.finalize(self, os.close, self.handle).atexit = False


_sources: dict[int, Source] = {}
"""By the address of the first tensor's bytes; none where the system has no `preadv`."""


def source_of(tensor: Tensor) -> tuple[Source, int] | None:
    """(file, bytes behind its header where the tensor begins) of a view into a mapped file, `None` for any other."""
    found = _sources.get(tensor.untyped_storage().data_ptr())
    return None if found is None else (found, int(tensor.storage_offset()) * tensor.itemsize)


@dataclass(frozen=True, eq=False)
class Table:
    """What a header says of the tensors. Files of one trainer, rank and type share it; compared by identity."""

    places: tuple[Place, ...]
    end: int
    """Of the last tensor, in bytes behind the header."""

    @cached_property
    def runs(self) -> tuple[tuple[str, int, int], ...]:
        """(type, begin, end) of neighbours of one type; alphas that are no floats are left out."""
        return tuple(_runs(self.places))


class _Values:
    """A file's bytes behind the header, as numbers."""

    def __init__(self, whole: Tensor) -> None:
        self._bytes = whole
        self._typed: dict[str, Tensor] = {}

    def of_type(self, kind: str) -> Tensor:
        """Everything behind the header as numbers of one type."""
        typed = self._typed.get(kind)
        if typed is None:
            size = _TYPES[kind].itemsize
            typed = self._typed[kind] = self._bytes[: len(self._bytes) // size * size].view(_TYPES[kind])
        return typed


@dataclass(frozen=True, eq=False)
class MappedFile:
    """A file's tensors, whose values are read where they are used."""

    table: Table
    metadata: Mapping[str, str]
    sound: Future[bool]
    """Whether all tensors but alphas are floating-point and finite."""
    source: Source | None
    """Where it is read past the mapping; `None` where the system cannot."""
    _values: _Values

    def tensors(self) -> dict[str, Tensor]:
        """All of them, by name."""
        return {place.name: self.tensor(place) for place in self.table.places}

    def tensor(self, place: Place) -> Tensor:
        """One of them."""
        return self._values.of_type(place.kind).as_strided(place.shape, place.strides, place.first)

    def numbers(self, places: Sequence[Place]) -> list[float]:
        """The values of tensors of one number each."""
        found = [0.0] * len(places)
        for kind in {place.kind for place in places}:
            of_kind = [i for i, place in enumerate(places) if place.kind == kind]
            values = self._values.of_type(kind)[torch.tensor([places[i].first for i in of_kind])]
            for i, value in zip(of_kind, values.to(torch.float64).tolist(), strict=True):
                found[i] = value
        return found


def map_file(path: str) -> MappedFile | None:
    """Maps a safetensors file; `None` where the host's own reader has to look at it."""
    if Path(path).suffix.lower() not in SAFETENSORS or getattr(comfy.utils, "DISABLE_MMAP", False):
        return None
    try:
        raw, size = read_header_bytes(path)
        metadata, rest = _split(raw.decode())
        table = _table(rest)
        start = 8 + len(raw)
        if table is None or table.end > size - start:
            return None
        source = None
        with Path(path).open("rb") as file:
            # A private mapping, because torch asks for one that may be written to; nothing writes.
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            whole = torch.frombuffer(mapped, dtype=torch.uint8, offset=start)
            if hasattr(os, "preadv"):
                address = whole.untyped_storage().data_ptr()
                source = _sources[address] = Source(path, file.fileno(), start)
                weakref.finalize(mapped, _unmapped, address, source).atexit = False
    except (HeaderError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    values = _Values(whole)
    return MappedFile(table, metadata, _checks.submit(_is_sound, values, table), source, values)


def _unmapped(address: int, source: Source) -> None:
    # The address is free before this is called, so another file may lie there by now.
    if _sources.get(address) is source:
        del _sources[address]


_METADATA = '{"__metadata__":'


def _split(header: str) -> tuple[Mapping[str, str], str]:
    """(metadata, header without it and without padding), where the metadata comes first, as the library writes it."""
    if not header.startswith(_METADATA):
        return (json.loads(header).get("__metadata__") if '"__metadata__"' in header else None) or {}, header
    metadata, end = json.JSONDecoder().raw_decode(header, len(_METADATA))
    return metadata or {}, "{" + header[end:].strip().removeprefix(",")


@lru_cache(maxsize=16)
def _table(header: str) -> Table | None:
    """`None` where anything about it is unusual; raises as `json` and missing fields do."""
    entries = json.loads(header)
    entries.pop("__metadata__", None)
    found = [_place(name, entry) for name, entry in entries.items()]
    places = tuple(place for place in found if place is not None)
    if not places or header.count('"data_offsets"') != len(places):
        return None
    return Table(places, max(place.end for place in places))


@lru_cache(maxsize=4096)
def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(prod(shape[i + 1 :]) for i in range(len(shape)))


def _is_sound(values: _Values, table: Table) -> bool:
    """One call for each run of tensors: many short ones would wait for the interpreter that reads the next file."""
    for kind, begin, end in table.runs:
        if kind not in _FINITE:
            return False
        run = values.of_type(kind)[begin // _TYPES[kind].itemsize : end // _TYPES[kind].itemsize]
        if kind in _NOT_FINITE:
            if not _is_finite_byte(run.view(torch.uint8), _NOT_FINITE[kind]):
                return False
        elif not all(math.isfinite(value) for value in torch.aminmax(run)):
            # A NaN is both the smallest and the largest.
            return False
    return True


def _is_finite_byte(run: Tensor, least: int) -> bool:
    signed = run.view(torch.int8).numpy()
    return bool(signed.max() < least and signed.view("u1").max() < least + 0x80)


def _runs(places: Sequence[Place]) -> Iterator[tuple[str, int, int]]:
    run: list[Any] = []
    for place in sorted(places, key=lambda p: p.begin):
        if place.name.endswith("alpha") and place.kind not in _FINITE:
            continue
        if run and run[0] == place.kind and run[2] == place.begin:
            run[2] = place.end
        else:
            if run:
                yield run[0], run[1], run[2]
            run = [place.kind, place.begin, place.end]
    if run:
        yield run[0], run[1], run[2]
