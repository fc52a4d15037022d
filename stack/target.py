"""Nodes that change some entries of a stack: which ones, and what they say about it."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase

from .entry import LoraEntry
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


def with_block_weights(stack: LoraStack, blocks: str, target: str) -> tuple[LoraStack, str]:
    """The stack with `blocks` as `lbw` of the entries that `target` means, and a text that says what happened.

    Blank `blocks` change nothing. An `lbw` that an entry had is replaced, and a note says so.
    """
    spec = blocks.strip()
    if not spec:
        return stack, "No block weights given; the stack is unchanged."
    chosen = [entry for entry in stack if targets(entry, target)]
    if stack.entries and not chosen:
        note = f"Block weight: no LoRA of the stack is called {target.strip()!r}; nothing was changed."
        return replace(stack, notes=(*stack.notes, note)), note
    notes = tuple(
        f"Block weight: {entry.name} has {spec!r} instead of its own lbw={entry.lbw!r}."
        for entry in chosen
        if entry.lbw is not None and entry.lbw != spec
    )
    entries = tuple(replace(entry, lbw=spec) if targets(entry, target) else entry for entry in stack)
    names = ", ".join(entry.name for entry in chosen) or "no LoRA"
    return replace(stack, entries=entries, notes=(*stack.notes, *notes)), "\n".join((f"{spec}: {names}", *notes))
