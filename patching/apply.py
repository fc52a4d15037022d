"""`apply_stack`: a stack onto clones of a model and a text encoder."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .. import library
from ..library import LoraFile
from ..library.files import Watched
from ..library.presets import PresetFile
from ..stack.architectures import is_text_encoder_name
from ..stack.blocks import BlockLayout
from ..stack.entry import LoraEntry, SamplingPass
from ..stack.errors import AmbiguousLoraError, LoraFileError, LoraNotFoundError, MissingLorasError
from ..stack.printer import print_tag
from ..stack.stack import LoraStack
from .adapter import DeckAdapter, Part, pack_part, pack_parts
from .embeddings import add_embeddings
from .keymap import Side, architecture_of, blocks_of, key_map, weight_shape
from .match import Matching, match
from .open import OpenFile, open_file
from .rank_limit import explain, limited
from .report import ApplyReport, FileReport, count
from .reuse import ResultCache
from .settings import CONFIG
from .unmatched import unmatched
from .weights import BlockRules, preset_files, read_rules

logger = logging.getLogger("lora_deck")

Missing = Literal["error", "warn"]
Patcher = Any
"""The host's `ModelPatcher`, which has no types."""

_results = ResultCache()


@dataclass(frozen=True, slots=True)
class Applied:
    """What `apply_stack` gives back."""

    model: Patcher | None
    clip: Any | None
    report: ApplyReport
    files: tuple[LoraFile, ...]
    """Every file that the stack names."""
    presets: tuple[PresetFile, ...]
    """Every preset file that the stack's block weights were read against."""
    settings: tuple[Watched, ...]
    """The places where PEFT keeps a file's settings, whether there are any or not."""
    asked: tuple[tuple[str, str | None], ...]
    """(name of an entry, path of the file that it stood for, `None` where there was none)."""
    blocks: BlockLayout | None
    """The blocks of the connected model."""
    architecture: str | None


@dataclass(frozen=True, slots=True)
class _Resolved:
    entry: LoraEntry
    file: LoraFile
    te: float
    unet: float

    def weight(self, side: Side) -> float:
        return self.te if side == "te" else self.unet


@dataclass(frozen=True, slots=True)
class _Opened:
    """A resolved entry with its file and what of it fits each connected side, at which weight."""

    item: _Resolved
    opened: OpenFile
    matchings: dict[Side, Matching]
    weights: dict[Side, tuple[float, ...]]
    """One weight for each match of the side."""
    rules: BlockRules | None


def apply_stack(
    model: Patcher | None,
    clip: Any | None,
    stack: LoraStack,
    sampling_pass: SamplingPass = "first",
    missing: Missing = "error",
) -> Applied:
    """Applies a stack to clones of `model` (`ModelPatcher`) and `clip` (`CLIP`); the inputs stay as they are.

    Blocks on files: call it where the host executes nodes.

    Raises:
        MissingLorasError: names that do not resolve, with `missing="error"`.
        LoraFileError: a file that is unreadable, or does not fit what is connected.
        BlockWeightError: block or element weights that mean nothing for this model.
    """
    started = time.perf_counter()
    resolved, errors = _resolve(stack, sampling_pass)
    if errors and missing == "error":
        raise MissingLorasError([(print_tag(entry), error) for entry, error in errors])
    notes = [*stack.notes, *(f"Left out {print_tag(entry)}: {error}" for entry, error in errors)]

    new_model = model.clone() if model is not None else None
    new_clip = clip.clone() if clip is not None else None
    clones: dict[Side, Patcher] = {}
    if new_clip is not None:
        clones["te"] = new_clip.patcher
    if new_model is not None:
        clones["unet"] = new_model

    opened = [_open(item, clones) for item in resolved if item.te or item.unet]
    reused = [_patch(side, clone, opened) for side, clone in clones.items()]
    for entry in opened:
        notes.extend(_notes(entry))
    if new_clip is not None:
        unfit = add_embeddings(new_clip, (e for entry in opened for e in entry.opened.embeddings))
        notes.extend(f"The bundled embedding {name!r} fits no encoder of this clip." for name in unfit)
    report = ApplyReport(
        tuple(_file_report(item, opened, clones) for item in resolved),
        tuple(notes),
        time.perf_counter() - started,
        all(reused) and any(any(weights) for entry in opened for weights in entry.weights.values()),
    )
    logger.info(report.summary())
    return Applied(
        new_model,
        new_clip,
        report,
        tuple(r.file for r in resolved),
        tuple(file for item in resolved for file in preset_files(item.entry)),
        tuple(Watched.of(Path(r.file.path).with_name(CONFIG)) for r in resolved),
        (*((r.entry.name, r.file.path) for r in resolved), *((entry.name, None) for entry, _ in errors)),
        blocks_of(model.model) if model is not None else None,
        architecture_of(model.model) if model is not None else None,
    )


