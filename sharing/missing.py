"""How a prompt wants missing LoRAs treated at each of its nodes: the `missing` and the locks of the Applies downstream.

The host validates a node without telling it about the graph. The prompt handler sees the graph, in the same task that
validates it afterwards, so what it read travels in a context variable.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from ..library.names import normalise
from .lock import LockError, read_lock

APPLY = "LoraStackApply"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the Applies downstream of a node want of its names."""

    error: bool
    """Whether a missing one is an error for any of them."""
    locked: frozenset[str] = frozenset()
    """Normalised names whose files all of those can find by content, which is tried when they run."""
    problem: str = ""
    """Why a lock that came along cannot be read."""

    def refuses(self, name: str) -> bool:
        """Whether a name that means nothing here is an error before the prompt runs."""
        return self.error and normalise(name) not in self.locked


current_wants: ContextVar[Mapping[str, Wanted]] = ContextVar("lora_deck_missing", default={})  # noqa: B039
"""Node id → what is wanted in the prompt that this task validates. The default is never written to."""


def wants(prompt: Mapping[str, Any]) -> dict[str, Wanted]:
    """What is wanted of each node of an API-format prompt that has a `LoraStackApply` downstream of it.

    One Apply that wants an error is enough. Nodes whose output reaches none are left out: nothing opens their LoRAs in
    this prompt. Malformed nodes are passed over; the host reports them itself.
    """
    feeds: dict[str, list[str]] = {}
    applies: dict[str, Wanted] = {}
    for node_id, node in prompt.items():
        inputs = node.get("inputs") if isinstance(node, Mapping) else None
        if not isinstance(inputs, Mapping):
            continue
        is_apply = node.get("class_type") == APPLY
        if is_apply:
            applies[node_id] = Wanted(inputs.get("missing", "error") == "error", *_locked(inputs.get("lock")))
        for name, value in inputs.items():
            if isinstance(value, list) and len(value) == 2 and (not is_apply or name == "stack"):
                feeds.setdefault(node_id, []).append(str(value[0]))
    found: dict[str, Wanted] = {}
    for apply_id, wanted in applies.items():
        waiting = deque(feeds.get(apply_id, ()))
        seen: set[str] = set()
        while waiting:
            node_id = waiting.popleft()
            if node_id in seen or node_id in applies:
                continue
            seen.add(node_id)
            found[node_id] = _both(found.get(node_id), wanted)
            waiting.extend(feeds.get(node_id, ()))
    return found


def _both(one: Wanted | None, other: Wanted) -> Wanted:
    if one is None or (other.error and not one.error):
        return other
    return Wanted(True, one.locked & other.locked, one.problem or other.problem) if one.error and other.error else one


def _locked(text: object) -> tuple[frozenset[str], str]:
    try:
        return (frozenset(), "") if isinstance(text, list) else (read_lock(text).names(), "")
    except LockError as error:
        return frozenset(), str(error)
