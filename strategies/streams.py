"""Decompositions on a device, several at a time: a small one leaves a GPU nearly idle, and waits for its own steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")

_STREAMS = 8


def in_streams(work: Callable[[T], R], items: Sequence[T], device: torch.device) -> Iterator[R]:
    """The results in order. On CUDA in several threads with a stream each, whose results are complete when given.

    Work that has not begun is dropped where the iteration ends early.
    """
    if device.type != "cuda":
        yield from map(work, items)
        return

    def alone(item: T) -> R:
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        with torch.cuda.device(device), torch.cuda.stream(stream), torch.no_grad():
            result = work(item)
            torch.cuda.current_stream().synchronize()
            return result

    torch.cuda.current_stream(device).synchronize()
    pool = ThreadPoolExecutor(_STREAMS, "lora_deck_rank")
    try:
        yield from pool.map(alone, items)
    finally:
        pool.shutdown(cancel_futures=True)
