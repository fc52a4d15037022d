"""Spellings: what a trainer may call a module that the host's own map has under another name.

Names are compared *flat*: the prefixes that trainers put in front are taken off, `.` and `_` count as one, a trailing
`_` is ignored. What is called differently altogether stands in `renames`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..stack.architectures import split_text_encoder_name
from .renames import FUSIONS, RENAMES, Part

_T = TypeVar("_T")

_PREFIX = re.compile(
    r"(?:base_model[._]model[._]|(?:model[._])?diffusion_model[._]|conditional_transformer\.|transformer(?:_2)?\.|unet\."
    r"|net\.|pipe\.|dit2?\.|module\.|_orig_mod\.|(?:high|low)_noise(?:_model)?[._]"
    r"|(?:lora|loha|lokr|oft|boft|ia3|glora|dora)_(?:prior_unet|unet|transformer|dit)__?|lycoris_(?:unet_)?)"
)
_WORDS = re.compile(r"(?:transformer_(?!blocks_)|(?:diffusion_model|model|unet|net|dit|module)_)")
"""What is left of a prefix where a trainer wrote it without its dot."""


@dataclass(frozen=True, slots=True)
class Found(Generic[_T]):
    """Where a name leads."""

    target: _T
    part: Part = None
    """Which rows of the target the file's module is."""


def flat(module: str) -> str:
    """A diffusion model's module as names are compared."""
    name = module
    while found := _PREFIX.match(name):
        name = name[found.end() :]
    return name.replace(".", "_").strip("_")


class FlatNames(Mapping[str, _T]):
    """Flat name → target. A name that would mean two targets means none."""

    def __init__(self, names: Iterable[tuple[str, _T]]) -> None:
        """`names`: pairs of (flat name, target)."""
        self._targets: dict[str, _T] = {}
        ambiguous: set[str] = set()
        for name, target in names:
            if self._targets.setdefault(name, target) != target:
                ambiguous.add(name)
        for name in ambiguous:
            del self._targets[name]

    def __getitem__(self, name: str) -> _T:
        return self._targets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._targets)

    def __len__(self) -> int:
        return len(self._targets)

    def find(self, name: str) -> Found[_T] | None:
        """Where a flat name leads, directly or by a rename."""
        found = self._find(name)
        while found is None and (word := _WORDS.match(name)):
            name = name[word.end() :]
            found = self._find(name)
        return found

    def _find(self, name: str) -> Found[_T] | None:
        if name in self._targets:
            return Found(self._targets[name])
        for rule in RENAMES:
            renamed = rule.apply(name)
            if renamed is not None and renamed in self._targets:
                return Found(self._targets[renamed], rule.part)
        return None

    def find_rows(self, name: str) -> tuple[Found[_T], ...] | None:
        """Where the rows of a fused module lead, from the first to the last; `None` where it is no such module."""
        for rule in FUSIONS:
            parts = [self.find(part) for part in rule.apply(name) or ()]
            if parts and None not in parts:
                return tuple(part for part in parts if part is not None)
        return None


def flat_text(module: str) -> tuple[str, str] | None:
    """(which text encoder, as written; flat path) of a text encoder's module, `None` for other modules."""
    found = split_text_encoder_name(module)
    return found and (found[0], _text_path(found[1]))


def flat_text_key(key: str) -> tuple[str, str]:
    """(encoder, flat path) of a text encoder's weight. `key`: the host's, `clip_l.transformer.….weight`."""
    encoder, _, path = key.removesuffix(".weight").partition(".")
    return encoder, _text_path(path.removeprefix("transformer."))


def _text_path(path: str) -> str:
    """Gemma's and Qwen's files leave out `model.`; names below `text_encoders` carry the encoder and `transformer`."""
    name = path.replace(".", "_").strip("_")
    name = re.sub(r"^(?:[a-z0-9_]+?_)?transformer_", "", name)
    return name.removeprefix("model_")
