"""Nodes that change some entries of a stack: which ones, and what they say about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase

from .entry import LoraEntry
from .rank_limit import Method, RankLimit
from .schedule import CURVE_KEYS, WINDOW_KEYS, Curve, read_curve
from .stack import LoraStack

_EXTENSIONS = (".safetensors", ".sft", ".pt", ".pth", ".ckpt", ".bin")


def targets(entry: LoraEntry, target: str) -> bool:
    """Whether a node's `target` means this entry: empty means all, else a name or a pattern with `*`, `?`, `[abc]`.

    Letter case, either separator, the folder and the extension are forgiven.
    """
    wanted = _plain(target)
    if not wanted:
        return True
    name = _plain(entry.name)
    return any(name_ == wanted or fnmatchcase(name_, wanted) for name_ in (name, name.rpartition("/")[2]))


def _plain(name: str) -> str:
    plain = name.strip().replace("\\", "/").casefold()
    extension = next((e for e in _EXTENSIONS if plain.endswith(e)), "")
    return plain[: len(plain) - len(extension)]


def with_schedule(stack: LoraStack, moves: Mapping[str, str], target: str) -> tuple[LoraStack, str]:
    """The stack with a schedule for the diffusion model's weight of the entries that `target` means, and what happened.

    `moves`: as `read_moves` gives them; none change nothing. A schedule that an entry had for either pass is replaced,
    and a note says so.
    """
    if not moves:
        return stack, "No schedule given; the stack is unchanged."
    chosen = [entry for entry in stack if targets(entry, target)]
    if stack.entries and not chosen:
        note = f"LoRA schedule: no LoRA of the stack is called {target.strip()!r}; nothing was changed."
        return replace(stack, notes=(*stack.notes, note)), note
    shown = ", ".join(text if key == "unet" else f"{key}={text}" for key, text in moves.items())
    notes: list[str] = []
    entries = []
    for entry in stack:
        if not targets(entry, target):
            entries.append(entry)
            continue
        before = [f"{key}={text}" for key, text in entry.extra if key in moves or (key == "hrunet" and "unet" in moves)]
        notes += [f"LoRA schedule: {entry.name} has {shown} instead of its own {was}." for was in before]
        entries.append(_scheduled(entry, moves))
    names = ", ".join(entry.name for entry in chosen) or "no LoRA"
    return (
        replace(stack, entries=tuple(entries), notes=(*stack.notes, *notes)),
        "\n".join((f"{shown}: {names}", *notes)),
    )


def _scheduled(entry: LoraEntry, moves: Mapping[str, str]) -> LoraEntry:
    gone = {*moves, "hrunet"} if "unet" in moves else set(moves)
    extra = [pair for pair in entry.extra if pair[0] not in gone]
    curve = read_curve(moves["unet"]) if "unet" in moves else None
    if isinstance(curve, Curve):
        entry = replace(entry, unet=curve.largest, hr_unet=None)
    elif curve is not None:
        entry = replace(entry, unet=curve, hr_unet=None)
    extra += [(key, text) for key, text in moves.items() if key != "unet" or isinstance(curve, Curve)]
    order = (*CURVE_KEYS, *WINDOW_KEYS)
    extra.sort(key=lambda pair: order.index(pair[0]) if pair[0] in order else len(order))
    return replace(entry, extra=tuple(extra))


def with_block_weights(stack: LoraStack, blocks: str, target: str) -> tuple[LoraStack, str]:
    """The stack with `blocks` as `lbw` of the entries that `target` means, and a text that says what happened.

    Blank `blocks` change nothing. An `lbw` that an entry had is replaced, and a note says so.
    """
    spec = blocks.strip()
    if not spec:
        return stack, "No block weights given; the stack is unchanged."

    def replaced(entry: LoraEntry) -> str:
        return f"lbw={entry.lbw!r}" if entry.lbw not in (None, spec) else ""

    return _changed(stack, target, "Block weight", repr(spec), spec, lambda e: replace(e, lbw=spec), replaced)


def with_rank_limit(
    stack: LoraStack, method: Method, rank: int, energy: float, target: str
) -> tuple[LoraStack, str]:
    """The stack with a rank limit on the entries that `target` means, and a text that says what happened.

    `truncate` is the entry's `dyn`. A `rank` of 0 is no limit and takes an entry's own away. A limit that an entry had
    is replaced, and a note says so.

    Raises:
        ValueError: `energy` is no share, or `rank` is negative where the method has no such form.
    """
    has_limit = bool(rank) or method == "energy"
    limit = RankLimit.from_json({"method": method, "rank": rank, "energy": energy}) if has_limit else None
    dyn = limit.rank if limit is not None and method == "truncate" else None
    other = limit if method != "truncate" else None

    def limited(entry: LoraEntry) -> LoraEntry:
        return replace(entry, dyn=dyn, rank_limit=other)

    def replaced(entry: LoraEntry) -> str:
        if limited(entry) == entry:
            return ""
        return str(entry.rank_limit or (f"dyn={entry.dyn}" if entry.dyn is not None else ""))

    said = str(limit) if limit is not None else "no limit"
    return _changed(stack, target, "Dynamic rank", said, said, limited, replaced)


def _changed(
    stack: LoraStack,
    target: str,
    node: str,
    value: str,
    headline: str,
    change: Callable[[LoraEntry], LoraEntry],
    replaced: Callable[[LoraEntry], str],
) -> tuple[LoraStack, str]:
    """The stack with the meant entries changed. `replaced`: what an entry had of its own and loses, as text."""
    chosen = [entry for entry in stack if targets(entry, target)]
    if stack.entries and not chosen:
        note = f"{node}: no LoRA of the stack is called {target.strip()!r}; nothing was changed."
        return replace(stack, notes=(*stack.notes, note)), note
    notes = tuple(
        f"{node}: {entry.name} has {value} instead of its own {own}." for entry in chosen if (own := replaced(entry))
    )
    entries = tuple(change(entry) if targets(entry, target) else entry for entry in stack)
    names = ", ".join(entry.name for entry in chosen) or "no LoRA"
    return replace(stack, entries=entries, notes=(*stack.notes, *notes)), "\n".join((f"{headline}: {names}", *notes))
