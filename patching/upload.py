"""Factors from their files to a device, read past the mapping.

A page of a mapping costs a fault and a tensor a call; a file that is read in large pieces costs neither, and its
factors are put together where copying is cheap. What lies in no mapped file is copied tensor by tensor.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ..stack.errors import LoraFileError
from .lying import Lying, Piece
from .mapped import Source

logger = logging.getLogger("lora_deck")

Pair = tuple[Tensor, Tensor]
"""(U, D): (out, Σ rank) and (Σ rank, in · kernel)."""

_READERS = 8
_PIECE = 1 << 23
"""Bytes that a reader takes at once; each has as much pinned memory."""
_BATCH = 1 << 27
"""Bytes on the device that are not put together yet, if more than one weight's factors are among them; twice as many
while the next are read."""
_GAP = 1 << 12
"""Bytes between two factors that are read along."""
_COPIERS = 4
_COPIED = 1 << 26
"""Bytes that go to the device at once where factors are copied tensor by tensor."""


class Wanted(Protocol):
    """The factors of one weight, of several LoRAs."""

    parts: tuple[Lying, ...]

    @property
    def dtype(self) -> torch.dtype:
        """That they have on the device."""

    @property
    def size(self) -> int:
        """Bytes on the device."""


_Span = tuple[tuple[Source, ...], int, int]
"""(files, first byte of a tensor in each, byte after its last), behind their headers."""
_Pieces = tuple[list[Piece], list[Piece]]
"""The ups and the downs of one weight."""


@dataclass(frozen=True, slots=True)
class _Job:
    """Bytes of a file that are read at once, and where they go in the batch's memory."""

    source: Source
    begin: int
    length: int
    to: int


@dataclass(frozen=True, slots=True)
class _Batch:
    """Factors whose bytes are on their way."""

    items: Sequence[tuple[int, _Pieces]]
    """(number, where they lie)."""
    memory: Tensor
    places: Mapping[_Span, tuple[int, int]]
    """(first byte in memory, bytes from there to the same of the next file)."""
    reading: Sequence[Future[None]]


def empty(wanted: Wanted, device: torch.device) -> Pair:
    """Memory for the factors, side by side.

    Raises:
        torch.cuda.OutOfMemoryError: there is none.
    """
    rows, columns = wanted.parts[0].shape
    rank = sum(rank for part in wanted.parts for rank in part.ranks)
    # The host runs nodes in inference mode, and other threads, which are not in it, write here.
    with torch.inference_mode(False):
        return (
            torch.empty((rows, rank), dtype=wanted.dtype, device=device),
            torch.empty((rank, columns), dtype=wanted.dtype, device=device),
        )


def filled(
    wanted: Sequence[Wanted], pairs: Sequence[Pair], device: torch.device, stream: Any = None
) -> Generator[list[int]]:
    """Reads factors into their memory; the numbers of those that are there, whatever stream uses them.

    `pairs`: as `empty` made them; `stream`: the `torch.cuda.Stream` in which it did.

    Raises:
        torch.cuda.OutOfMemoryError: there is no room to put them together.
        LoraFileError: a file has become shorter; its mapping must not be touched either.
    """
    left = dict.fromkeys(range(len(wanted)))
    with torch.inference_mode(False), torch.no_grad(), _on(device, stream):
        try:
            for numbers in _read(wanted, pairs, device, stream):
                _wait(device)
                for number in numbers:
                    del left[number]
                yield numbers
        except OSError as error:
            logger.warning("A LoRA file could not be read again (%s); its mapping is used.", error)
        for numbers in _batches(wanted, left, _COPIED * _COPIERS):
            _copy(wanted, pairs, numbers, device, stream)
            _wait(device)
            yield numbers


def _on(device: torch.device, stream: Any) -> AbstractContextManager[Any]:
    return torch.cuda.stream(stream) if device.type == "cuda" else nullcontext()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.current_stream(device).record_event().synchronize()


