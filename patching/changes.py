"""What a match changes, as a matrix of the whole weight: the form in which changes are added and compared."""

from __future__ import annotations

import torch
from torch import Tensor

from ..strategies import Matrix, Product, Rows, Whole, may_sketch, rows_of
from .match import Match

Shape = tuple[int, ...]


def change_of(found: Match, device: torch.device) -> Matrix | None:
    """The change of the part of the weight that a match is for, by factors; `None` where it depends on the weight."""
    if isinstance(found.strategy, Rows):
        fused = found.strategy.inner.matrix(device)
        return None if fused is None else rows_of(fused, found.strategy.start, found.shape[0])
    return found.strategy.matrix(device)


def full_shape(found: Match, shape: Shape) -> Shape:
    """The weight's shape after the change: the model's `shape`, or larger where the change is for more."""
    if found.target.offset is not None:
        return shape
    return tuple(max(sizes) for sizes in zip(shape, found.shape, strict=True))


def placed(found: Match, matrix: Matrix, shape: Shape) -> Matrix:
    """A match's change as one of the whole weight of `shape`, zeros where it changes nothing."""
    target = found.target
    if target.function is None and found.shape == shape:
        return matrix
    if isinstance(matrix, Product):
        up = matrix.up if target.function is None else target.function(matrix.up)
        return Product(_in_rows(found, up, shape), _in_columns(found, matrix.down, shape))
    dense = matrix.dense() if target.function is None else target.function(matrix.dense())
    return Whole(_in_rows(found, _in_columns(found, dense, shape), shape), may_sketch(matrix))


def _in_rows(found: Match, rows: Tensor, shape: Shape) -> Tensor:
    """(rows of the region, n) → (rows of the weight, n)."""
    start = found.target.offset[1] if found.target.offset is not None and found.target.offset[0] == 0 else 0
    if rows.shape[0] == shape[0]:
        return rows
    whole = rows.new_zeros(shape[0], rows.shape[1])
    whole[start : start + rows.shape[0]] = rows
    return whole


def _in_columns(found: Match, columns: Tensor, shape: Shape) -> Tensor:
    """(n, columns of the region) → (n, columns of the weight)."""
    if found.shape[1:] == shape[1:]:
        return columns
    offset = found.target.offset
    whole = columns.new_zeros(columns.shape[0], *shape[1:])
    part = whole
    for dim in range(1, len(shape)):
        start = offset[1] if offset is not None and offset[0] == dim else 0
        part = part.narrow(dim, start, found.shape[dim])
    part.copy_(columns.reshape(part.shape))
    return whole.flatten(1)
