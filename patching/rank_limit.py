"""Rank limits, a tag's `dyn=` and the ones that go past it: what they leave of a file, and what is said about it.

`dyn` is A1111's: the first N ranks stay and alpha is not rescaled, for plain LoRA alone (networks.py and
network_lora.py of 1.10.1); 0 switches it off, as its documentation says. What the other limits leave is computed once:
it is kept for the last few files, and on disk (`rank_cache`).
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace

import comfy.model_management
import comfy.utils
import torch

from .. import library
from ..library import LoraFile
from ..library.hashing import hash_file
from ..stack.blocks import BlockLayout
from ..stack.entry import LoraEntry
from ..stack.rank_limit import RankLimit
from ..strategies import ByHead, Limit, Limited, Rows, Strategy, has_rank, in_streams, inner, limited, with_factors
from . import rank_cache
from .blocks import block_of, in_order
from .keymap import Side
from .match import Match, Matching
from .open import OpenFile
from .settings import config_beside

logger = logging.getLogger("lora_deck")

KEPT_RESULTS = 8
"""Files under a limit, their factors mapped from the disk."""

Left = dict[tuple[str, str], Limited | None]
"""(module, parameter) → what a limit leaves of it, `None` where it cuts nothing."""

_results: OrderedDict[Hashable, Left] = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class RankedFile:
    """A file's matches under an entry's limit."""

    matchings: dict[Side, Matching]
    limit: RankLimit | None
    """As it acts; equal limits leave the same."""
    notes: tuple[str, ...] = ()
    """Sentences for the report."""
    by_block: str = ""
    """Ranks before and after and the energy kept, block by block."""


def limit_of(entry: LoraEntry) -> RankLimit | None:
    """The limit that acts on an entry: its own, else its tag's `dyn`."""
    if entry.rank_limit is not None:
        return entry.rank_limit
    return RankLimit("truncate", rank=entry.dyn) if entry.dyn else None


def limit_ranks(
    entry: LoraEntry, file: LoraFile, opened: OpenFile, matchings: dict[Side, Matching], layout: BlockLayout | None
) -> RankedFile:
    """The matches with what the entry's limit leaves of each. Computes what is not kept yet, with the host's progress.

    `layout`: the blocks of the connected model, for the report.

    Raises:
        InterruptProcessingException: the user cancelled; what was computed so far is kept.
    """
    limit = limit_of(entry)
    if limit is None:
        return RankedFile(matchings, None, ("dyn=0 is no limit",) if entry.dyn == 0 else ())
    wanted = [(found, _key(opened, found)) for matching in matchings.values() for found in matching.matches]
    keys = dict.fromkeys(key for _, key in wanted)
    left, unsaved = left_by(limit, file, opened, keys)
    limited_matchings = {
        side: Matching.of((_under(limit, opened, found, left) for found in matching.matches), matching.misfits)
        for side, matching in matchings.items()
    }
    notes = _explain(limit, opened, {key: left[key] for key in keys})
    if unsaved:
        notes.append(f"what {limit} left is not kept on disk ({unsaved})")
    return RankedFile(limited_matchings, limit, tuple(notes), _by_block(wanted, left, layout))


def _key(opened: OpenFile, found: Match) -> tuple[str, str]:
    """(module, parameter) of a match."""
    strategy = _own(found.strategy)
    parameters = opened.modules.modules[found.module].parameters
    return found.module, next(name for name, other in parameters.items() if other is strategy)


def _own(strategy: Strategy) -> Strategy:
    """The strategy of the file, of which a match may see some rows."""
    return strategy.inner if isinstance(strategy, Rows | ByHead) else strategy


def _under(limit: RankLimit, opened: OpenFile, found: Match, left: Left) -> Match:
    own = _own(found.strategy)
    short = shortened(limit, own, left[_key(opened, found)])
    strategy = replace(found.strategy, inner=short) if isinstance(found.strategy, Rows | ByHead) else short
    return replace(found, strategy=strategy)


def shortened(limit: RankLimit, strategy: Strategy, rest: Limited | None) -> Strategy:
    """A file's strategy with what the limit left of it."""
    if rest is None:
        return strategy
    short = strategy.truncated(limit.rank) if limit.method == "truncate" else with_factors(strategy, rest.factors)
    assert short is not None
    return short


# ── computing, and keeping ──


def left_by(limit: RankLimit, file: LoraFile, opened: OpenFile, wanted: Iterable[tuple[str, str]]) -> tuple[Left, str]:
    """(what the limit leaves of at least the wanted modules, why that is not on disk or nothing)."""
    memory_key = (opened.version, limit)
    with _lock:
        left = dict(_results.get(memory_key, {}))
    todo = [key for key in wanted if key not in left]
    unsaved = ""
    if todo and limit.method == "truncate":
        _compute(todo, opened, left, lambda strategy, device: _truncated(strategy, limit.rank, device))
    elif todo:
        unsaved = _from_disk_or_computed(limit, file, opened, left, todo)
    with _lock:
        _results[memory_key] = left
        _results.move_to_end(memory_key)
        while len(_results) > KEPT_RESULTS:
            _results.popitem(last=False)
    return left, unsaved


def _from_disk_or_computed(
    limit: RankLimit, file: LoraFile, opened: OpenFile, left: Left, wanted: list[tuple[str, str]]
) -> str:
    key = rank_cache.cache_key(_content_of(file), str(limit))
    left.update(rank_cache.load(key))
    todo = [module for module in wanted if module not in left]
    if not todo:
        return ""
    cut = Limit(energy=limit.energy) if limit.method == "energy" else Limit(rank=limit.rank)
    try:
        _compute(todo, opened, left, lambda strategy, device: limited(strategy, cut, device))
    finally:
        unsaved = _save(key, left)
    return unsaved


