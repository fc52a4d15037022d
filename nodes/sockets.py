"""Socket types that several nodes share."""

from __future__ import annotations

from comfy_api.latest import io

CATEGORY = "LoRA Deck"

Stack = io.Custom("LORA_DECK_STACK")
PlainList = io.Custom("LORA_STACK")
RayList = io.Custom("RAY_LORA")


class _ChoiceType(str):
    """The host takes a combo of an older kind of node to have its list of values for a type, and compares with `!=`."""

    __slots__ = ()

    def __ne__(self, other: object) -> bool:
        return False if isinstance(other, list) else str.__ne__(self, other)


Choice = io.Custom(_ChoiceType("COMBO,STRING"))
"""A value of a combo, as the host's samplers and loaders take it, or a text."""


def stack_input(optional: bool, tooltip: str) -> io.Input:
    """A `stack` input: ours, or other packs' plain list."""
    return io.MultiType.Input("stack", types=[Stack, PlainList], optional=optional, tooltip=tooltip)
