"""A stack written as one LoRA file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from safetensors.torch import save_file

from .. import library
from ..library.place import add_file, relative_place
from ..stack.printer import print_tag
from ..stack.stack import LoraStack
from .merge import Merged, Source, merge_stack

SOURCES = "lora_deck_sources"
"""Field of the header that says what the file was made of."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What `save_stack` wrote."""

    name: str
    """Below the LoRA folder."""
    report: str
    asked: tuple[tuple[str, str], ...]
    """(name of an entry, path of the file that it stood for)."""


def save_stack(stack: LoraStack, filename: str, rank: int, model: Any | None, clip: Any | None) -> Saved:
    """Writes a stack as one LoRA file into the first LoRA folder, over nothing. See `merge_stack` and `add_file`."""
    relative_place(filename)
    merged = merge_stack(stack, rank, model, clip)
    # One field alone: safetensors writes several in any order, and the same stack is to give the same bytes.
    header = {SOURCES: json.dumps([_source(source) for source in merged.sources], ensure_ascii=False)}
    name, new = add_file(filename, lambda path: save_file(merged.tensors, path, header))
    return Saved(name, _report(name, new, rank, merged), tuple((s.entry.name, s.file.path) for s in merged.sources))


def _source(source: Source) -> dict[str, Any]:
    (entry,) = LoraStack((source.entry,)).to_json()["entries"]
    found = library.identify(source.file).to_json()
    return {**entry, **found, "te": source.te, "unet": source.unet}


def _report(name: str, new: bool, rank: int, merged: Merged) -> str:
    size = sum(t.numel() * t.element_size() for t in merged.tensors.values()) / 1e6
    lines = [f"{name} ({size:.1f} MB): {merged.modules} weights and biases"]
    if not new:
        lines[0] = f"{name} is there already, with the same content."
    lines.extend(f"  from {source.file.name} as {print_tag(source.entry)}" for source in merged.sources)
    if rank:
        lines.append(f"rank {rank} keeps {100 * merged.kept:.1f} % of the energy of what is above it")
    return "\n".join([*lines, *merged.notes])
