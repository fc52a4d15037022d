"""The record: what one run of a `LoraStackApply` really applied, as JSON that travels with the picture.

It lies in the host's shared `extra_pnginfo`, so every node that saves a picture writes it; the form is described in
`docs/sharing.md`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from ..library import Identity
from ..stack.entry import LoraEntry, SamplingPass
from ..stack.stack import LoraStack

KEY = "lora_deck"
"""Of `extra_pnginfo`, and so the name of the picture's text chunk."""
VERSION = 1


@dataclass(frozen=True, slots=True)
class RecordedLora:
    """One entry of a stack with the file that was used for it."""

    entry: LoraEntry
    """As the stack asked for it."""
    file: Identity
    te: float
    """Weight in force in this pass."""
    unet: float
    blocks: tuple[tuple[str, float], ...] = ()
    """(block id of the connected model, factor on the weight); empty without block weights."""

    def to_json(self) -> dict[str, Any]:
        (entry,) = LoraStack((self.entry,)).to_json()["entries"]
        data: dict[str, Any] = {"entry": entry, **self.file.to_json(), "te": self.te, "unet": self.unet}
        if self.blocks:
            data["blocks"] = dict(self.blocks)
        limit = entry.get("rank_limit", self.entry.dyn)
        if limit is not None:
            data["rank_limit"] = limit
        return data


@dataclass(frozen=True, slots=True)
class Record:
    """One run of one node, for one item of a list."""

    sampling_pass: SamplingPass
    loras: tuple[RecordedLora, ...]
    left_out: tuple[tuple[LoraEntry, str], ...] = ()
    """(entry that was not applied, why)."""
    architecture: str | None = None
    """Of the connected model."""

    def to_json(self) -> dict[str, Any]:
        left_out = LoraStack(tuple(entry for entry, _ in self.left_out)).to_json()["entries"]
        return {
            "pass": self.sampling_pass,
            "architecture": self.architecture,
            "loras": [lora.to_json() for lora in self.loras],
            "left_out": [
                {"entry": entry, "reason": reason} for entry, (_, reason) in zip(left_out, self.left_out, strict=True)
            ],
        }


def put(extra_pnginfo: MutableMapping[str, Any], node_id: str, runs: Mapping[int, Mapping[str, Any]]) -> None:
    """Writes a node's records, by list index, in place of what was there about the node."""
    kept = extra_pnginfo.get(KEY)
    nodes = kept.get("nodes") if isinstance(kept, dict) else None
    if not isinstance(kept, dict) or not isinstance(nodes, dict):
        nodes = {}
        kept = extra_pnginfo[KEY] = {"lora_deck": VERSION, "nodes": nodes}
    nodes[node_id] = {str(index): dict(run) for index, run in sorted(runs.items())}


def records(extra_pnginfo: object) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    """(node id, list index, record) of everything that is recorded; nothing of what is malformed."""
    kept = extra_pnginfo.get(KEY) if isinstance(extra_pnginfo, Mapping) else None
    nodes = kept.get("nodes") if isinstance(kept, Mapping) else None
    for node_id, runs in nodes.items() if isinstance(nodes, Mapping) else ():
        for index, run in runs.items() if isinstance(runs, Mapping) else ():
            if isinstance(run, Mapping) and str(index).isdecimal():
                yield str(node_id), int(index), run
