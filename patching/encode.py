"""A prompt with LoRAs as the host's conditioning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..stack.row_stack import STACK, SUM, RowStack, SplitPrompt
from ..stack.stack import LoraStack

ClipFor = Callable[[LoraStack], Any]
"""A stack → a `CLIP` with it."""


def encode_prompt(prompt: SplitPrompt, stack: LoraStack, clip_for: ClipFor) -> list[Any]:
    """One conditioning for each part of the prompt. `stack`: what acts on all parts, before their own."""
    result: list[Any] = []
    for part in prompt.parts:
        clip = clip_for(stack + prompt.stack + part.stack)
        own: dict[str, Any] = {STACK: RowStack(part.stack)} if len(part.stack) else {}
        if prompt.is_sum:
            own |= {"strength": part.weight, SUM: True}
        tokens = joined([clip.tokenize(chunk) for chunk in part.chunks])
        result += [[tensor, {**options, **own}] for tensor, options in clip.encode_from_tokens_scheduled(tokens)]
    return result


def joined(chunks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Token lists of several texts, one after the other for each encoder, as A1111 has them after a `BREAK`."""
    first, *rest = chunks
    return {
        name: [*tokens, *(row for chunk in rest for row in chunk[name])] if isinstance(tokens, list) else tokens
        for name, tokens in first.items()
    }
