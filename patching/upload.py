"""Factors from their files to a device, read past the mapping.

A page of a mapping costs a fault and a tensor a call; a file that is read in large pieces costs neither, and its
factors are put together where copying is cheap. What lies in no mapped file is copied tensor by tensor.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..stack.errors import LoraFileError
from .mapped import Source, source_of

logger = logging.getLogger("lora_deck")

Pair = tuple[Tensor, Tensor]
"""(U, D): (out, Σ rank) and (Σ rank, in · kernel)."""

_READERS = 8
_PIECE = 1 << 25
"""Bytes that a reader takes at once; each has as much pinned memory."""
_BATCH = 1 << 29
"""Bytes on the device that are not put together yet, if more than one weight's factors are among them; twice as many
while the next are read."""
_GAP = 1 << 12
"""Bytes between two factors that are read along."""
_COPIERS = 4
_COPIED = 1 << 26
"""Bytes that go to the device at once where factors are copied tensor by tensor."""


class FactorTensors(Protocol):
    """The factors of one weight, of several LoRAs."""

    ups: tuple[Tensor, ...]
    """Each (out, rank[, 1…])"""
    downs: tuple[Tensor, ...]
    """Each (rank, in[, kernel…])"""
    ranks: tuple[int, ...]

    @property
    def dtype(self) -> torch.dtype:
        """That they have on the device."""

    @property
    def size(self) -> int:
        """Bytes on the device."""


_Span = tuple[Source, int, int]
"""(file, first byte of a tensor, byte after its last)."""
_Spans = tuple[list[_Span], list[_Span]]
"""Of the ups and of the downs of one weight."""


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

    items: Sequence[tuple[int, FactorTensors, _Spans]]
    """(number, factors, where they lie)."""
    memory: Tensor
    places: Mapping[_Span, int]
    reading: Sequence[Future[None]]


def uploaded(wanted: Sequence[FactorTensors], device: torch.device) -> list[Pair]:
    """The factors of each, side by side on `device`, in memory of their own.

    Raises:
        torch.cuda.OutOfMemoryError: they do not fit.
        LoraFileError: a file has become shorter; its mapping must not be touched either.
    """
    found: dict[int, Pair] = {}
    # The host runs nodes in inference mode, and other threads, which are not in it, write here.
    with torch.inference_mode(False), torch.no_grad():
        try:
            found.update(_read(wanted, device))
        except OSError as error:
            logger.warning("A LoRA file could not be read again (%s); its mapping is used.", error)
        rest = [i for i in range(len(wanted)) if i not in found]
        found.update(zip(rest, _copied([wanted[i] for i in rest], device), strict=True))
    return [found[i] for i in range(len(wanted))]


def _read(wanted: Sequence[FactorTensors], device: torch.device) -> Iterator[tuple[int, Pair]]:
    """(number, factors) of those that lie in mapped files in the type that the device gets."""
    reader = _Reader(device)
    pool = ThreadPoolExecutor(_READERS, "lora_deck_read")
    try:
        ahead: _Batch | None = None
        for numbers in _batches(wanted, _BATCH):
            lying = ((i, wanted[i], _spans(wanted[i])) for i in numbers)
            batch = _begin([(i, one, spans) for i, one, spans in lying if spans is not None], device, reader, pool)
            if ahead is not None:
                yield from _joined(ahead)
            ahead = batch
        if ahead is not None:
            yield from _joined(ahead)
    finally:
        pool.shutdown(cancel_futures=True)


class _Reader:
    """Reads pieces of files into a device's memory; each thread has pinned memory of its own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._local = threading.local()

    def read(self, job: _Job, memory: Tensor) -> None:
        """Raises `OSError`, and `LoraFileError` where the file has become shorter."""
        is_cuda = self._device.type == "cuda"
        with torch.cuda.device(self._device) if is_cuda else nullcontext():
            staged = getattr(self._local, "staged", None)
            if staged is None:
                staged = self._local.staged = torch.empty(_PIECE, dtype=torch.uint8, pin_memory=is_cuda)
            _fill(staged[: job.length], job)
            memory[job.to : job.to + job.length].copy_(staged[: job.length], non_blocking=True)
            if is_cuda:
                torch.cuda.current_stream().record_event().synchronize()


def _fill(memory: Tensor, job: _Job) -> None:
    room = memoryview(memory.numpy())  # type: ignore[arg-type]
    done = 0
    while done < job.length:
        count = os.preadv(job.source.handle, [room[done:]], job.begin + done)
        if not count:
            raise LoraFileError(job.source.path, "has become shorter while it was in use. Download or copy it again.")
        done += count


