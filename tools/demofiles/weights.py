"""Seeded weights: the same for a name whatever is made before it."""

from __future__ import annotations

import hashlib
import math

import torch


def generator(name: str) -> torch.Generator:
    """A random generator that depends on ``name`` alone."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1
    return torch.Generator().manual_seed(seed)


def normal(name: str, shape: tuple[int, ...], std: float) -> torch.Tensor:
    """Normal noise of the given shape; fp32."""
    return torch.randn(shape, generator=generator(name)) * std


def fan_in(shape: tuple[int, ...]) -> int:
    """Inputs that one output of a linear or convolution weight ``(out, in, *kernel)`` sums over."""
    return math.prod(shape[1:])


def layer(name: str, shape: tuple[int, ...], gain: float = 1.0) -> torch.Tensor:
    """A weight ``(out, in, *kernel)`` that keeps the variance of its input times ``gain²``."""
    return normal(name, shape, gain / math.sqrt(fan_in(shape)))
