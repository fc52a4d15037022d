"""A stack that belongs to one conditioning, and how a prompt falls into conditionings of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from .stack import LoraStack
from .tag import Repeats, WeightOrder, parse_prompt

STACK = "lora_deck"
"""Key of a conditioning's own stack in the host's conditioning."""
SUM = "lora_deck_sum"
"""Key that marks the parts of a prompt with `AND`: they are added up, not averaged."""

Combine = Literal["add", "replace"]
Scope = Literal["prompt", "sub-prompt"]

_AND = re.compile(r"\bAND\b")
_WEIGHT = re.compile(r"^(.*?)(?:\s*:\s*([-+]?(?:\d+\.?|\d*\.\d+)))?\s*$", re.DOTALL)
_BREAK = re.compile(r"\s*\bBREAK\b\s*")


@dataclass(frozen=True, slots=True)
class RowStack:
    """What acts where one conditioning is used."""

    stack: LoraStack
    replaces: bool = False
    """Whether the model's own stack does not act there."""

    def with_stack(self, stack: LoraStack, combine: Combine) -> RowStack:
        """With another stack after this one, or in place of it and of the model's."""
        return RowStack(stack, True) if combine == "replace" else RowStack(self.stack + stack, self.replaces)


def with_row_stack(conditioning: list[Any], stack: LoraStack, combine: Combine) -> list[Any]:
    """The host's conditioning, every part of it with a stack of its own; the input stays as it is."""
    result = []
    for tensor, options in conditioning:
        before = options.get(STACK) or RowStack(LoraStack())
        result.append([tensor, {**options, STACK: before.with_stack(stack, combine)}])
    return result


@dataclass(frozen=True, slots=True)
class SubPrompt:
    """One part of a prompt with `AND`."""

    chunks: tuple[str, ...]
    """The texts between its `BREAK`s, without tags."""
    weight: float
    stack: LoraStack
    """Its own tags, where they act on it alone."""


@dataclass(frozen=True, slots=True)
class SplitPrompt:
    """A prompt, taken apart as A1111 does it."""

    parts: tuple[SubPrompt, ...]
    stack: LoraStack
    """The tags that act on the whole."""
    text: str
    """Without tags."""

    @property
    def is_sum(self) -> bool:
        """Whether it has an `AND`."""
        return len(self.parts) > 1


def split_prompt(text: str, scope: Scope, weight_order: WeightOrder, repeats: Repeats) -> SplitPrompt:
    """Takes out the tags, then splits at `AND` (with `:weight` at a part's end) and `BREAK`.

    In scope `prompt` tags act on everything, wherever they stand; in `sub-prompt` each on the part that it stands in.
    A weight is read only beside an `AND`, so that a prompt may end in `16:9`.
    """
    whole = parse_prompt(text, weight_order, repeats)
    if scope == "prompt":
        pieces = [(piece, LoraStack()) for piece in _AND.split(whole.text)]
        stack = whole.stack
    else:
        stack = LoraStack()
        pieces = []
        for piece in _outside_of_tags(text, [(tag.start, tag.end) for tag in whole.tags]):
            parsed = parse_prompt(piece, weight_order, repeats)
            pieces.append((parsed.text, parsed.stack))
    parts = []
    for piece, own in pieces:
        weight = 1.0
        if len(pieces) > 1:
            found = _WEIGHT.match(piece)
            assert found is not None
            piece, weight = found[1], float(found[2]) if found[2] else 1.0
        parts.append(SubPrompt(tuple(_BREAK.split(piece)), weight, own))
    return SplitPrompt(tuple(parts), stack, whole.text)


def _outside_of_tags(text: str, tags: list[tuple[int, int]]) -> list[str]:
    """The text, split at every `AND` that is no part of a tag."""
    cuts = [m.span() for m in _AND.finditer(text) if not any(start <= m.start() < end for start, end in tags)]
    starts = [0, *(end for _, end in cuts)]
    ends = [*(start for start, _ in cuts), len(text)]
    return [text[start:end] for start, end in zip(starts, ends, strict=True)]
