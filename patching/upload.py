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
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

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


@dataclass(frozen=True, slots=True)
class _Span:
    """A tensor's bytes in a file."""

    source: Source
    begin: int
    end: int


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

    items: Sequence[FactorTensors]
    numbers: Sequence[int]
    memory: Tensor
    places: Mapping[_Span, int]
    reading: Sequence[Future[None]]


def uploaded(wanted: Sequence[FactorTensors], device: torch.device) -> list[Pair]:
    """The factors of each, side by side on `device`, in memory of their own.

    Raises:
        torch.cuda.OutOfMemoryError: they do not fit.
    """
    found: dict[int, Pair] = {}
    with torch.no_grad():
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
    with ThreadPoolExecutor(_READERS, "lora_deck_read") as pool:
        ahead: _Batch | None = None
        for numbers in _batches(wanted, [i for i, factors in enumerate(wanted) if _is_mapped(factors)], _BATCH):
            batch = _begin([wanted[i] for i in numbers], numbers, device, reader, pool)
            if ahead is not None:
                yield from _joined(ahead)
            ahead = batch
        if ahead is not None:
            yield from _joined(ahead)


class _Reader:
    """Reads pieces of files into a device's memory; each thread has pinned memory of its own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._local = threading.local()

    def read(self, job: _Job, memory: Tensor) -> None:
        """Raises `OSError`, also where the file has become shorter."""
        if self._device.type != "cuda":
            _fill(memory[job.to : job.to + job.length], job)
            return
        with torch.cuda.device(self._device):
            staged = getattr(self._local, "staged", None)
            if staged is None:
                staged = self._local.staged = torch.empty(_PIECE, dtype=torch.uint8, pin_memory=True)
            _fill(staged[: job.length], job)
            memory[job.to : job.to + job.length].copy_(staged[: job.length], non_blocking=True)
            torch.cuda.current_stream().record_event().synchronize()


def _fill(memory: Tensor, job: _Job) -> None:
    room = memoryview(memory.numpy())  # type: ignore[arg-type]
    done = 0
    while done < job.length:
        count = os.preadv(job.source.handle, [room[done:]], job.begin + done)
        if not count:
            raise OSError(f"{job.source.path} has become shorter")
        done += count


def _is_mapped(factors: FactorTensors) -> bool:
    return all(t.dtype == factors.dtype and source_of(t) is not None for t in (*factors.ups, *factors.downs))


def _span(tensor: Tensor) -> _Span:
    found = source_of(tensor)
    assert found is not None
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return _Span(found[0], found[1], found[1] + (last + 1) * tensor.itemsize)


def _begin(
    items: Sequence[FactorTensors],
    numbers: Sequence[int],
    device: torch.device,
    reader: _Reader,
    pool: ThreadPoolExecutor,
) -> _Batch:
    spans = {_span(tensor) for factors in items for tensor in (*factors.ups, *factors.downs)}
    places, jobs, size = _arranged(sorted(spans, key=lambda span: (span.source.handle, span.begin, span.end)))
    memory = torch.empty(size, dtype=torch.uint8, device=device)
    return _Batch(items, numbers, memory, places, [pool.submit(reader.read, job, memory) for job in jobs])


def _arranged(spans: Sequence[_Span]) -> tuple[dict[_Span, int], list[_Job], int]:
    """(span → place in memory, what to read, bytes of memory). `spans`: by file and place."""
    places: dict[_Span, int] = {}
    jobs: list[_Job] = []
    size = 0
    i = 0
    while i < len(spans):
        first = spans[i]
        end = first.end
        base = size - first.begin
        while i < len(spans) and spans[i].source is first.source and spans[i].begin <= end + _GAP:
            places[spans[i]] = base + spans[i].begin
            end = max(end, spans[i].end)
            i += 1
        for begin in range(first.begin, end, _PIECE):
            jobs.append(_Job(first.source, begin, min(_PIECE, end - begin), base + begin))
        # The next starts where numbers of any type may.
        size = (base + end + 15) // 16 * 16
    return places, jobs, size


def _joined(batch: _Batch) -> Iterator[tuple[int, Pair]]:
    for reading in batch.reading:
        reading.result()
    for number, factors in zip(batch.numbers, batch.items, strict=True):
        memory = batch.memory.view(factors.dtype)

        def there(tensor: Tensor, memory: Tensor = memory) -> Tensor:
            start = batch.places[_span(tensor)] // tensor.itemsize
            return memory.as_strided(tensor.shape, tensor.stride(), start).flatten(1)

        yield number, (_beside([there(up) for up in factors.ups], 1), _beside([there(d) for d in factors.downs], 0))


def _beside(parts: Sequence[Tensor], dim: int) -> Tensor:
    return torch.cat(list(parts), dim) if len(parts) > 1 else parts[0].clone(memory_format=torch.contiguous_format)


def _batches(wanted: Sequence[FactorTensors], numbers: Sequence[int], most: int) -> Iterator[list[int]]:
    """The numbers in order, as many of one type together as have `most` bytes."""
    batch: list[int] = []
    size = 0
    for i in numbers:
        if batch and (size + wanted[i].size > most or wanted[i].dtype != wanted[batch[0]].dtype):
            yield batch
            batch, size = [], 0
        batch.append(i)
        size += wanted[i].size
    if batch:
        yield batch


def _copied(wanted: Sequence[FactorTensors], device: torch.device) -> list[Pair]:
    """Many factors in one copy to pinned memory and one to the device.

    Copies of single factors take longer than the transfer: their threads wait for the interpreter.
    """

    def copy(numbers: Sequence[int]) -> list[Pair]:
        factors = [wanted[i] for i in numbers]
        flat = torch.cat([t.flatten().to(f.dtype) for f in factors for t in (*f.downs, *f.ups)])
        there = (flat.pin_memory() if device.type == "cuda" else flat).to(device)
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
        return [pair for pairs in pool.map(copy, _batches(wanted, range(len(wanted)), _COPIED)) for pair in pairs]
