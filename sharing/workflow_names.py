"""Where a workflow of the front end holds names of LoRAs, and the same values with other names in them.

A value counts by what it looks like: tags in any text, rows in JSON, names with a LoRA file's extension, and what the
nodes that choose a LoRA hold. So it serves nodes of this pack, of the host and of others, in subgraphs as well.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..library.names import EXTENSIONS
from ..stack.printer import format_number, print_name
from ..stack.tag import KEYS, parse_prompt
from .lock import KEY

Kind = Literal["tag", "row", "name"]
HOST_LOADERS = frozenset({"LoraLoader", "LoraLoaderModelOnly"})
CHOOSERS = frozenset({"LoraStackAdd", *HOST_LOADERS})
"""Nodes whose first value is the name of a LoRA, whatever it looks like."""
OURS = frozenset({"PromptLoraParser", "LoraStackAdd", "LoraStackRows", "LoraTextEncode"})
"""Nodes whose names are asked of this pack, with a lock or without."""
_TAG = re.compile(r"<(?:lora|lyco):", re.IGNORECASE)
_ARGUMENT = re.compile(r"(?:\\.|[^:>\\])*", re.DOTALL)
LONGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """One value of one node."""

    graph: str
    """Id of the subgraph's definition; empty for the workflow itself."""
    node: str
    type: str
    title: str
    index: int | str
    """Of the value among the node's; a name where the node keeps them by name."""


@dataclass(frozen=True, slots=True)
class NamedAt:
    """A name at its place."""

    place: Place
    kind: Kind
    name: str
    weights: str = ""
    """As text, for a person."""


def places(workflow: Mapping[str, Any]) -> Iterator[tuple[Place, Any]]:
    """Every value of every node, in the workflow and in its subgraphs."""
    definitions = workflow.get("definitions")
    subgraphs = definitions.get("subgraphs") if isinstance(definitions, Mapping) else None
    graphs: list[Any] = [workflow, *(subgraphs if isinstance(subgraphs, list) else ())]
    for graph in graphs:
        if not isinstance(graph, Mapping):
            continue
        graph_id = "" if graph is workflow else str(graph.get("id", ""))
        for node in graph["nodes"] if isinstance(graph.get("nodes"), list) else ():
            if not isinstance(node, Mapping):
                continue
            kind = str(node.get("type", ""))
            values = node.get("widgets_values")
            pairs = enumerate(values) if isinstance(values, list) else (
                values.items() if isinstance(values, Mapping) else ())  # fmt: skip
            for index, value in pairs:
                yield Place(graph_id, str(node.get("id", "")), kind, str(node.get("title") or kind), index), value


def is_lock(value: object) -> bool:
    return isinstance(value, str) and f'"{KEY}"' in value[:200]


def names_in(place: Place, value: Any) -> Iterator[NamedAt]:
    """The names that a value holds."""
    if isinstance(value, str):
        if len(value) > LONGEST or is_lock(value):
            return
        if _TAG.search(value):
            for tag in parse_prompt(value).tags:
                if tag.entry is not None:
                    blocks = f" · blocks {tag.entry.lbw}" if tag.entry.lbw else ""
                    yield NamedAt(place, "tag", tag.entry.name, _weights(tag.entry.te, tag.entry.unet) + blocks)
        elif value.lstrip()[:1] == "{" and place.type not in CHOOSERS:
            try:
                yield from names_in(place, json.loads(value))
            except (ValueError, RecursionError):
                return
        elif _is_name(place, value):
            yield NamedAt(place, "name", value)
    elif isinstance(value, Mapping):
        for row in _rows(value):
            te, unet = row.get("te", 1), row.get("unet", row.get("te", 1))
            numbers = all(isinstance(w, int | float) and not isinstance(w, bool) for w in (te, unet))
            yield NamedAt(place, "row", row["name"], _weights(te, unet) if numbers else "")


def renamed(place: Place, value: Any, new_name: Callable[[str, Kind], str | None]) -> Any:
    """The value with other names in it, itself where none changes. `new_name`: `None` keeps a name."""
    if isinstance(value, str):
        if len(value) > LONGEST or is_lock(value):
            return value
        if _TAG.search(value):
            return _renamed_tags(value, new_name)
        if value.lstrip()[:1] == "{" and place.type not in CHOOSERS:
            try:
                data = json.loads(value)
            except (ValueError, RecursionError):
                return value
            changed = renamed(place, data, new_name)
            return value if changed == data else json.dumps(changed, ensure_ascii=False)
        if _is_name(place, value):
            return new_name(value, "name") or value
    elif isinstance(value, Mapping) and isinstance(value.get("rows"), list):
        rows = [
            {**row, "name": new_name(row["name"], "row") or row["name"]}
            if isinstance(row, Mapping) and isinstance(row.get("name"), str)
            else row
            for row in value["rows"]
        ]
        return {**value, "rows": rows}
    return value


def for_combo(name: str) -> str:
    """A relative path as the host's combos list it."""
    return name.replace("/", os.sep)


def _is_name(place: Place, value: str) -> bool:
    if not value or value == "None" or "\n" in value or len(value) > 4096:
        return False
    return (place.type in CHOOSERS and place.index in (0, "lora_name")) or value.lower().endswith(EXTENSIONS)


def _rows(value: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    rows = value.get("rows")
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, Mapping) and isinstance(row.get("name"), str) and row["name"]:
            yield row


def _weights(te: float, unet: float) -> str:
    return f"te {format_number(te)} · unet {format_number(unet)}"


def _renamed_tags(text: str, new_name: Callable[[str, Kind], str | None]) -> str:
    for tag in reversed(parse_prompt(text).tags):
        if tag.entry is None:
            continue
        name = new_name(tag.entry.name, "tag")
        if name is not None:
            start, end = _name_span(text, tag.start)
            text = text[:start] + print_name(name) + text[end:]
    return text


def _name_span(text: str, start: int) -> tuple[int, int]:
    """Where the name of the tag at `start` stands: its first argument that is no `key=value`."""
    position = text.index(":", start) + 1
    while True:
        found = _ARGUMENT.match(text, position)
        assert found is not None
        key, equals, _ = found.group().partition("=")
        if not equals or key.strip().lower() not in (*KEYS, "w"):
            return found.span()
        position = found.end() + 1
