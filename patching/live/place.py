"""Where in its schedule a sampler stands, by the noise level that the model is asked for."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

_SAME = 1e-4
"""Relative difference below which two noise levels are one: samplers take them through logarithms in fp32."""


def place_of(sigma: float, sigmas: Sequence[float]) -> tuple[float, int]:
    """(place among the steps, number of steps): 0 at the first noise level, between two levels in between.

    `sigmas`: of a pass, the last one being where it ends. A sampler that goes back up (restarts) stands where it stood
    at that level before.
    """
    steps = len(sigmas) - 1
    levels = sorted(sigmas[:-1], reverse=True)
    if steps < 1:
        return 0.0, 1
    after = bisect_left(levels, -sigma, key=lambda level: -level)
    for near in (after, after - 1):
        if 0 <= near < steps and abs(levels[near] - sigma) <= _SAME * abs(sigma):
            return float(near), steps
    if after == 0:
        return 0.0, steps
    if after == steps:
        end = sigmas[-1]
        last = levels[-1]
        return (steps - 1 + (last - sigma) / (last - end) if last > end else float(steps - 1)), steps
    above, below = levels[after - 1], levels[after]
    return after - 1 + (above - sigma) / (above - below), steps


class Places:
    """`place_of` from the host's `transformer_options`; the levels of a pass are read from the device once."""

    def __init__(self) -> None:
        self._tensor: Any = None
        self._sigmas: list[float] = []

    def now(self, options: Mapping[str, Any]) -> tuple[float, int]:
        """(place, steps); the first of one step where the caller samples without a schedule."""
        sigmas, sigma = options.get("sample_sigmas"), options.get("sigmas")
        if sigmas is None or sigma is None:
            return 0.0, 1
        if sigmas is not self._tensor:
            self._tensor, self._sigmas = sigmas, [float(s) for s in sigmas.flatten().tolist()]
        return place_of(float(sigma.flatten()[0]), self._sigmas)
