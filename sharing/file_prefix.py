"""Patterns in a file name's prefix that the host's front end fills in for its own savers: `%date:yyyy-MM-dd%` and
`%Node.widget%`. `%width%`, `%year%` and the like are the host's server's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

_PATTERN = re.compile(r"%([^%]+)%")
_DATE = re.compile(r"dd?|MM?|hh?|mm?|ss?|yyy?y?")
_NOT_IN_NAMES = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')


def filled_in(prefix: str, prompt: Mapping[str, Any], workflow: Mapping[str, Any] | None, now: datetime) -> str:
    """The prefix with what is known filled in; everything else stays as it stands.

    A node is named by its `Node name for S&R`, which is its class unless it was changed, or else by its title.
    """

    def fill(match: re.Match[str]) -> str:
        inside = match[1]
        if inside.startswith("date:"):
            return format_date(inside[5:], now)
        name, dot, widget = inside.partition(".")
        value = _widget(name, widget, prompt, workflow) if dot and "." not in widget else None
        return match[0] if value is None else _NOT_IN_NAMES.sub("_", str(value))

    return _PATTERN.sub(fill, prefix)


def format_date(pattern: str, now: datetime) -> str:
    """`d M h m s` and `yy yyyy`, doubled for a leading zero, as the host's front end formats dates."""
    values = {"d": now.day, "M": now.month, "h": now.hour, "m": now.minute, "s": now.second}

    def part(match: re.Match[str]) -> str:
        text = match[0]
        if text == "yy":
            return f"{now.year:04}"[2:]
        if text == "yyyy":
            return f"{now.year:04}"
        return f"{values[text[0]]:0{len(text)}}" if text[0] in values else text

    return _DATE.sub(part, pattern)


def _widget(name: str, widget: str, prompt: Mapping[str, Any], workflow: Mapping[str, Any] | None) -> object:
    named: dict[str, str] = {}
    for node in workflow.get("nodes", ()) if workflow else ():
        properties = node.get("properties") if isinstance(node, Mapping) else None
        if isinstance(properties, Mapping) and isinstance(properties.get("Node name for S&R"), str):
            named[str(node.get("id"))] = properties["Node name for S&R"]
    nodes = [(str(key), node) for key, node in prompt.items() if isinstance(node, Mapping)]
    by_name = [node for key, node in nodes if named.get(key, node.get("class_type")) == name]
    by_title = [node for _, node in nodes if (node.get("_meta") or {}).get("title") == name]
    for node in [*by_name, *by_title]:
        value = (node.get("inputs") or {}).get(widget)
        if value is not None and not isinstance(value, list | dict):
            return value
    return None
