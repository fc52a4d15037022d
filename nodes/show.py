"""Text on a node in the graph."""

from __future__ import annotations

from typing import Any

from server import PromptServer


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


def tell_blocks(node_id: object, architecture: str | None, ids: tuple[str, ...]) -> None:
    """Tells the browser which blocks the model at this node has."""
    detail = {"node": str(node_id), "architecture": architecture, "ids": list(ids)}
    PromptServer.instance.send_sync("lora-deck.blocks", detail)
