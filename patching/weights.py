"""The weight of one module: the entry's te or unet weight times its block's or its element's."""

from __future__ import annotations

from dataclasses import dataclass

from ..library import presets
from ..library.presets import PresetFile
from ..stack.block_weights import BlockWeightError, BlockWeights, resolve_block_weights
from ..stack.blocks import TEXT_ENCODERS, BlockLayout, text_encoder_of
from ..stack.element_weights import ElementWeights, resolve_element_weights
from ..stack.entry import LoraEntry
from .keymap import Target

# What a vector may mean where no model is connected that would say it: UNets' lists, then Flux'.
_WITHOUT_MODEL = (
    BlockLayout(True, (("IN", 12), ("M", 1), ("OUT", 12))),
    BlockLayout(True, (("IN", 9), ("M", 1), ("OUT", 9))),
    BlockLayout(False, (("D", 19), ("S", 38))),
)

_NO_BLOCKS = BlockLayout(False, ())


@dataclass(frozen=True, slots=True)
class BlockRules:
    """An entry's `lbw` and `lbwe`, read against the connected model."""

    layout: BlockLayout
    blocks: BlockWeights | None
    elements: ElementWeights | None
    note: str = ""
    """What could not be read, and what was done instead."""

    def factor(self, target: Target, module: str) -> float:
        """What the te or unet weight is multiplied with. `module`: the file's name of the module."""
        block = text_encoder_of(target.key) if target.side == "te" else self.layout.block_of(target.key)
        if self.elements is not None:
            ratio = self.elements.of(block, f"{target.key} {module}".replace(".", "_").lower())
            if ratio is not None:
                return ratio
        return 1.0 if self.blocks is None else self.blocks.of(block)

    @property
    def vector(self) -> tuple[tuple[str, float], ...]:
        """(id, factor) of every block of the model and of what lies around them; empty without block weights."""
        if self.blocks is None:
            return ()
        parts = tuple((block, weight) for block, weight in self.blocks.blocks if "/" in block)
        return (*self.blocks.around, *((block, self.blocks.of(block)) for block in self.layout.ids), *parts)

    def __str__(self) -> str:
        if self.blocks is None:
            return ""
        around = [f"{key} {weight:g}" for key, weight in self.blocks.around if weight != 1]
        return ", ".join([*_runs(self.blocks, self.layout), *around])


def read_rules(entry: LoraEntry, layout: BlockLayout | None) -> BlockRules | None:
    """The rules of an entry, `None` where it has none. `layout`: of the connected model, `None` without one.

    Raises:
        BlockWeightError: the text means nothing for this model; the message begins with the entry's name.
    """
    if entry.lbw is None and entry.lbwe is None:
        return None
    error: BlockWeightError | None = None
    for candidate in (layout,) if layout is not None else _WITHOUT_MODEL:
        try:
            return _read(entry, candidate)
        except BlockWeightError as caught:
            error = error or caught
    if layout is None:
        return _text_encoders_only(entry, error)
    raise BlockWeightError(f"{entry.name}: {error}") from error


def _text_encoders_only(entry: LoraEntry, error: BlockWeightError | None) -> BlockRules:
    """Without a model the blocks cannot be read; what the items say of text encoders can."""
    items = [item.strip() for item in (entry.lbw or "").partition(";")[0].split(",")]
    named = [item for item in items if item.partition("=")[0].strip().upper() in TEXT_ENCODERS]
    blocks = resolve_block_weights(",".join(named), _NO_BLOCKS, {}, entry.x, "") if named else None
    note = f"without a model, lbw={entry.lbw!r} is read for text encoders alone ({error})"
    return BlockRules(_NO_BLOCKS, blocks, None, note)


def _read(entry: LoraEntry, layout: BlockLayout) -> BlockRules:
    blocks = elements = None
    if entry.lbw is not None:
        known = presets.block_presets()
        blocks = resolve_block_weights(entry.lbw, layout, known.presets, entry.x, known.path)
    if entry.lbwe is not None:
        known = presets.element_presets()
        elements = resolve_element_weights(entry.lbwe, layout, known.presets, known.path)
    return BlockRules(layout, blocks, elements)


def preset_files(entry: LoraEntry) -> tuple[PresetFile, ...]:
    """The files whose change would change this entry's weights."""
    files = []
    if entry.lbw is not None:
        files.append(presets.block_presets())
    if entry.lbwe is not None:
        files.append(presets.element_presets())
    return tuple(files)


def _runs(weights: BlockWeights, layout: BlockLayout) -> list[str]:
    """`IN04–IN07 0.5, M00 1`: neighbours with one weight together, zeros left out."""
    runs: list[list[str]] = []
    values: list[float] = []
    for block in layout.ids:
        value = weights.of(block)
        if runs and values[-1] == value and runs[-1][-1].rstrip("0123456789") == block.rstrip("0123456789"):
            runs[-1].append(block)
        else:
            runs.append([block])
            values.append(value)
    return [
        f"{run[0]}–{run[-1]} {value:g}" if len(run) > 1 else f"{run[0]} {value:g}"
        for run, value in zip(runs, values, strict=True)
        if value
    ]
