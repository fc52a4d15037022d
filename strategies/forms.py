"""What a change does to a layer's input and output, where the weight itself stays as it is.

For a layer y = W·x (+ bias), linear or a convolution, a change f is a sequence of *forms*. Each takes the layer as the
forms before it left it, and is linear in the multiplier m:

* `Pair`, `Dense`, `Kron` add to the output: y + m·Δx;
* `OnOutput` mixes output channels: y + m·M(y − bias);
* `OnInput` mixes input channels before the layer: W·(x + m·Mx).

W + m·(f(W) − W) in these terms is exact for every m, so a multiplier may move from call to call. Tensors hold the
change at full strength, channels are the last dimension of every `v` here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from .matrix import Kronecker, Matrix, Product


class Form:
    """One step of a change. Subclasses are frozen dataclasses of tensors, tuples of tensors, maps and `None`."""


@dataclass(frozen=True, slots=True)
class Pair(Form):
    """Δ = up·down, over the kernel of `down`."""

    up: Tensor
    """(out, r)"""
    down: Tensor
    """(r, in[, kernel…])"""


@dataclass(frozen=True, slots=True)
class Dense(Form):
    """Δ as it is, of the weight's shape."""

    delta: Tensor


@dataclass(frozen=True, slots=True)
class Kron(Form):
    """Δ = W1 ⊗ W2."""

    w1: Tensor
    """(out₁, in₁)"""
    w2: Tensor
    """(out₂, in₂[, kernel…])"""

    def dense(self) -> Tensor:
        """Δ in full: (out, in[, kernel…])."""
        (out1, in1), (out2, in2, *kernel) = self.w1.shape, self.w2.shape
        product = torch.kron(self.w1.reshape(out1, in1, 1), self.w2.reshape(out2, in2, -1))
        return product.reshape(out1 * out2, in1 * in2, *kernel)


class ChannelMap(ABC):
    """A linear map of channels, less the identity."""

    @abstractmethod
    def change(self, v: Tensor) -> Tensor:
        """M·v for `v` (…, channels)."""


@dataclass(frozen=True, slots=True)
class Gain(ChannelMap):
    """M = diag(g)."""

    gain: Tensor
    """(channels,)"""

    def change(self, v: Tensor) -> Tensor:
        return v * self.gain


@dataclass(frozen=True, slots=True)
class Turn(ChannelMap):
    """Blocks of channels are mixed, then every channel is scaled: M = s·(I + T) − I."""

    stacks: tuple[Tensor, ...]
    """T as (blocks, n, n) for each part of the channels, in order."""
    extra: Tensor | None
    """(channels,): s − 1; `None` for s = 1."""

    def change(self, v: Tensor) -> Tensor:
        parts, start = [], 0
        for stack in self.stacks:
            blocks, size, _ = stack.shape
            part = v.narrow(-1, start, blocks * size)
            turned = torch.einsum("bkc,...bc->...bk", stack, part.reshape(*part.shape[:-1], blocks, size))
            parts.append(turned.flatten(-2))
            start += blocks * size
        return _scaled(parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1), v, self.extra)


@dataclass(frozen=True, slots=True)
class Butterfly(ChannelMap):
    """Stages of `Turn`s at growing distances, then every channel is scaled."""

    turns: Tensor
    """(stages, blocks, n, n), each less the identity"""
    extra: Tensor | None

    def change(self, v: Tensor) -> Tensor:
        _, blocks, size, _ = self.turns.shape
        change = torch.zeros_like(v)
        for i, turn in enumerate(self.turns):
            distance = 2**i * (size // 2)
            batch = v.shape[:-1]
            pairs = (v + change).reshape(*batch, -1, 2, distance).transpose(-1, -2)
            turned = torch.einsum("bkc,...bc->...bk", turn, pairs.reshape(*batch, blocks, size))
            change = change + turned.reshape(*batch, -1, distance, 2).transpose(-1, -2).reshape(v.shape)
        return _scaled(change, v, self.extra)


@dataclass(frozen=True, slots=True)
class LowRank(ChannelMap):
    """M = a·b."""

    a: Tensor
    """(channels, r)"""
    b: Tensor
    """(r, channels)"""

    def change(self, v: Tensor) -> Tensor:
        return torch.nn.functional.linear(torch.nn.functional.linear(v, self.b), self.a)


@dataclass(frozen=True, slots=True)
class OnOutput(Form):
    """W + m·M·W."""

    channels: ChannelMap


@dataclass(frozen=True, slots=True)
class OnInput(Form):
    """W + m·W·M."""

    channels: ChannelMap


Forms = tuple[Form, ...]


def _scaled(change: Tensor, v: Tensor, extra: Tensor | None) -> Tensor:
    return change if extra is None else change + (v + change) * extra


def of_matrix(matrix: Matrix, shape: tuple[int, ...]) -> Form:
    """A change that only adds, of a weight of `shape`, from its matrix; fp32."""
    if isinstance(matrix, Product):
        down = matrix.down.float()
        return Pair(matrix.up.float(), down.reshape(down.shape[0], *shape[1:]))
    if isinstance(matrix, Kronecker):
        (_, in1), (out2, _) = matrix.first.shape, matrix.second.shape
        second = matrix.second.dense().float()
        return Kron(matrix.first.dense().float(), second.reshape(out2, shape[1] // in1, *shape[2:]))
    return Dense(matrix.dense().float().reshape(shape))


def with_gain(forms: Forms, gain: Tensor, axis: int) -> Forms | None:
    """The forms with every output (axis 0) or input (axis 1) channel of their Δ times `gain`.

    `None` where a form does not only add.
    """
    result: list[Form] = []
    for form in forms:
        if isinstance(form, Kron):
            form = Dense(form.dense())
        if isinstance(form, Pair):
            side = form.up if axis == 0 else form.down
            scaled = side * gain.to(side).reshape([-1 if i == axis else 1 for i in range(side.ndim)])
            result.append(Pair(scaled, form.down) if axis == 0 else Pair(form.up, scaled))
        elif isinstance(form, Dense):
            wide = gain.to(form.delta).reshape([-1 if i == axis else 1 for i in range(form.delta.ndim)])
            result.append(Dense(form.delta * wide))
        else:
            return None
    return tuple(result)


def rows_of(forms: Forms, start: int, length: int) -> Forms | None:
    """The forms of some rows of a weight. `None` where a form does not only add."""
    result: list[Form] = []
    for form in forms:
        if isinstance(form, Kron):
            form = Dense(form.dense())
        if isinstance(form, Pair):
            result.append(Pair(form.up.narrow(0, start, length), form.down))
        elif isinstance(form, Dense):
            result.append(Dense(form.delta.narrow(0, start, length)))
        else:
            return None
    return tuple(result)
