"""Conditionings whose LoRAs nobody would apply: their sampler's model comes from no `LoraStackApply`.

Read from the prompt's JSON before it runs; the host validates a node without telling it about the graph, so what was
found travels in a context variable to the nodes that the message is about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from ..stack.tag import parse_prompt

APPLY = "LoraStackApply"
_ON_CONDITIONING = "LoraStackOnConditioning"
_ENCODE = "LoraTextEncode"

current_ignored: ContextVar[Mapping[str, str]] = ContextVar("lora_deck_ignored", default={})  # noqa: B039
"""Node id → what is wrong, of the prompt that this task validates. The default is never written to."""


def ignored(prompt: Mapping[str, Any]) -> dict[str, str]:
    """Messages for the nodes of an API-format prompt that give conditionings LoRAs which would have no effect.

    A sampler is what takes such a conditioning and a `model`. Malformed nodes are passed over; the host reports them.
    """
    inputs = {
        str(node_id): node["inputs"]
        for node_id, node in prompt.items()
        if isinstance(node, Mapping) and isinstance(node.get("inputs"), Mapping)
    }
    kinds = {node_id: prompt[node_id].get("class_type") for node_id in inputs}
    feeds: dict[str, list[tuple[str, str]]] = {}
    for node_id, given in inputs.items():
        for name, source in _links(given):
            feeds.setdefault(source, []).append((node_id, name))
    messages: dict[str, str] = {}
    for node_id, given in inputs.items():
        if not _carries(kinds[node_id], given):
            continue
        for sampler in _samplers(node_id, inputs, feeds):
            if not _comes_from_apply(inputs[sampler]["model"], inputs, kinds):
                messages[node_id] = (
                    f"Its LoRAs would have no effect in node {sampler} ({kinds[sampler]}): the model there passes "
                    "no Apply LoRA stack. Connect one, an empty stack is enough."
                )
                break
    return messages


def _links(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in given.items():
        if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | int):
            yield name, str(value[0])


def _carries(kind: object, given: Mapping[str, Any]) -> bool:
    """Whether a node's conditioning may have LoRAs, or weights of `AND`, that only an Apply's model heeds."""
    if kind == _ON_CONDITIONING:
        return True
    if kind != _ENCODE:
        return False
    text = given.get("text")
    if not isinstance(text, str):
        return given.get("scope") == "sub-prompt"
    parsed = parse_prompt(text)
    return given.get("scope") == "sub-prompt" and any(tag.entry is not None for tag in parsed.tags)


def _samplers(
    start: str, inputs: Mapping[str, Mapping[str, Any]], feeds: Mapping[str, list[tuple[str, str]]]
) -> Iterator[str]:
    """The nodes that take what comes from `start`, in any input but the model's, and a model too."""
    waiting, seen = [start], {start}
    while waiting:
        for node_id, name in feeds.get(waiting.pop(), ()):
            if node_id in seen or name in ("model", "stack", "text"):
                continue
            seen.add(node_id)
            model = inputs[node_id].get("model")
            if isinstance(model, list) and len(model) == 2:
                yield node_id
            else:
                waiting.append(node_id)


def _comes_from_apply(
    link: list[Any], inputs: Mapping[str, Mapping[str, Any]], kinds: Mapping[str, object]
) -> bool:
    waiting, seen = [str(link[0])], set()
    while waiting:
        node_id = waiting.pop()
        if node_id in seen or node_id not in inputs:
            continue
        seen.add(node_id)
        if kinds[node_id] == APPLY:
            return True
        waiting.extend(source for _, source in _links(inputs[node_id]))
    return False
