"""Text on a node in the graph."""

from __future__ import annotations

from server import PromptServer


def show_text(node_id: object, text: str) -> None:
    """Shows a text on the node that runs. It stays there until another one comes; the browser ignores an empty one."""
    PromptServer.instance.send_progress_text(text, str(node_id))


def tell_blocks(node_id: object, architecture: str | None, ids: tuple[str, ...]) -> None:
    """Tells the browser which blocks the model at this node has."""
    detail = {"node": str(node_id), "architecture": architecture, "ids": list(ids)}
    PromptServer.instance.send_sync("lora-deck.blocks", detail)
