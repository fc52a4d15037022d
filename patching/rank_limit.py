"""A tag's `dyn=`: A1111's rank limit, and what the report says about it.

The first N ranks stay and alpha is not rescaled, for plain LoRA alone (networks.py, network_lora.py of A1111 1.10.1);
0 switches the limit off, as its documentation says.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..strategies import Strategy


def limited(strategy: Strategy, dyn: int | None) -> Strategy:
    """The strategy under the limit, itself where there is none or its family has no such form."""
    if not dyn:
        return strategy
    return strategy.truncated(dyn) or strategy


def explain(dyn: int | None, strategies: Iterable[Strategy]) -> list[str]:
    """Sentences about an entry's limit; none where the entry has no `dyn`."""
    if dyn is None:
        return []
    if dyn == 0:
        return ["dyn=0 is no limit"]
    cut: list[tuple[int, int]] = []
    whole: set[str] = set()
    for strategy in strategies:
        short = strategy.truncated(dyn)
        if short is None:
            whole.add(strategy.family)
        elif short.rank is not None and strategy.rank is not None and short.rank < strategy.rank:
            cut.append((strategy.rank, short.rank))
    said = []
    if cut:
        ranks = ", ".join(f"{before} to {after}" for before, after in sorted(set(cut)))
        said.append(f"dyn={dyn} takes {len(cut)} modules from rank {ranks}, alpha as it is")
    if whole:
        said.append(f"dyn={dyn} is for plain LoRA and leaves {', '.join(sorted(whole))} whole")
    return said or [f"dyn={dyn} is no less than the rank"]
