"""What happens to a prompt between the browser and its validation."""

from __future__ import annotations

from typing import Any

from ..sharing.missing import APPLY, current_policies, policies
from ..sharing.records import current_records


def on_prompt(json_data: dict[str, Any]) -> dict[str, Any]:
    """The host's prompt handler; runs on the event loop, so it only reads the graph."""
    prompt = json_data.get("prompt")
    current_policies.set(policies(prompt) if isinstance(prompt, dict) else {})
    if isinstance(prompt, dict) and any(_is_apply(node) for node in prompt.values()):
        _records(json_data, prompt)
    return json_data


def _is_apply(node: object) -> bool:
    return isinstance(node, dict) and node.get("class_type") == APPLY


def _records(json_data: dict[str, Any], prompt: dict[str, Any]) -> None:
    """Makes the place where nodes write what they applied, which API clients leave out, and fills in what is known."""
    extra_data = json_data.get("extra_data")
    if extra_data is None:
        extra_data = json_data["extra_data"] = {}
    if not isinstance(extra_data, dict):
        return
    extra_pnginfo = extra_data.get("extra_pnginfo")
    if extra_pnginfo is None:
        extra_pnginfo = extra_data["extra_pnginfo"] = {}
    if isinstance(extra_pnginfo, dict):
        current_records.insert(prompt, extra_pnginfo)
