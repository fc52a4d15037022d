"""Decompositions on a device, several at a time: a small one leaves a GPU nearly idle, and waits for its own steps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")

_STREAMS = 8
_streams: dict[torch.device, list[torch.cuda.Stream]] = {}
"""Always the same ones: a library keeps memory for each stream that it has worked on."""


def in_streams(work: Callable[[T], R], items: Sequence[T], device: torch.device) -> Iterator[R]:
    """The results in order. On CUDA in several threads with a stream each, whose results are complete when given.

    Work that has not begun is dropped where the iteration ends early.
    """
    if device.type != "cuda":
        yield from map(work, items)
        return

    streams = _streams.setdefault(device, [])
    while len(streams) < _STREAMS:
        streams.append(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]
    free = list(streams)
    local = threading.local()

    def take() -> None:
        local.stream = free.pop()

    def alone(item: T) -> R:
        with torch.cuda.device(device), torch.cuda.stream(local.stream), torch.no_grad():
            result = work(item)
            torch.cuda.current_stream().synchronize()
            return result

    # The library of decompositions is loaded at the first use, and not safely by several threads at once:
    # https://github.com/pytorch/pytorch/issues/90613
    torch.linalg.eigh(torch.eye(2, dtype=torch.float64, device=device))
    torch.cuda.current_stream(device).synchronize()
    pool = ThreadPoolExecutor(_STREAMS, "lora_deck_rank", initializer=take)
    try:
        yield from pool.map(alone, items)
    finally:
        pool.shutdown(cancel_futures=True)