def _read(wanted: Sequence[Wanted], pairs: Sequence[Pair], device: torch.device, stream: Any) -> Iterator[list[int]]:
    """The numbers of those that lie in mapped files in the type that the device gets, as they are put together."""
    lying = {number: pieces for number, one in enumerate(wanted) if (pieces := _pieces(one)) is not None}
    reader = _Reader(device, stream)
    pool = ThreadPoolExecutor(_READERS, "lora_deck_read")
    try:
        ahead: _Batch | None = None
        for numbers in _batches(wanted, lying, _BATCH):
            batch = _begin([(i, lying[i]) for i in numbers], device, reader, pool)
            if ahead is not None:
                yield _joined(ahead, pairs)
            ahead = batch
        if ahead is not None:
            yield _joined(ahead, pairs)
    finally:
        pool.shutdown(cancel_futures=True)


class _Reader:
    """Reads pieces of files into a device's memory; each thread has pinned memory of its own."""

    def __init__(self, device: torch.device, stream: Any) -> None:
        self._device = device
        self._stream = stream
        self._local = threading.local()

    def read(self, job: _Job, memory: Tensor) -> None:
        """Raises `OSError`, and `LoraFileError` where the file has become shorter."""
        with _on(self._device, self._stream):
            staged = getattr(self._local, "staged", None)
            if staged is None:
                pinned = self._device.type == "cuda"
                staged = self._local.staged = torch.empty(_PIECE, dtype=torch.uint8, pin_memory=pinned)
            _fill(staged[: job.length], job)
            memory[job.to : job.to + job.length].copy_(staged[: job.length], non_blocking=True)
            _wait(self._device)


def _fill(memory: Tensor, job: _Job) -> None:
    room = memoryview(memory.numpy())  # type: ignore[arg-type]
    done = 0
    while done < job.length:
        count = os.preadv(job.source.handle, [room[done:]], job.begin + done)
        if not count:
            raise LoraFileError(job.source.path, "has become shorter while it was in use. Download or copy it again.")
        done += count


def _pieces(factors: Wanted) -> _Pieces | None:
    """`None` where one of them lies in no mapped file, or in another type than the device gets."""
    found: _Pieces = ([], [])
    for part in factors.parts:
        pieces = part.pieces() if part.kinds == {factors.dtype} else None
        if pieces is None:
            return None
        for piece, side in zip(pieces, found, strict=True):
            side.append(piece)
    return found


def _span(piece: Piece) -> _Span:
    return piece.sources, piece.begin, piece.end


def _begin(
    items: Sequence[tuple[int, _Pieces]], device: torch.device, reader: _Reader, pool: ThreadPoolExecutor
) -> _Batch:
    places, jobs, size = _arranged({_span(piece) for _, both in items for some in both for piece in some})
    memory = torch.empty(size, dtype=torch.uint8, device=device)
    return _Batch(items, memory, places, [pool.submit(reader.read, job, memory) for job in jobs])


def _arranged(spans: Iterable[_Span]) -> tuple[dict[_Span, tuple[int, int]], list[_Job], int]:
    """(span → place in memory, what to read, bytes of memory)."""
    by_files: dict[tuple[Source, ...], list[_Span]] = {}
    for span in spans:
        by_files.setdefault(span[0], []).append(span)
    places: dict[_Span, tuple[int, int]] = {}
    jobs: list[_Job] = []
    size = 0
    for sources, own in by_files.items():
        own.sort(key=lambda span: span[1:])
        offsets, ranges, block = _close(own)
        places.update((span, (size + offset, block)) for span, offset in offsets.items())
        for source in sources:
            jobs.extend(
                _Job(source, source.start + first, min(_PIECE, end - first), size + to + first - begin)
                for begin, end, to in ranges
                for first in range(begin, end, _PIECE)
            )
            size += block
    return places, jobs, size


