"""`apply_stack`: a stack onto clones of a model and a text encoder."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .. import library
from ..library import LoraFile
from ..library.files import Watched
from ..library.presets import PresetFile
from ..stack.blocks import BlockLayout
from ..stack.entry import LoraEntry, SamplingPass
from ..stack.errors import MissingLorasError
from ..stack.printer import print_tag
from ..stack.stack import LoraStack
from .blocks import in_order
from .embeddings import add_embeddings
from .entries import OPEN_STEPS, OpenedEntry, Patcher, ResolvedEntry, open_entries, resolve_entries
from .keymap import Side, architecture_of, blocks_of
from .live import Chosen, Conditioned, Method, attach, choose, make_plan
from .parameters import Parameters
from .patches import put_patches
from .progress import Progress
from .report import AppliedLora, ApplyReport, FileReport, count, left_out_note
from .settings import CONFIG
from .store import STORE
from .unmatched import unmatched
from .weights import preset_files

logger = logging.getLogger("lora_deck")

Missing = Literal["error", "warn"]


@dataclass(frozen=True, slots=True)
class Applied:
    """What `apply_stack` gives back."""

    model: Patcher | None
    clip: Any | None
    report: ApplyReport
    files: tuple[LoraFile, ...]
    """Every file that the stack names."""
    loras: tuple[AppliedLora, ...]
    """Every entry that has a file, in order."""
    left_out: tuple[tuple[LoraEntry, str], ...]
    """(entry without one, why)."""
    presets: tuple[PresetFile, ...]
    """Every preset file that the stack's block weights were read against."""
    settings: tuple[Watched, ...]
    """The places where PEFT keeps a file's settings, whether there are any or not."""
    blocks: BlockLayout | None
    """The blocks of the connected model."""
    architecture: str | None


def apply_stack(
    model: Patcher | None,
    clip: Any | None,
    stack: LoraStack,
    sampling_pass: SamplingPass = "first",
    missing: Missing = "error",
    resolve: Callable[[str], LoraFile] = library.resolve,
    method: Method = "auto",
) -> Applied:
    """Applies a stack to clones of `model` (`ModelPatcher`) and `clip` (`CLIP`); the inputs stay as they are.

    Blocks on files: call it where the host executes nodes. `resolve`: from name to file, the library's if not said.

    Raises:
        MissingLorasError: names that do not resolve, with `missing="error"`.
        LoraFileError: a file that is unreadable, or does not fit what is connected.
        BlockWeightError: block or element weights that mean nothing for this model.
    """
    started = time.perf_counter()
    resolved, errors = resolve_entries(stack, sampling_pass, resolve)
    if errors and missing == "error":
        raise MissingLorasError([(print_tag(entry), error) for entry, error in errors])
    left_out = tuple((print_tag(entry), str(error)) for entry, error in errors)
    notes = [*stack.notes, *map(left_out_note, left_out)]

    new_model = model.clone() if model is not None else None
    new_clip = clip.clone() if clip is not None else None
    clones: dict[Side, Patcher] = {}
    if new_clip is not None:
        clones["te"] = new_clip.patcher
    if new_model is not None:
        clones["unet"] = new_model

    items = [item for item in resolved if item.te or item.unet]
    parameters = {side: Parameters(clone.model) for side, clone in clones.items()}
    progress = Progress(len(items) * (OPEN_STEPS + len(clones)))
    opened: Sequence[OpenedEntry] = open_entries(items, clones, progress, parameters)
    chosen = Chosen(tuple(opened))
    if new_model is not None:
        chosen = choose(method, new_model, opened, sampling_pass)
    opened = chosen.opened
    with STORE.started():
        reused = [put_patches(side, clone, opened, parameters[side], progress) for side, clone in clones.items()]
    if chosen.parts:
        plan, kept = make_plan(new_model, chosen)
        attach(new_model, plan)
        reused.append(kept)
    if new_model is not None:
        Conditioned(sampling_pass, missing, resolve).attach(new_model)
    notes.extend(chosen.notes)
    for entry in opened:
        notes.extend(f"{entry.item.file.name}: {note}" for note in _notes(entry))
    if new_clip is not None:
        unfit = add_embeddings(new_clip, (e for entry in opened for e in entry.opened.embeddings))
        notes.extend(f"The bundled embedding {name!r} fits no encoder of this clip." for name in unfit)
    report = ApplyReport(
        tuple(_file_report(item, opened, clones) for item in resolved),
        tuple(notes),
        time.perf_counter() - started,
        all(reused) and (bool(chosen.parts) or any(any(w) for entry in opened for w in entry.weights.values())),
        left_out,
    )
    logger.info(report.summary())
    return Applied(
        new_model,
        new_clip,
        report,
        tuple(r.file for r in resolved),
        tuple(_applied(item, opened) for item in resolved),
        tuple((entry, str(error)) for entry, error in errors),
        tuple(file for item in resolved for file in preset_files(item.entry)),
        tuple(Watched.of(Path(r.file.path).with_name(CONFIG)) for r in resolved),
        blocks_of(model.model) if model is not None else None,
        architecture_of(model.model) if model is not None else None,
    )


