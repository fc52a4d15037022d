"""What nodes tell the browser, to be shown in the graph."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from comfy_api.latest import io
from server import PromptServer

REPEATED: dict[str, Any] = {
    name: True for name in (field.name for field in fields(io.Schema)) if name == "has_intermediate_output"
}
"""For the schema of a node whose ui output a page needs though nothing ran anew; older hosts do not know the word."""


def show_text(node_id: object, text: str) -> None:
    """Shows a text on the node that runs. It stays there until another one comes; the browser ignores an empty one."""
    PromptServer.instance.send_progress_text(text, str(node_id))


def tell_strengths(node_id: object, look: dict[str, Any]) -> None:
    """Tells the browser what Inspect measured: the event `lora-deck.strength`, for the drawing on the node and for the
    strength line under a BlockWeight's bars.

    Its detail: `node`, `architecture`, `ids` (blocks in the order of the bars), `loras` (`name` below its folder, `te`,
    `unet`, `families`, `ranks`, `blocks`: id → `strength` ‖Δ‖/‖W‖, `ranks` [low, high], `effective`, `modules`; a block
    without keys of that LoRA is left out), `overlaps` (`first`, `second`: numbers of LoRAs, `cosine`, `blocks`).
    The node's own drawing comes from the same numbers in its ui output, which the host repeats for a cached node.
    """
    PromptServer.instance.send_sync("lora-deck.strength", {"node": str(node_id), **look})