def _close(spans: Sequence[_Span]) -> tuple[dict[_Span, int], list[tuple[int, int, int]], int]:
    """(span → place in a block of memory, (begin, end, place) of what is read at once, bytes of the block).

    `spans`: of the same files, by place.
    """
    offsets: dict[_Span, int] = {}
    ranges: list[tuple[int, int, int]] = []
    size = 0
    i = 0
    while i < len(spans):
        _, first, end = spans[i]
        base = size - first
        while i < len(spans) and spans[i][1] <= end + _GAP:
            offsets[spans[i]] = base + spans[i][1]
            end = max(end, spans[i][2])
            i += 1
        ranges.append((first, end, size))
        # The next starts where numbers of any type may.
        size = (base + end + 15) // 16 * 16
    return offsets, ranges, size


def _joined(batch: _Batch, pairs: Sequence[Pair]) -> list[int]:
    for reading in batch.reading:
        reading.result()
    for number, both in batch.items:
        memory = batch.memory.view(pairs[number][0].dtype)
        for pieces, whole, dim in zip(both, pairs[number], (1, 0), strict=True):
            start = 0
            for piece in pieces:
                found = _there(memory, batch.places[_span(piece)], piece)
                width = found.shape[0] * found.shape[dim + 1]
                part = whole if width == whole.shape[dim] else whole.narrow(dim, start, width)
                rows, columns = part.shape
                by_file = part.view(rows, len(found), -1).movedim(1, 0) if dim else part.view(len(found), -1, columns)
                by_file.copy_(found)
                start += width
    return [number for number, _ in batch.items]


def _there(memory: Tensor, place: tuple[int, int], piece: Piece) -> Tensor:
    """(files, rows, columns): a tensor's copies from their first byte in `memory` on."""
    first, step = (bytes_ // memory.itemsize for bytes_ in place)
    found = memory.as_strided((len(piece.sources), *piece.shape), (step, *piece.strides), first)
    return found if found.ndim == 3 else found.flatten(2)


def _beside(parts: Sequence[Tensor], dim: int, whole: Tensor) -> None:
    if len(parts) > 1:
        torch.cat(list(parts), dim, out=whole)
    else:
        whole.copy_(parts[0])


def _batches(wanted: Sequence[Wanted], numbers: Mapping[int, Any], most: int) -> Iterator[list[int]]:
    """The numbers in order, as many of one type together as have `most` bytes."""
    batch: list[int] = []
    size = 0
    for i in list(numbers):
        if batch and (size + wanted[i].size > most or wanted[i].dtype != wanted[batch[0]].dtype):
            yield batch
            batch, size = [], 0
        batch.append(i)
        size += wanted[i].size
    if batch:
        yield batch


def _copy(
    wanted: Sequence[Wanted], pairs: Sequence[Pair], numbers: Sequence[int], device: torch.device, stream: Any
) -> None:
    """Many factors in one copy to pinned memory and one to the device.

    Copies of single factors take longer than the transfer: their threads wait for the interpreter.
    """

    def copy(some: Sequence[int]) -> None:
        factors = {i: [pair for part in wanted[i].parts for pair in part.tensors()] for i in some}
        sides = [(i, both) for i, found in factors.items() for both in found]
        order = [(i, tensor, dim) for i, both in sides for tensor, dim in zip(both, (1, 0), strict=True)]
        with torch.inference_mode(False), torch.no_grad(), _on(device, stream):
            there = _sent(torch.cat([tensor.flatten().to(wanted[i].dtype) for i, tensor, _ in order]), device)
            views: dict[tuple[int, int], list[Tensor]] = {}
            start = 0
            for i, tensor, dim in order:
                end = start + tensor.numel()
                views.setdefault((i, dim), []).append(there[start:end].view(tensor.shape[0], -1))
                start = end
            for (i, dim), parts in views.items():
                _beside(parts, dim, pairs[i][0 if dim else 1])

    with ThreadPoolExecutor(_COPIERS) as pool:
        list(pool.map(copy, _batches(wanted, dict.fromkeys(numbers), _COPIED)))


def _sent(flat: Tensor, device: torch.device) -> Tensor:
    return flat.pin_memory().to(device) if device.type == "cuda" else flat.to(device)
