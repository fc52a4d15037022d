"""What happens to a prompt between the browser and its validation."""

from __future__ import annotations

from typing import Any

from ..sharing.missing import current_policies, policies


def on_prompt(json_data: dict[str, Any]) -> dict[str, Any]:
    """The host's prompt handler; runs on the event loop, so it only reads the graph."""
    prompt = json_data.get("prompt")
    current_policies.set(policies(prompt) if isinstance(prompt, dict) else {})
    return json_data
