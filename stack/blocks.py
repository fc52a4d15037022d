"""Block ids: which block of a model a weight lies in, counted from the model itself.

UNets have `IN00… M00 OUT00…`, transformers with two kinds of blocks `D00… S00…`, with one kind `L00…` (and `V00…` for
VACE). Around them stand `PRE` (what comes before the blocks), `POST` (what comes after), and for text encoders `BASE`
(all of them), `CLIP` and `T5`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

TEXT_ENCODERS = ("BASE", "CLIP", "T5")
AROUND = ("PRE", "POST")

_PREFIX = re.compile(r"^(?:model\.)?diffusion_model\.")
_UNET_BLOCK = re.compile(r"^(input_blocks|middle_block|output_blocks)\.(\d+)\.")
_STACK = re.compile(r"^([A-Za-z_0-9]*[A-Za-z_])\.(?:block)?(\d+)\.")
_AFTER = re.compile(r"(?:^|_)(?:out|final|head|last)(?:_|$)")
_LETTERS = {
    "double_blocks": "D", "double_stream_blocks": "D", "double_layers": "D",
    "single_blocks": "S", "single_stream_blocks": "S", "single_layers": "S",
    "vace_blocks": "V",
}  # fmt: skip
_UNET_LETTERS = {"input_blocks": "IN", "output_blocks": "OUT"}
_CLIP = re.compile(r"^clip_[a-z]\.")
_T5 = re.compile(r"^[a-z_]*t5[a-z0-9_]*\.")


@dataclass(frozen=True, slots=True)
class BlockLayout:
    """The blocks of one model."""

    is_unet: bool
    counts: tuple[tuple[str, int], ...]
    """(letters, how many) in the order of the forward pass: ("IN", 12), ("M", 1), ("OUT", 12)."""
    stacks: tuple[tuple[str, str], ...] = ()
    """(name of the module list, letters), where the letters are not known from the name alone."""

    @property
    def ids(self) -> tuple[str, ...]:
        """All numbered ids in order."""
        return tuple(f"{letters}{n:02d}" for letters, count in self.counts for n in range(count))

    def count(self, letters: str) -> int:
        """How many blocks have these letters."""
        return dict(self.counts).get(letters, 0)

    def group(self, name: str) -> tuple[str, ...] | None:
        """The ids of a group (`IN MID OUT D S L V ALL`), `None` where this model has no such group."""
        if name == "ALL":
            return self.ids
        letters = "M" if name in ("MID", "M") else name
        found = tuple(f"{letters}{n:02d}" for n in range(self.count(letters)))
        return found or None

    def block_of(self, key: str) -> str:
        """Id of a diffusion model's weight; `M00/1` names a part of the middle block. `key`: the model's own name."""
        return _block_of(self, key)


@lru_cache(maxsize=65536)
def _block_of(layout: BlockLayout, key: str) -> str:
    name = _PREFIX.sub("", key)
    if layout.is_unet:
        found = _UNET_BLOCK.match(name)
        if found and found[1] == "middle_block":
            return f"M00/{found[2]}"
        if found:
            return f"{_UNET_LETTERS[found[1]]}{int(found[2]):02d}"
    else:
        found = _STACK.match(name)
        letters = dict(layout.stacks).get(found[1]) if found else None
        if found and letters is not None:
            return f"{letters}{int(found[2]):02d}"
    return "POST" if _AFTER.search(name.split(".")[0]) else "PRE"


def text_encoder_of(key: str) -> str:
    """`CLIP`, `T5` or, for any other encoder, `BASE`. `key`: the text encoder's own name of a weight."""
    if _CLIP.match(key):
        return "CLIP"
    return "T5" if _T5.match(key) else "BASE"


def layout_of(keys: Iterable[str]) -> BlockLayout:
    """Counts the blocks of a diffusion model from the names of its weights."""
    highest: dict[str, int] = {}
    for key in keys:
        found = _STACK.match(_PREFIX.sub("", key))
        if found:
            highest[found[1]] = max(highest.get(found[1], -1), int(found[2]))
    if "input_blocks" in highest and "output_blocks" in highest:
        counts = (("IN", highest["input_blocks"] + 1), ("M", 1), ("OUT", highest["output_blocks"] + 1))
        return BlockLayout(True, counts)
    stacks = {name: letters for name, letters in _LETTERS.items() if name in highest}
    if "D" not in stacks.values() and "S" not in stacks.values():
        main = _main_stack(highest)
        if main is not None:
            stacks = {main: "L", **stacks}
    order = "DSLV"
    counted = sorted(
        ((letters, highest[name] + 1) for name, letters in stacks.items()), key=lambda c: order.index(c[0])
    )
    return BlockLayout(False, tuple(counted), tuple(stacks.items()))


def layout_of_ids(ids: Iterable[str]) -> BlockLayout:
    """The layout whose blocks have these ids, in the order of `BlockLayout.ids`. It knows no names of weights."""
    counts: dict[str, int] = {}
    for block in ids:
        letters = block.rstrip("0123456789")
        counts[letters] = counts.get(letters, 0) + 1
    return BlockLayout("IN" in counts, tuple(counts.items()))


def _main_stack(highest: dict[str, int]) -> str | None:
    """The longest list of blocks; refiners and embedders belong to what comes before them."""
    candidates = [name for name in highest if name not in _LETTERS and not re.search("refiner|embed|_in$|_out$", name)]
    return max(candidates, key=lambda name: highest[name], default=None)