def _resolve(
    stack: LoraStack, sampling_pass: SamplingPass
) -> tuple[list[_Resolved], list[tuple[LoraEntry, LoraNotFoundError | AmbiguousLoraError]]]:
    resolved: list[_Resolved] = []
    errors: list[tuple[LoraEntry, LoraNotFoundError | AmbiguousLoraError]] = []
    for entry in stack:
        try:
            file = library.resolve(entry.name)
        except (LoraNotFoundError, AmbiguousLoraError) as error:
            errors.append((entry, error))
            continue
        te, unet = entry.weights(sampling_pass)
        resolved.append(_Resolved(entry, file, te, unet))
    return resolved, errors


def _open(item: _Resolved, clones: dict[Side, Patcher]) -> _Opened:
    opened = open_file(item.file)
    matchings = {side: match(side, clone.model, item.file, opened) for side, clone in clones.items()}
    _check_fit(item.file, opened, matchings, clones)
    rules = read_rules(item.entry, blocks_of(clones["unet"].model) if "unet" in clones else None)
    weights = {side: _weights(item.weight(side), rules, matching) for side, matching in matchings.items()}
    return _Opened(item, opened, matchings, weights, rules)


def _weights(weight: float, rules: BlockRules | None, matching: Matching) -> tuple[float, ...]:
    if rules is None:
        return (weight,) * len(matching.matches)
    return tuple(weight * rules.factor(found.target, found.module) for found in matching.matches)


def _check_fit(file: LoraFile, opened: OpenFile, matchings: dict[Side, Matching], clones: dict[Side, Patcher]) -> None:
    """Refuses a file of which nothing fits, or which was plainly made for another architecture."""
    modules = opened.modules.modules
    if not modules and not opened.embeddings:
        broken = next((f" ({name}: {reason})" for name, reason in opened.modules.broken), "")
        raise LoraFileError(
            file.path,
            f"0 of its {opened.keys} keys are of a LoRA{broken}. It may be a checkpoint, a VAE, a textual "
            "inversion (which belongs into the embeddings folder), or cut short.",
        )
    matched = sum(len(matching.modules) for matching in matchings.values())
    unet = clones.get("unet")
    if unet is None or not modules:
        # A file's unet modules are no concern of a lone text encoder; those for another text encoder are.
        if "te" in clones and not matched and any(is_text_encoder_name(name) for name in modules):
            looks = f" It looks like a {opened.looks_like} LoRA." if opened.looks_like else ""
            raise LoraFileError(file.path, f"0 of its {len(modules)} modules match this text encoder.{looks}")
        return
    misfits = [misfit for matching in matchings.values() for misfit in matching.misfits]
    architecture = architecture_of(unet.model)
    foreign = opened.looks_like is not None and architecture not in (None, opened.looks_like)
    if matched and not (misfits and foreign):
        return
    if modules and all(is_text_encoder_name(name) for name in modules):
        if "te" not in clones:
            return
        looks = "It changes text encoders only, and not the one that is connected"
    elif not key_map("unet", unet.model).is_reachable:
        looks = (
            "The weights of this model are out of reach of ComfyUI's patcher, as packs with kernels of their own keep "
            "them; use the LoRA loader of the pack that loaded the model"
        )
    else:
        known = f"a {opened.looks_like} LoRA" if opened.looks_like else "no LoRA that is known here"
        looks = f"It looks like {known}" + (f", and this model is {architecture}" if architecture else "")
    detail = f" ({misfits[0][0]}: {misfits[0][1]})" if misfits else ""
    raise LoraFileError(
        file.path, f"{matched} of its {len(modules)} modules ({opened.keys} keys) match this model{detail}. {looks}."
    )


