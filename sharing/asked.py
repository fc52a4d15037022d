"""Which names a prompt in JSON asks for, as far as it says so before it runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..library.names import EXTENSIONS
from ..stack.tag import parse_prompt

_TAG = re.compile(r"<(?:lora|lyco):", re.IGNORECASE)
_STACK_MAKERS = frozenset(
    {"PromptLoraParser", "LoraStackAdd", "LoraStackRows", "BlockWeight", "DynRank", "LoraSchedule"}
)
LONGEST = 1 << 20
"""Characters of one text that is looked through."""
_STACK_ONLY = frozenset({"LoraStackApply"})
"""Of these only `stack` leads to names: what comes in by `model` was applied by somebody else."""


def asked_names(prompt: Mapping[str, Any], node_id: str) -> list[str]:
    """The names that reach a node's `stack`, in the order in which the graph holds them, each once.

    By what the values look like, not by which node holds them: tags in any text, names with a LoRA file's extension,
    the `lora_name` of any node, and rows in JSON; so other packs' stackers and text nodes count as well.
    """
    names: dict[str, None] = {}
    seen: set[str] = set()
    waiting = _links(prompt, node_id, {"stack"})
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        node = prompt.get(current)
        inputs = node.get("inputs") if isinstance(node, Mapping) else None
        if not isinstance(node, Mapping) or not isinstance(inputs, Mapping):
            continue
        if str(node.get("class_type")) in _STACK_ONLY:
            waiting += _links(prompt, current, {"stack"})
            continue
        for key, value in inputs.items():
            for name in _names(str(key), value):
                names.setdefault(name)
        waiting += _links(prompt, current, None)
    return list(names)


def names_are_all_known(prompt: Mapping[str, Any], node_id: str) -> bool:
    """Whether everything that leads to a node's `stack` is of this pack and holds its names as plain values, so that
    the graph cannot ask for others when it runs."""
    seen: set[str] = set()
    waiting = _links(prompt, node_id, {"stack"})
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        node = prompt.get(current)
        if not isinstance(node, Mapping) or str(node.get("class_type")) not in _STACK_MAKERS:
            return False
        links = _links(prompt, current, None)
        stacks = _links(prompt, current, {"stack"})
        if len(links) != len(stacks):
            return False
        waiting += stacks
    return True


def _links(prompt: Mapping[str, Any], node_id: str, only: set[str] | None) -> list[str]:
    node = prompt.get(node_id)
    inputs = node.get("inputs") if isinstance(node, Mapping) else None
    return [
        str(value[0])
        for key, value in (inputs.items() if isinstance(inputs, Mapping) else ())
        if isinstance(value, list) and len(value) == 2 and (only is None or key in only)
    ]


def _names(key: str, value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from _rows(value)
    if not isinstance(value, str) or not value or len(value) > LONGEST:
        return
    if _TAG.search(value):
        yield from (entry.name for entry in parse_prompt(value).stack)
    elif value.lstrip()[:1] in ("{", "["):
        try:
            yield from _rows(json.loads(value))
        except (ValueError, RecursionError):
            return
    elif value != "None" and "\n" not in value and (value.lower().endswith(EXTENSIONS) or key == "lora_name"):
        yield value


def _rows(data: object) -> Iterator[str]:
    """Names of rows that are on, in `LoraStackRows`' form and in others with a `name` each."""
    rows = data.get("rows", data.get("entries")) if isinstance(data, Mapping) else data
    for row in rows if isinstance(rows, list) else ():
        name = row.get("name") if isinstance(row, Mapping) else row[0] if isinstance(row, list) and row else None
        if isinstance(name, str) and name:
            yield name
