"""Reading an API-format prompt backwards: links, and values that stand in it or were recorded when it ran."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..stack.tag import parse_prompt
from .record import records

PARSER = "PromptLoraParser"

Link = tuple[str, int]
"""(node id, output)"""

_CONSTANTS = ("value", "int", "float", "string", "text", "seed", "Value", "number")
"""Inputs by which nodes that only hold a value call it."""
_DEEPEST = 200
_LONGEST = 1_000_000
"""Characters; texts that are joined to more are no prompt."""
_REROUTES = ("Reroute", "Reroute (rgthree)", "ReroutePrimitive|pysssss")


@dataclass(frozen=True, slots=True)
class Graph:
    """A prompt, and what its nodes recorded for one item of a list."""

    prompt: Mapping[str, Any]
    runs: Mapping[str, Mapping[int, Mapping[str, Any]]]
    """Node id → list index → record."""
    index: int = 0
    """Of the item that is looked at."""

    @classmethod
    def of(cls, prompt: Mapping[str, Any], extra_pnginfo: object, index: int = 0) -> Graph:
        """`index`: of the node that looks; nodes with fewer items give their last, as the host does."""
        runs: dict[str, dict[int, Mapping[str, Any]]] = {}
        for node_id, number, record in records(extra_pnginfo):
            runs.setdefault(node_id, {})[number] = record
        return cls(prompt, runs, index)

    def kind(self, node_id: str) -> str:
        """The node's class, empty where there is no such node."""
        node = self.prompt.get(node_id)
        return str(node.get("class_type", "")) if isinstance(node, Mapping) else ""

    def inputs(self, node_id: str) -> Mapping[str, Any]:
        node = self.prompt.get(node_id)
        inputs = node.get("inputs") if isinstance(node, Mapping) else None
        return inputs if isinstance(inputs, Mapping) else {}

    def link(self, node_id: str, name: str) -> Link | None:
        """Where an input comes from, past nodes that pass on what they get."""
        return self.past_reroutes(as_link(self.inputs(node_id).get(name)))

    def past_reroutes(self, link: Link | None) -> Link | None:
        seen: set[str] = set()
        while link is not None and self.kind(link[0]) in _REROUTES and link[0] not in seen:
            seen.add(link[0])
            link = next((found for v in self.inputs(link[0]).values() if (found := as_link(v))), None)
        return link

    def links(self, node_id: str) -> Iterator[tuple[str, Link]]:
        """(name, where it comes from) of every linked input."""
        for name in self.inputs(node_id):
            link = self.link(node_id, name)
            if link is not None:
                yield name, link

    def run(self, node_id: str) -> Mapping[str, Any] | None:
        """What the node recorded for this item."""
        runs = self.runs.get(node_id)
        return runs[min(self.index, max(runs))] if runs and min(self.index, max(runs)) in runs else None

    def value(self, node_id: str, name: str) -> Any:
        """What an input holds, `None` where it cannot be told: the value itself, a constant's, or a recorded one."""
        given = self.inputs(node_id).get(name)
        link = self.past_reroutes(as_link(given))
        if link is None:
            return None if as_link(given) or isinstance(given, list | dict) else given
        return self.output(link)

    def output(self, link: Link, known: dict[Link, Any] | None = None) -> Any:
        """What an output held, `None` where it cannot be told. `known`: what was told on the way here."""
        known = {} if known is None else known
        if link not in known:
            # What leads back to itself has no value.
            known[link] = None
            known[link] = self._output(link, known)
        return known[link]

    def _output(self, link: Link, known: dict[Link, Any]) -> Any:
        node_id, slot = link
        outputs = (self.run(node_id) or {}).get("outputs")
        if isinstance(outputs, Mapping) and str(slot) in outputs:
            return outputs[str(slot)]
        inputs = self.inputs(node_id)
        if self.kind(node_id) == "StringConcatenate" and len(known) < _DEEPEST:
            first, delimiter, second = (self._text(node_id, n, known) for n in ("string_a", "delimiter", "string_b"))
            if first is None or delimiter is None or second is None:
                return None
            text = f"{first}{delimiter}{second}"
            return text if len(text) <= _LONGEST else None
        if self.kind(node_id) == PARSER and slot == 0 and len(known) < _DEEPEST:
            text_in = self._text(node_id, "text", known)
            return None if text_in is None else parse_prompt(text_in).text
        names = [name for name in inputs if name != "control_after_generate"]
        if slot == 0 and len(names) == 1 and names[0] in _CONSTANTS:
            value = inputs[names[0]]
            return None if isinstance(value, list | dict) else value
        return None

    def _text(self, node_id: str, name: str, known: dict[Link, Any]) -> str | None:
        link = self.link(node_id, name)
        value = self.inputs(node_id).get(name) if link is None else self.output(link, known)
        return value if isinstance(value, str) else None


def as_link(value: object) -> Link | None:
    """The link that an input's value is, `None` where it is another value."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | int) and isinstance(value[1], int):
        return str(value[0]), value[1]
    return None
