"""One layer in the forward pass: what it gives, and what the steps make of that.

`Layer.forward` takes the place of the module's own while a model runs. The hot path is plain pairs on a whole linear
layer: two products, the second added in place, and the first may be had from a layer with the same input (`shared.py`).
A UNet has hundreds of small layers where a device waits for Python, so there are few frames more per layer, and every
transposed view is made beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, mm
from torch.compiler import is_compiling
from torch.nn.functional import linear

from ...strategies.forms import Dense, Kron, OnInput, OnOutput, Pair
from .factors import Columns, Pairs, Segment, Single, map_tensors
from .parts import Shift


class RowsError(Exception):
    """A layer was given something whose first dimension is not the batch, while rows have different weights."""


@dataclass(slots=True)
class Now:
    """What all layers of a plan share during one call of the model."""

    rows: int = 0
    """Groups of rows with weights of their own; 0 where the whole batch has the same."""
    weights: dict[int, Any] = field(default_factory=dict)
    """Entry → its weight, or (rows,) of them."""
    scales: dict[tuple[Columns, ...], Tensor] = field(default_factory=dict)
    """Columns of a `down` → (rows, 1, r); empty where the weights are already in `up`."""


@dataclass(frozen=True, slots=True)
class BoundUp:
    """An `up` as it lies on the device."""

    weight: Tensor
    """(out, r), at full strength"""
    scaled: Tensor
    """(out, r), times the weights of the whole batch"""
    rows: tuple[int, int] | None
    columns: tuple[int, int] | None
    """(first, number) of the `down`'s rows; `None` for all."""


@dataclass(frozen=True, slots=True)
class DownPlace:
    """Where the `down` of pairs lies."""

    tensor: int
    """Number of the tensor: (rows, in[, kernel…])."""
    first: int
    rank: int
    """Its rows."""
    key: tuple[Columns, ...]
    """Of the scale in `Now`."""
    parent: str
    """Name of the module that the layer is in."""


@dataclass(frozen=True, slots=True)
class BoundPairs:
    """`Pairs` as they lie on the device."""

    down: Tensor
    ups: tuple[BoundUp, ...]
    place: DownPlace


@dataclass(frozen=True, slots=True)
class BoundSingle:
    """`Single` with its tensors."""

    entry: int
    factor: float
    form: Any
    rows: tuple[int, int] | None


def bind_segment(segment: Segment, bound_pairs: Callable[[Pairs], BoundPairs], form: Callable[[Any], Any]) -> Any:
    """A segment with its tensors."""
    if isinstance(segment, Single):
        step = segment.step
        return BoundSingle(step.entry, step.factor, form(step.form), step.rows)
    return bound_pairs(segment)


