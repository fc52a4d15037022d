"""What an apply did, per file, for the node, the log and the STRING output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..library import LoraFile
from ..stack.entry import LoraEntry
from .unmatched import NOT_CONNECTED, Reasons

SHOWN_NAMES = 5


@dataclass(frozen=True, slots=True)
class FileReport:
    """One entry of the stack, as applied."""

    name: str
    """Path below its LoRA folder."""
    te: float
    unet: float
    """Weights in force."""
    families: tuple[tuple[str, int], ...] = ()
    """(family, modules)."""
    ranks: tuple[int, ...] = ()
    te_modules: int = 0
    unet_modules: int = 0
    blocks: str = ""
    """Block weights as given, and what they mean for this model."""
    unmatched: Reasons = ()
    """Modules and keys of the file that changed nothing here, by reason."""
    modules: int = 0
    """How many modules the file has."""
    embeddings: tuple[str, ...] = ()
    """Bundled with it, for prompts of the clip that comes out."""
    ranks_by_block: str = ""
    """What a rank limit did: ranks before and after and the energy kept."""
    in_blocks: tuple[str, ...] = ()
    """Ids of the blocks that it has modules for, in the order of the bars."""
    notes: tuple[str, ...] = ()
    """What a person should know about it, one sentence each."""

    def to_json(self) -> dict[str, Any]:
        """For the drawing on the node. `unmatched`: of each reason whether it is no fault, some names and how many."""
        return {
            "name": self.name, "te": self.te, "unet": self.unet,
            "families": [list(family) for family in self.families],
            "ranks": [min(self.ranks), max(self.ranks)] if self.ranks else None,
            "te_modules": self.te_modules, "unet_modules": self.unet_modules, "modules": self.modules,
            "blocks": self.blocks, "ranks_by_block": self.ranks_by_block,
            "unmatched": [
                {"reason": reason, "fine": reason in NOT_CONNECTED, "names": names[:SHOWN_NAMES], "count": len(names)}
                for reason, names in self.unmatched
            ],
            "embeddings": list(self.embeddings), "in_blocks": list(self.in_blocks), "notes": list(self.notes),
        }  # fmt: skip

    def __str__(self) -> str:
        weights = f"te {self.te:g}, unet {self.unet:g}"
        if not self.te and not self.unet:
            return f"{self.name} ({weights}): weight 0, not applied"
        families = ", ".join(f"{count} {family}" for family, count in self.families)
        ranks = f", rank {_range(self.ranks)}" if self.ranks else ""
        where = f"{self.unet_modules} in the model, {self.te_modules} in the text encoder"
        matched = self.te_modules + self.unet_modules
        line = f"{self.name} ({weights}): {families}{ranks}; {matched} of {self.modules} modules, {where}"
        if self.blocks:
            line += f"\n  blocks {self.blocks}"
        if self.ranks_by_block:
            line += f"\n  rank {self.ranks_by_block}"
        for reason, names in self.unmatched:
            more = len(names) - SHOWN_NAMES
            shown = ", ".join(names[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")
            line += f"\n  {len(names)} not applied, {reason}: {shown}"
        if self.embeddings:
            line += "\n  " + ", ".join(f"embedding:{name}" for name in self.embeddings)
        return line


@dataclass(frozen=True, slots=True)
class AppliedLora:
    """One entry of the stack with its file and the weights in force, as a value to keep."""

    entry: LoraEntry
    file: LoraFile
    te: float
    unet: float
    blocks: tuple[tuple[str, float], ...] = ()
    """(block id, factor), empty without block weights."""


@dataclass(frozen=True, slots=True)
class ApplyReport:
    """One run of `LoraStackApply`."""

    files: tuple[FileReport, ...] = ()
    notes: tuple[str, ...] = ()
    """What was left out, and why."""
    seconds: float = 0.0
    reused: bool = False
    """Whether an earlier result was handed out again."""
    left_out: tuple[tuple[str, str], ...] = ()
    """(tag, why) of entries without a file."""

    def to_json(self) -> dict[str, Any]:
        """For the drawing on the node; `notes` are those that belong to no file and to no entry that was left out."""
        told = {f"{file.name}: {note}" for file in self.files for note in file.notes}
        told.update(map(left_out_note, self.left_out))
        return {
            "files": [file.to_json() for file in self.files],
            "left_out": [{"tag": tag, "reason": reason} for tag, reason in self.left_out],
            "notes": [note for note in self.notes if note not in told],
            "seconds": self.seconds, "reused": self.reused,
        }  # fmt: skip

    def __str__(self) -> str:
        lines = [str(file) for file in self.files] or ["The stack is empty; nothing was applied."]
        lines.extend(self.notes)
        lines.append("unchanged since the last run" if self.reused else f"{self.seconds:.2f} s")
        return "\n".join(lines)

    def summary(self) -> str:
        """One line for the log."""
        names = ", ".join(f"{f.name} ({f.te:g}/{f.unet:g})" for f in self.files) or "nothing"
        state = "reused" if self.reused else f"{self.seconds:.2f} s"
        return f"applied {names}; {len(self.notes)} notes; {state}"


def left_out_note(left: tuple[str, str]) -> str:
    """`left`: (tag, why)."""
    return f"Left out {left[0]}: {left[1]}"


def count(families: Iterable[str]) -> tuple[tuple[str, int], ...]:
    """(family, how often), most frequent first."""
    return tuple(Counter(families).most_common())


def _range(ranks: tuple[int, ...]) -> str:
    low, high = min(ranks), max(ranks)
    return str(low) if low == high else f"{low} to {high}"
