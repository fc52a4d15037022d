"""Architectures, told apart by key names and shapes alone: of a model's weights and of a LoRA file's modules.

Names are compared with `.` and `_` taken as one and without the prefixes that trainers put before them, so one
pattern serves every spelling. To add an architecture, add one `Architecture` to `ARCHITECTURES`; order says which
one wins where two match.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

Shapes = Mapping[str, tuple[int, ...]]


class KeyFacts:
    """What the detection rules ask about a set of keys."""

    def __init__(self, shapes: Shapes) -> None:
        """`shapes`: key → shape, of a checkpoint, a loaded model or a LoRA file."""
        self._shapes = shapes
        self._text = "\n".join(shapes).replace(".", "_")
        self._asked: dict[str, bool] = {}

    def has(self, *patterns: str) -> bool:
        """Whether any key, with `.` as `_`, contains one of the regular expressions.

        Several that begin with plain text are found ten times faster than one that joins them with `|`.
        """
        return any(self._contains(pattern) for pattern in patterns)

    def _contains(self, pattern: str) -> bool:
        # Several rules ask for the same key.
        found = self._asked.get(pattern)
        if found is None:
            found = self._asked[pattern] = re.search(pattern, self._text) is not None
        return found

    def highest(self, pattern: str) -> int:
        """The highest number that the pattern's group 1 takes over all keys, -1 without a match."""
        return max((int(number) for number in re.findall(pattern, self._text)), default=-1)

    @cached_property
    def context_width(self) -> int | None:
        """Width of the text that cross attention reads: the input width of an `attn2` key or value projection."""
        for key, shape in self._shapes.items():
            if len(shape) >= 2 and re.search(r"attn2[._](?:processor[._])?to_[kv]", key) and _CONTEXT_KEY.search(key):
                return shape[1]
        return None


# Endings whose second dimension is the module's input width: a model's own weight, and the last factor of
# kohya's, PEFT's and LyCORIS' files.
_CONTEXT_KEY = re.compile(
    r"to_[kv](?:_lora\.down|\.lora_down|\.lora_A|\.lora\.down|\.lora_linear_layer\.down)?(?:\.default)?\.weight$"
    r"|\.hada_w[12]_b$|\.diff$"
)


@dataclass(frozen=True, slots=True)
class Architecture:
    """One row: a family of models whose LoRA files fit each other."""

    name: str
    """Short name, as shown to users."""
    matches: Callable[[KeyFacts], bool]


_UNET = (
    r"input_blocks_\d+_",
    r"output_blocks_\d+_",
    r"down_blocks_\d+_(?:attentions|resnets|downsamplers)",
    r"up_blocks_\d+_(?:attentions|resnets|upsamplers)",
    r"mid_block_",
    r"middle_block_",
)


def _is_unet(facts: KeyFacts) -> bool:
    return facts.has(*_UNET)


def _is_sdxl(facts: KeyFacts) -> bool:
    if not _is_unet(facts):
        return False
    if facts.context_width is not None:
        return facts.context_width == 2048
    deeper = facts.highest(r"(?:input_blocks_\d+_1|output_blocks_\d+_1|attentions_\d)_transformer_blocks_(\d+)_")
    return deeper > 0 or facts.has(r"lora_te2_|label_emb_0_0")


def _is_sd2(facts: KeyFacts) -> bool:
    return _is_unet(facts) and facts.context_width == 1024


def _is_sd1(facts: KeyFacts) -> bool:
    return _is_unet(facts) and facts.context_width in (768, None)


def _is_flux(facts: KeyFacts) -> bool:
    if facts.has(r"double_blocks_\d+_") and facts.has(r"txt_attn|img_attn|img_mod|txt_mod|img_mlp|txt_mlp"):
        return True
    return facts.has(r"single_transformer_blocks_\d+_") or facts.has(r"(?<!double_)single_blocks_\d+_linear[12]")


ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture("SDXL", _is_sdxl),
    Architecture("SD2", _is_sd2),
    Architecture("SD1", _is_sd1),
    Architecture("Flux", _is_flux),
)


def detect(shapes: Shapes) -> str | None:
    """The name of the first architecture whose rule the keys fulfil, else `None`.

    `shapes`: key → shape; of a file's header or of a model's state dict.
    """
    facts = KeyFacts(shapes)
    return next((row.name for row in ARCHITECTURES if row.matches(facts)), None)


_TEXT_ENCODER = re.compile(
    r"(?:base_model\.model\.)?(?:lora_te|oft_te|lora_prior_te|text_encoder|text_model|te\d?[._]|clip_[lgh]\.|t5xxl\.)"
)


def is_text_encoder_name(module: str) -> bool:
    """Whether a LoRA file's module name belongs to a text encoder, by its prefix."""
    return _TEXT_ENCODER.match(module) is not None
