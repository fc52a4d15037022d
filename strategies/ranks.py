"""A limit of rank on a change of any family: which matrices it acts on, and the change with what is left of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .around import Around
from .base import Strategy
from .glora import Glora
from .lora import Lora
from .matrix import Limit

Factors = tuple[Tensor, Tensor]
"""(up, down) of one matrix."""


@dataclass(frozen=True, slots=True)
class Limited:
    """What a limit leaves of a change."""

    factors: tuple[Factors, ...]
    """Of each of its matrices, fp32."""
    rank_before: int
    rank: int
    energy_before: float
    """Squared norm of its matrices."""
    share: float
    """Of the energy that is kept, 0 to 1; of several matrices the smallest."""


def limited(strategy: Strategy, limit: Limit, device: torch.device) -> Limited | None:
    """The best part of a change under a limit, `None` where its family has no rank or where the limit cuts nothing."""
    parts = strategy.parts(device)
    if not parts or (limit.rank is not None and all(part.rank <= limit.rank for part in parts)):
        return None
    cuts = [part.best(limit) for part in parts]
    if all(cut.rank >= cut.rank_before for cut in cuts):
        return None
    return Limited(
        tuple((cut.up.float().contiguous(), cut.down.float().contiguous()) for cut in cuts),
        max(cut.rank_before for cut in cuts),
        max(cut.rank for cut in cuts),
        sum(cut.energy_before for cut in cuts),
        min(cut.energy / cut.energy_before if cut.energy_before else 1.0 for cut in cuts),
    )


def has_rank(strategy: Strategy) -> bool:
    """Whether a limit of rank means something for the family; reads no tensor."""
    return bool(strategy.parts(torch.device("meta")))


def with_factors(strategy: Strategy, factors: Sequence[Factors]) -> Strategy:
    """The change with these factors in the place of its matrices, in the order of `Strategy.parts`."""
    if isinstance(strategy, Around):
        return replace(strategy, inner=with_factors(strategy.inner, factors))
    if isinstance(strategy, Glora):
        b, a = factors
        return strategy.with_factors(b, a)
    ((up, down),) = factors
    return Lora(up, down, None, 1.0)
