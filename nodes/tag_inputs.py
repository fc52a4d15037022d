"""Inputs of the nodes that read tags in a prompt."""

from __future__ import annotations

from comfy_api.latest import io


def weight_order_input() -> io.Input:
    """What two bare numbers in a tag mean: a `stack.tag.WeightOrder`."""
    return io.Combo.Input(
        "weight_order",
        options=["a1111", "comfy"],
        default="a1111",
        tooltip="What two bare numbers in a tag mean. a1111: text encoder, then unet. "
        "comfy: unet, then text encoder, as prompts written for other ComfyUI packs have it.",
    )


def repeats_input() -> io.Input:
    """What a name that occurs several times means: a `stack.tag.Repeats`."""
    return io.Combo.Input(
        "repeats",
        options=["sum", "a1111"],
        default="sum",
        tooltip="When a name occurs several times. sum: each occurrence is applied. "
        "a1111: the last weight times the number of occurrences.",
    )