class Layer:
    """A module of the model and its steps."""

    __slots__ = (
        "base", "bias", "down", "forward", "is_linear", "module", "now", "place", "segments", "take",
    )  # fmt: skip

    def __init__(self, module: Any, segments: Sequence[Any], now: Now, bias: Callable[[Any, Tensor], Tensor | None]):
        self.module = module
        self.segments = tuple(segments)
        self.now = now
        self.bias = bias
        """Gives the bias that the layer really adds, beside an output of its device and type."""
        self.base: Callable[..., Tensor] = module.forward
        self.is_linear = hasattr(module, "in_features")
        first = self.segments[0]
        plain = len(self.segments) == 1 and isinstance(first, BoundPairs) and len(first.ups) == 1
        self.forward: Callable[..., Tensor] = self._general
        self.place: Any = None
        """Of the pairs of a layer on the hot path; `None` for others."""
        self.take: Callable[[Tensor], Tensor] | None = None
        """Gives the product with `down` of a layer that shares it: (tokens, r), times the weights of rows."""
        if plain and self.is_linear and first.ups[0].rows is None:
            self.place = first.place
            self.down = first.down.t()
            self.forward = _plain(self, first, self._general)

    def _general(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        inputs: list[Tensor] = []
        for segment in reversed(self.segments):
            inputs.append(x)
            if isinstance(segment, BoundSingle) and isinstance(segment.form, OnInput):
                x = x + self._weighted(self._mixed(segment.form.channels, x), segment)
        out = self.base(x, *args, **kwargs)
        shift: Tensor | None = None
        for segment, seen in zip(self.segments, reversed(inputs), strict=True):
            if isinstance(segment, BoundPairs):
                out = self.added(out, seen, segment, args, kwargs)
            elif isinstance(segment.form, OnOutput):
                target = self._less_bias(out, shift, segment.rows)
                mixed = self._mixed(segment.form.channels, target)
                out = self._plus(out, self._weighted(mixed, segment), segment.rows)
            elif isinstance(segment.form, Shift):
                delta = segment.form.delta.to(out)
                everywhere = self._as_channels(delta, out).expand_as(self._rows_of(out, segment.rows))
                change = self._weighted(everywhere, segment)
                out = self._plus(out, change, segment.rows)
                if shift is None:
                    shift = torch.zeros_like(out)
                shift = self._plus(shift, change, segment.rows)
            elif not isinstance(segment.form, OnInput):
                product = self._product(segment.form, seen, args, kwargs)
                out = self._plus(out, self._weighted(product, segment), segment.rows)
        return out

    def product(self, x: Tensor) -> Tensor:
        """(tokens, r) on the hot path, without weights of rows."""
        return mm(x.reshape(-1, self.down.shape[0]), self.down)

    def weighted_product(self, x: Tensor) -> Tensor:
        """The same times the weights of rows that have their own."""
        mid = self.product(x)
        if self.now.rows:
            scale_rows(mid, x, self.now.rows, self.now.scales[self.place.key])
        return mid

    def _middle(self, x: Tensor, pairs: BoundPairs, args: Any = (), kwargs: Any = None) -> Tensor:
        """(…, r) for a linear layer, (batch, r, …) for a convolution; with rows of their own, times their weights."""
        mid = self._project(x, pairs.down.to(x.dtype), args, kwargs or {})
        if not self.now.rows:
            return mid
        scale = self.now.scales[pairs.place.key].to(mid.dtype)
        if self.is_linear:
            return self._by_rows(mid).mul(scale).reshape(mid.shape)
        rows, _, r = scale.shape
        grouped = mid.reshape(rows, -1, r, *mid.shape[2:]) if mid.shape[0] % rows == 0 else self._by_rows(mid)
        return grouped.mul(scale.reshape(rows, 1, r, *[1] * (mid.ndim - 2))).reshape(mid.shape)

    def added(self, out: Tensor, x: Tensor, pairs: BoundPairs, args: Any = (), kwargs: Any = None) -> Tensor:
        """`out` with what pairs add to it for an input."""
        mid = self._middle(x, pairs, args, kwargs)
        for up in pairs.ups:
            weight = (up.weight if self.now.rows else up.scaled).to(mid.dtype)
            if self.is_linear:
                change = linear(mid if up.columns is None else mid.narrow(-1, *up.columns), weight)
            else:
                part = mid if up.columns is None else mid.narrow(1, *up.columns)
                change = torch.einsum("or,br...->bo...", weight, part)
            out = self._plus(out, change, up.rows)
        return out

    def _product(self, form: Any, x: Tensor, args: Any, kwargs: Any) -> Tensor:
        """Δ·x"""
        if isinstance(form, Dense):
            return self._project(x, form.delta.to(x.dtype), args, kwargs)
        if isinstance(form, Pair):
            raise TypeError("A pair is no single step.")
        assert isinstance(form, Kron)
        w1, w2 = form.w1.to(x.dtype), form.w2.to(x.dtype)
        in1, in2 = w1.shape[1], w2.shape[1]
        if self.is_linear:
            inner = linear(x.reshape(*x.shape[:-1], in1, in2), w2)
            return torch.einsum("oi,...ij->...oj", w1, inner).flatten(-2)
        inner = self._project(x.reshape(-1, in2, *x.shape[2:]), w2, args, kwargs)
        return torch.einsum("oi,bi...->bo...", w1, inner.reshape(-1, in1, *inner.shape[1:])).flatten(1, 2)

    def _project(self, x: Tensor, weight: Tensor, args: Any, kwargs: Any) -> Tensor:
        if self.is_linear:
            return linear(x, weight)
        product: Tensor = self.module._conv_forward(x, weight, None, *args, **kwargs)
        return product

    def _mixed(self, channels: Any, v: Tensor) -> Tensor:
        on = _cast(channels, v)
        mixed: Tensor = on.change(v) if self.is_linear else on.change(v.movedim(1, -1)).movedim(-1, 1)
        return mixed

    def _weighted(self, value: Tensor, single: BoundSingle) -> Tensor:
        weight = self.now.weights[single.entry]
        if not self.now.rows:
            factor = weight * single.factor
            return value if factor == 1 else value * factor
        scale = weight.to(value.dtype) * single.factor
        weighted: Tensor = self._by_rows(value) * scale.reshape(-1, 1, 1)
        return weighted.reshape(value.shape)

    def _by_rows(self, value: Tensor) -> Tensor:
        """(rows, …, channels) of something whose first dimension is the batch."""
        if value.shape[0] % self.now.rows:
            raise RowsError
        return value.reshape(self.now.rows, -1, value.shape[-1])

    def _rows_of(self, out: Tensor, rows: tuple[int, int] | None) -> Tensor:
        return out if rows is None else out.narrow(-1 if self.is_linear else 1, *rows)

    def _plus(self, out: Tensor, change: Tensor, rows: tuple[int, int] | None) -> Tensor:
        if rows is None:
            return out + change.to(out.dtype)
        if out.requires_grad:
            out = out.clone()
        self._rows_of(out, rows).add_(change.to(out.dtype))
        return out

    def _as_channels(self, vector: Tensor, out: Tensor) -> Tensor:
        return vector if self.is_linear else vector.reshape(-1, *[1] * (out.ndim - 2))

    def _less_bias(self, out: Tensor, shift: Tensor | None, rows: tuple[int, int] | None) -> Tensor:
        """Some channels of the output without what is no product: the layer's own bias, and what was added to it."""
        target = self._rows_of(out, rows)
        bias = self.bias(self, out)
        if bias is not None:
            target = target - self._as_channels(bias if rows is None else bias.narrow(0, *rows), out)
        return target if shift is None else target - self._rows_of(shift, rows)


def _plain(layer: Layer, pairs: BoundPairs, general: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The forward of a linear layer with one pair on all of its channels."""
    now, dtype, key = layer.now, pairs.down.dtype, pairs.place.key
    up, inputs = pairs.ups[0], pairs.down.shape[1]
    outputs, down, full, scaled = up.weight.shape[0], pairs.down.t(), up.weight.t(), up.scaled.t()

    def forward(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if x.dtype is not dtype:
            return general(x, *args, **kwargs)
        out = layer.base(x, *args, **kwargs)
        if out.dtype is not dtype or out.requires_grad or not out.is_contiguous():
            return layer.added(out, x, pairs)
        # What is compiled is right for all calls: it may not depend on what other layers were given.
        if is_compiling() or layer.take is None:
            mid = mm(x.reshape(-1, inputs), down)
            if now.rows:
                scale_rows(mid, x, now.rows, now.scales[key])
        else:
            mid = layer.take(x)
        out.view(-1, outputs).addmm_(mid, full if now.rows else scaled)
        return out

    return forward


def scale_rows(mid: Tensor, x: Tensor, rows: int, scale: Tensor) -> None:
    """Multiplies (tokens, r) of an input whose first dimension is the batch with (rows, 1, r), in place.

    Raises:
        RowsError: the first dimension of the input is something else.
    """
    if x.shape[0] % rows:
        raise RowsError
    mid.view(rows, -1, mid.shape[1]).mul_(scale)


def _cast(channels: Any, like: Tensor) -> Any:
    return map_tensors(channels, lambda tensor: tensor.to(like.dtype))