def _save(key: str, left: Left) -> str:
    """Keeps results on disk and takes them from there, mapped; why not, where that fails."""
    try:
        rank_cache.save(key, left)
    except OSError as error:
        logger.warning("What a rank limit left cannot be kept in %s (%s).", rank_cache.cache_folder(), error)
        return str(error)
    left.update(rank_cache.load(key))
    return ""


def _content_of(file: LoraFile) -> str:
    """The same text for the same content, of the file and of the settings that PEFT keeps beside it."""
    hashes = library.hashes(file) if file.id else None
    config = config_beside(file.path)
    settings = "" if config is None else config.read_text(encoding="utf-8")
    return f"{(hashes or hash_file(file.path)).sha256}\n{settings}"


def _compute(
    todo: list[tuple[str, str]],
    opened: OpenFile,
    left: Left,
    compute: Callable[[Strategy, torch.device], Limited | None],
) -> None:
    progress = comfy.utils.ProgressBar(len(todo))
    device = linalg_device()

    def of(key: tuple[str, str]) -> Limited | None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        strategy = _strategy(opened, key)
        try:
            result = compute(strategy, device)
        except comfy.model_management.OOM_EXCEPTION:
            result = compute(strategy, torch.device("cpu"))
        return result if result is None else replace(result, factors=_on_cpu(result))

    for done, (key, result) in enumerate(zip(todo, in_streams(of, todo, device), strict=True), 1):
        left[key] = result
        progress.update_absolute(done)


def _on_cpu(result: Limited) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
    return tuple((up.cpu(), down.cpu()) for up, down in result.factors)


def linalg_device() -> torch.device:
    """The host's GPU where it has one with a complete linear algebra in fp64, else the CPU."""
    device: torch.device = comfy.model_management.get_torch_device()
    return device if device.type == "cuda" else torch.device("cpu")


def _truncated(strategy: Strategy, rank: int, device: torch.device) -> Limited | None:
    """The figures of A1111's limit; it needs no new factors."""
    short = strategy.truncated(rank)
    if short is None or short.rank is None or strategy.rank is None or short.rank >= strategy.rank:
        return None
    (whole,), (part,) = strategy.parts(device), short.parts(device)
    energy = whole.energy()
    # What is left out is not at right angles to what stays: the share is 1 less the squared distance.
    lost = energy + part.energy() - 2 * inner(whole, part)
    return Limited((), strategy.rank, short.rank, energy, max(0.0, 1 - lost / energy) if energy else 1.0)


# ── what is said ──


def _explain(limit: RankLimit, opened: OpenFile, left: Mapping[tuple[str, str], Limited | None]) -> list[str]:
    """Sentences about an entry's limit."""
    cut = [result for result in left.values() if result is not None]
    spared = [_strategy(opened, key) for key, result in left.items() if result is None and key[1] == "weight"]
    whole = {strategy.family for strategy in spared if not _is_for(limit, strategy)}
    said = []
    if not cut and any(_is_for(limit, strategy) for strategy in spared):
        said.append(f"{limit} needs every rank" if limit.method == "energy" else f"{limit} is no less than the rank")
    if cut:
        ranks = ", ".join(f"{before} to {after}" for before, after in _ranges(cut))
        ending = ", alpha as it is" if limit.method == "truncate" else ""
        said.append(f"{limit} takes {len(cut)} modules from rank {ranks}{ending}; {_share(cut)} of the energy stays")
    if whole:
        families = ", ".join(sorted(whole))
        if limit.method == "truncate":
            said.append(f"{limit} is for plain LoRA and leaves {families} whole")
        else:
            said.append(f"{limit} leaves {families} whole, which have no rank")
    return said


def _strategy(opened: OpenFile, key: tuple[str, str]) -> Strategy:
    return opened.modules.modules[key[0]].parameters[key[1]]


def _is_for(limit: RankLimit, strategy: Strategy) -> bool:
    """Whether the limit is for this family at all."""
    return strategy.truncated(limit.rank) is not None if limit.method == "truncate" else has_rank(strategy)


def _ranges(cut: Iterable[Limited]) -> list[tuple[str, str]]:
    """(ranks before, ranks after), a pair for each rank before that has one after; ranges where there are many."""
    pairs = sorted({(result.rank_before, result.rank) for result in cut})
    if len(pairs) <= 3:
        return [(str(before), str(after)) for before, after in pairs]
    return [(_span(before for before, _ in pairs), _span(after for _, after in pairs))]


def _span(numbers: Iterable[int]) -> str:
    ordered = sorted(numbers)
    return str(ordered[0]) if ordered[0] == ordered[-1] else f"{ordered[0]}–{ordered[-1]}"


def _share(cut: Iterable[Limited]) -> str:
    results = list(cut)
    total = sum(result.energy_before for result in results)
    kept = sum(result.energy_before * result.share for result in results)
    return f"{100 * kept / total if total else 100:.1f} %"


def _by_block(wanted: Iterable[tuple[Match, tuple[str, str]]], left: Left, layout: BlockLayout | None) -> str:
    """`IN04 128 → 32 (96.1 %), …`"""
    blocks: dict[str, list[Limited]] = {}
    for found, key in wanted:
        result = left[key]
        if result is not None:
            blocks.setdefault(block_of(found.target, layout), []).append(result)
    return ", ".join(
        f"{block} {_span(r.rank_before for r in cut)} → {_span(r.rank for r in cut)} ({_share(cut)})"
        for block, cut in ((block, blocks[block]) for block in in_order(blocks, layout))
    )
