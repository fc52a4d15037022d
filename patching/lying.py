"""Where factors of plain LoRAs are before a device has them: as tensors, or only as places in mapped files.

A stack of files of one trainer names the same two places of each file for a weight; no tensor is made of them where
they are read past the mapping.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Protocol

import torch
from torch import Tensor

from .mapped import MappedFile, Place, Source, source_of


@dataclass(frozen=True, slots=True)
class Piece:
    """The bytes of a tensor at the same place of one or several files."""

    sources: tuple[Source, ...]
    begin: int
    """Behind the files' headers."""
    end: int
    """After its last byte."""
    shape: tuple[int, ...]
    """Of the tensor of one file."""
    strides: tuple[int, ...]
    """In elements."""


class Lying(Protocol):
    """The factors of one or several LoRAs of the same weight."""

    @property
    def ranks(self) -> tuple[int, ...]:
        """Of each LoRA."""

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in · kernel)"""

    @property
    def kinds(self) -> frozenset[torch.dtype]:
        """The types that they are kept in."""

    @property
    def count(self) -> int:
        """Numbers in all of them."""

    def tensors(self) -> Iterator[tuple[Tensor, Tensor]]:
        """(up, down) of each: (out, rank[, 1…]) and (rank, in[, kernel…])."""

    def pieces(self) -> tuple[Piece, Piece] | None:
        """(ups, downs) as they lie in files; `None` where one lies in none."""


@dataclass(frozen=True, slots=True)
class AsTensors:
    """One LoRA's tensors."""

    up: Tensor
    down: Tensor

    @property
    def ranks(self) -> tuple[int, ...]:
        """See `Lying`."""
        return (self.down.shape[0],)

    @property
    def shape(self) -> tuple[int, int]:
        """See `Lying`."""
        return self.up.shape[0], self.down.numel() // self.down.shape[0]

    @property
    def kinds(self) -> frozenset[torch.dtype]:
        """See `Lying`."""
        return frozenset((self.up.dtype, self.down.dtype))

    @property
    def count(self) -> int:
        """See `Lying`."""
        return self.up.numel() + self.down.numel()

    def tensors(self) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Lying`."""
        yield self.up, self.down

    def pieces(self) -> tuple[Piece, Piece] | None:
        """See `Lying`."""
        up, down = _piece(self.up), _piece(self.down)
        return None if up is None or down is None else (up, down)


@dataclass(frozen=True, slots=True)
class InFiles:
    """The same two places in each of several files of one table."""

    files: tuple[MappedFile, ...]
    sources: tuple[Source, ...]
    """Of the files; none where the system cannot read past a mapping."""
    up: Place
    down: Place

    @property
    def ranks(self) -> tuple[int, ...]:
        """See `Lying`."""
        return (self.down.shape[0],) * len(self.files)

    @property
    def shape(self) -> tuple[int, int]:
        """See `Lying`."""
        return self.up.shape[0], prod(self.down.shape[1:])

    @property
    def kinds(self) -> frozenset[torch.dtype]:
        """See `Lying`."""
        return frozenset((self.up.dtype, self.down.dtype))

    @property
    def count(self) -> int:
        """See `Lying`."""
        one = (self.up.end - self.up.begin) // self.up.dtype.itemsize
        return len(self.files) * (one + (self.down.end - self.down.begin) // self.down.dtype.itemsize)

    def tensors(self) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Lying`."""
        return ((file.tensor(self.up), file.tensor(self.down)) for file in self.files)

    def pieces(self) -> tuple[Piece, Piece] | None:
        """See `Lying`."""
        return (self._piece(self.up), self._piece(self.down)) if self.sources else None

    def _piece(self, place: Place) -> Piece:
        return Piece(self.sources, place.begin, place.end, place.shape, place.strides)


def _piece(tensor: Tensor) -> Piece | None:
    found = source_of(tensor)
    if found is None:
        return None
    source, begin = found
    shape, strides = tuple(tensor.shape), tensor.stride()
    extent = 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    return Piece((source,), begin, begin + extent * tensor.itemsize, shape, strides)