def _patch(side: Side, clone: Patcher, opened: Sequence[_Opened]) -> bool:
    """Puts the side's patches on a fresh clone; whether an earlier result could be used again."""
    active = [entry for entry in opened if any(entry.weights[side])]
    if not active:
        return True
    stack_key = tuple((e.opened.version, e.item.entry.dyn or None, e.weights[side]) for e in active)
    kept = _results.recall(clone.model, clone.patches_uuid, (side, stack_key))
    if kept is not None:
        kept.put_on(clone)
        return True
    base_uuid = clone.patches_uuid
    parts: dict[str, list[Part]] = {}
    for entry in active:
        for found, multiplier in zip(entry.matchings[side].matches, entry.weights[side], strict=True):
            if not multiplier:
                continue
            target, strategy = found.target, limited(found.strategy, entry.item.entry.dyn)
            parts.setdefault(target.key, []).append(
                pack_part(strategy, multiplier, target.offset, target.function, found.shape)
            )
    shapes = {key: weight_shape(clone.model, key) for key in parts}
    clone.add_patches({key: DeckAdapter(set(), pack_parts(changes, shapes[key])) for key, changes in parts.items()})
    _results.keep(clone.model, base_uuid, (side, stack_key), clone)
    return False


def _notes(entry: _Opened) -> list[str]:
    name = entry.item.file.name
    hidden = entry.item.file.hides
    unread = [f"{name}: {entry.rules.note}."] if entry.rules is not None and entry.rules.note else []
    elsewhere = [f"{name}: {entry.item.file.path} is used; of the same name: {', '.join(hidden)}."] if hidden else []
    used = [found.strategy for matching in entry.matchings.values() for found in matching.matches]
    return (
        unread
        + elsewhere
        + [f"{name}: {said}." for said in explain(entry.item.entry.dyn, used)]
        + [
            f"{name}: {module} left out, {reason}."
            for module, reason in (
                *entry.opened.modules.broken,
                *(misfit for matching in entry.matchings.values() for misfit in matching.misfits),
            )
        ]
    )


def _file_report(item: _Resolved, opened: Sequence[_Opened], clones: dict[Side, Patcher]) -> FileReport:
    entry = next((e for e in opened if e.item is item), None)
    if entry is None:
        return FileReport(item.file.name, item.te, item.unet)
    rules = str(entry.rules or "")
    matched = {side: matching.modules for side, matching in entry.matchings.items()}
    everywhere = frozenset().union(*matched.values())
    used = [m for matching in entry.matchings.values() for m in matching.matches]
    modules = entry.opened.modules
    return FileReport(
        item.file.name,
        item.te,
        item.unet,
        count(modules.modules[name].family for name in everywhere),
        tuple(sorted({m.strategy.rank for m in used if m.strategy.rank is not None})),
        len(matched.get("te", ())),
        len(matched.get("unet", ())),
        _blocks_text(item.entry, rules),
        unmatched(entry.opened, entry.matchings, {side: clone.model for side, clone in clones.items()}),
        len(modules.modules) + len(modules.broken),
        tuple(embedding.name for embedding in entry.opened.embeddings),
    )


def _blocks_text(entry: LoraEntry, rules: str) -> str:
    """Block and element weights as given, with what the blocks mean for this model."""
    blocks = [f"{entry.lbw}: {rules or 'none act'}"] if entry.lbw is not None else []
    return "; ".join(blocks + ([f"elements {entry.lbwe}"] if entry.lbwe is not None else []))