def _spans(factors: FactorTensors) -> _Spans | None:
    """`None` where one of them lies in no mapped file, or in another type than the device gets."""
    found: _Spans = ([], [])
    for tensors, spans in zip((factors.ups, factors.downs), found, strict=True):
        for tensor in tensors:
            place = source_of(tensor) if tensor.dtype == factors.dtype else None
            if place is None:
                return None
            source, begin = place
            spans.append((source, begin, begin + _extent(tensor) * tensor.itemsize))
    return found


def _extent(tensor: Tensor) -> int:
    """Elements from the first to the last of a view."""
    if tensor.is_contiguous():
        return tensor.numel()
    return 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))


def _begin(
    items: Sequence[tuple[int, FactorTensors, _Spans]], device: torch.device, reader: _Reader, pool: ThreadPoolExecutor
) -> _Batch:
    spans = {span for _, _, both in items for some in both for span in some}
    places, jobs, size = _arranged(sorted(spans, key=lambda span: (span[0].handle, *span[1:])))
    memory = torch.empty(size, dtype=torch.uint8, device=device)
    return _Batch(items, memory, places, [pool.submit(reader.read, job, memory) for job in jobs])


def _arranged(spans: Sequence[_Span]) -> tuple[dict[_Span, int], list[_Job], int]:
    """(span → place in memory, what to read, bytes of memory). `spans`: by file and place."""
    places: dict[_Span, int] = {}
    jobs: list[_Job] = []
    size = 0
    i = 0
    while i < len(spans):
        source, first, end = spans[i]
        base = size - first
        while i < len(spans) and spans[i][0] is source and spans[i][1] <= end + _GAP:
            places[spans[i]] = base + spans[i][1]
            end = max(end, spans[i][2])
            i += 1
        jobs.extend(_Job(source, begin, min(_PIECE, end - begin), base + begin) for begin in range(first, end, _PIECE))
        # The next starts where numbers of any type may.
        size = (base + end + 15) // 16 * 16
    return places, jobs, size


def _joined(batch: _Batch) -> Iterator[tuple[int, Pair]]:
    for reading in batch.reading:
        reading.result()
    for number, factors, (ups, downs) in batch.items:
        memory = batch.memory.view(factors.dtype)
        yield (
            number,
            (
                _beside([_there(memory, batch.places[s], t) for s, t in zip(ups, factors.ups, strict=True)], 1),
                _beside([_there(memory, batch.places[s], t) for s, t in zip(downs, factors.downs, strict=True)], 0),
            ),
        )


def _there(memory: Tensor, place: int, tensor: Tensor) -> Tensor:
    """A tensor's copy at a byte of `memory`, as a matrix."""
    start = place // tensor.itemsize
    if tensor.is_contiguous():
        rows = tensor.shape[0]
        columns = tensor.numel() // rows
        return memory.as_strided((rows, columns), (columns, 1), start)
    return memory.as_strided(tensor.shape, tensor.stride(), start).flatten(1)


def _beside(parts: Sequence[Tensor], dim: int) -> Tensor:
    return torch.cat(list(parts), dim) if len(parts) > 1 else parts[0].clone(memory_format=torch.contiguous_format)


def _batches(wanted: Sequence[FactorTensors], most: int) -> Iterator[list[int]]:
    """Their numbers in order, as many of one type together as have `most` bytes."""
    batch: list[int] = []
    size = 0
    for i in range(len(wanted)):
        if batch and (size + wanted[i].size > most or wanted[i].dtype != wanted[batch[0]].dtype):
            yield batch
            batch, size = [], 0
        batch.append(i)
        size += wanted[i].size
    if batch:
        yield batch


def _sent(flat: Tensor, device: torch.device) -> Tensor:
    if device.type != "cuda":
        return flat.to(device)
    with torch.cuda.device(device):
        return flat.pin_memory().to(device)


def _copied(wanted: Sequence[FactorTensors], device: torch.device) -> list[Pair]:
    """Many factors in one copy to pinned memory and one to the device.

    Copies of single factors take longer than the transfer: their threads wait for the interpreter.
    """

    def copy(numbers: Sequence[int]) -> list[Pair]:
        factors = [wanted[i] for i in numbers]
        flat = torch.cat([t.flatten().to(f.dtype) for f in factors for t in (*f.downs, *f.ups)])
        there = _sent(flat, device)
        found = []
        start = 0
        for f in factors:
            downs: list[Tensor] = []
            ups: list[Tensor] = []
            for tensors, views in ((f.downs, downs), (f.ups, ups)):
                for tensor in tensors:
                    end = start + tensor.numel()
                    views.append(there[start:end].view(tensor.shape[0], -1))
                    start = end
            found.append((_beside(ups, 1), _beside(downs, 0)))
        return found

    if not wanted:
        return []
    with ThreadPoolExecutor(_COPIERS) as pool:
        return [pair for pairs in pool.map(copy, _batches(wanted, _COPIED)) for pair in pairs]