def _notes(entry: OpenedEntry) -> tuple[str, ...]:
    hidden = entry.item.file.hides
    unread = [f"{entry.rules.note}."] if entry.rules is not None and entry.rules.note else []
    elsewhere = [f"{entry.item.file.path} is used; of the same name: {', '.join(hidden)}."] if hidden else []
    said = (*entry.ranks.notes, *([entry.opened.note] if entry.opened.note else []))
    misfits = (misfit for matching in entry.matchings.values() for misfit in matching.misfits)
    left_out = (f"{module} left out, {reason}." for module, reason in (*entry.opened.modules.broken, *misfits))
    return (*unread, *elsewhere, *(f"{each}." for each in said), *left_out)


def _applied(item: ResolvedEntry, opened: Sequence[OpenedEntry]) -> AppliedLora:
    rules = next((e.rules for e in opened if e.item is item), None)
    return AppliedLora(item.entry, item.file, item.te, item.unet, rules.vector if rules is not None else ())


def _file_report(item: ResolvedEntry, opened: Sequence[OpenedEntry], clones: dict[Side, Patcher]) -> FileReport:
    entry = next((e for e in opened if e.item is item), None)
    if entry is None:
        return FileReport(item.file.name, item.te, item.unet)
    rules = str(entry.rules or "")
    matched = {side: matching.modules for side, matching in entry.matchings.items()}
    everywhere = frozenset().union(*matched.values())
    modules = entry.opened.modules
    layout = blocks_of(clones["unet"].model) if "unet" in clones else None
    blocks = frozenset().union(*(matching.placements.blocks(layout) for matching in entry.matchings.values()))
    return FileReport(
        item.file.name,
        item.te,
        item.unet,
        count(map(modules.families.__getitem__, everywhere)),
        tuple(sorted(frozenset().union(*map(modules.ranks.__getitem__, everywhere)))),
        len(matched.get("te", ())),
        len(matched.get("unet", ())),
        _blocks_text(item.entry, rules),
        unmatched(entry.opened, entry.matchings, {side: clone.model for side, clone in clones.items()}),
        len(modules.modules) + len(modules.broken),
        tuple(embedding.name for embedding in entry.opened.embeddings),
        entry.ranks.by_block,
        tuple(in_order(blocks, layout)),
        _notes(entry),
    )


def _blocks_text(entry: LoraEntry, rules: str) -> str:
    """Block and element weights as given, with what the blocks mean for this model."""
    blocks = [f"{entry.lbw}: {rules or 'none act'}"] if entry.lbw is not None else []
    return "; ".join(blocks + ([f"elements {entry.lbwe}"] if entry.lbwe is not None else []))
