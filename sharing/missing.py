"""How a prompt wants missing LoRAs treated at each of its nodes: the `missing` of the Applies downstream.

The host validates a node without telling it about the graph. The prompt handler sees the graph, in the same task that
validates it afterwards, so what it read travels in a context variable.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Literal

APPLY = "LoraStackApply"
Policy = Literal["error", "warn"]

current_policies: ContextVar[Mapping[str, Policy]] = ContextVar("lora_deck_missing", default={})  # noqa: B039
"""Node id → policy of the prompt that this task validates. The default is never written to."""


def policies(prompt: Mapping[str, Any]) -> dict[str, Policy]:
    """Policy per node id of an API-format prompt, for every node with a `LoraStackApply` downstream of it.

    One Apply that wants an error is enough for `error`. Nodes whose output reaches none are left out: nothing
    opens their LoRAs in this prompt. Malformed nodes are passed over; the host reports them itself.
    """
    feeds: dict[str, list[str]] = {}
    applies: dict[str, Policy] = {}
    for node_id, node in prompt.items():
        inputs = node.get("inputs") if isinstance(node, Mapping) else None
        if not isinstance(inputs, Mapping):
            continue
        is_apply = node.get("class_type") == APPLY
        if is_apply:
            applies[node_id] = "error" if inputs.get("missing", "error") == "error" else "warn"
        for name, value in inputs.items():
            if isinstance(value, list) and len(value) == 2 and (not is_apply or name == "stack"):
                feeds.setdefault(node_id, []).append(str(value[0]))
    found: dict[str, Policy] = {}
    for apply_id, policy in applies.items():
        waiting = deque(feeds.get(apply_id, ()))
        seen: set[str] = set()
        while waiting:
            node_id = waiting.popleft()
            if node_id in seen or node_id in applies:
                continue
            seen.add(node_id)
            if found.get(node_id) != "error":
                found[node_id] = policy
            waiting.extend(feeds.get(node_id, ()))
    return found
