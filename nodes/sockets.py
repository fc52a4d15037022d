"""Socket types that several nodes share."""

from __future__ import annotations

from comfy_api.latest import io

CATEGORY = "LoRA Deck"

Stack = io.Custom("LORA_DECK_STACK")
PlainList = io.Custom("LORA_STACK")
RayList = io.Custom("RAY_LORA")


def stack_input(optional: bool, tooltip: str) -> io.Input:
    """A `stack` input: ours, or other packs' plain list."""
    return io.MultiType.Input("stack", types=[Stack, PlainList], optional=optional, tooltip=tooltip)
