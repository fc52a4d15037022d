"""Records of earlier runs, for prompts whose `LoraStackApply` comes out of the host's cache and so writes none.

A node is cached when nothing that leads to it differs, so records are kept by what leads to the node, not by its id
alone: the host may hold results of several earlier prompts.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from .missing import APPLY
from .record import put

RECORDED = frozenset({APPLY, "PromptLoraParser", "ReadInfotext"})
"""Nodes that keep records: what they applied, or what came out of them."""

KEPT = 512
"""Results; a record takes a few kilobytes."""
LONG = 4096
"""Characters of a text from which on its hash stands for it."""
WAITING = 2048
"""Nodes of queued prompts that are told what a run before theirs records; the host holds them as well meanwhile."""


def is_recorded(prompt: Mapping[str, Any]) -> bool:
    """Whether any node of a prompt keeps records."""
    kinds = (node.get("class_type") for node in prompt.values() if isinstance(node, Mapping))
    return any(isinstance(kind, str) and kind in RECORDED for kind in kinds)


@dataclass(slots=True)
class _Waiting:
    """A queued prompt's node of which no run is known yet."""

    key: tuple[str, str]
    extra_pnginfo: MutableMapping[str, Any]
    told: tuple[object, ...] = ()
    """The run whose record was written to it; that run may have more items to come."""


class Records:
    """What each node of `RECORDED` recorded, by node and by what led to it. For any thread."""

    def __init__(self) -> None:
        self._runs: OrderedDict[tuple[str, str], tuple[object, dict[int, Mapping[str, Any]]]] = OrderedDict()
        self._waiting: OrderedDict[int, _Waiting] = OrderedDict()
        self._count = 0
        self._lock = threading.Lock()

    def insert(self, prompt: Mapping[str, Any], extra_pnginfo: MutableMapping[str, Any]) -> None:
        """Writes what is known of a prompt's nodes; a run that still waits in the queue adds its own later."""
        for node_id, node in prompt.items():
            if not isinstance(node, Mapping) or str(node.get("class_type")) not in RECORDED:
                continue
            key = (str(node_id), signature(prompt, node_id))
            with self._lock:
                known = self._runs.get(key)
                if known is not None:
                    put(extra_pnginfo, key[0], known[1])
                    continue
                self._count += 1
                self._waiting[self._count] = _Waiting(key, extra_pnginfo)
                while len(self._waiting) > WAITING:
                    self._waiting.popitem(last=False)

    def keep(
        self, prompt: Mapping[str, Any], node_id: str, index: int, run: object, record: Mapping[str, Any],
        extra_pnginfo: MutableMapping[str, Any] | None,
    ) -> None:  # fmt: skip
        """Keeps the record of one item of a run and writes it to the run's own `extra_pnginfo`.

        `run`: what tells this run from the next, such as the prompt's id; records of an earlier one are dropped.
        """
        key = (node_id, signature(prompt, node_id) if node_id in prompt else "")
        with self._lock:
            before, runs = self._runs.get(key, (None, {}))
            runs = {**(runs if before == run else {}), index: record}
            self._runs[key] = (run, runs)
            self._runs.move_to_end(key)
            while len(self._runs) > KEPT:
                self._runs.popitem(last=False)
            for number, waiting in list(self._waiting.items()):
                own = waiting.extra_pnginfo is extra_pnginfo and waiting.key == key
                if own or (waiting.told and waiting.told[0] != run):
                    del self._waiting[number]
                elif waiting.key == key:
                    put(waiting.extra_pnginfo, node_id, runs)
                    waiting.told = (run,)
            if extra_pnginfo is not None:
                put(extra_pnginfo, node_id, runs)


def signature(prompt: Mapping[str, Any], node_id: str) -> str:
    """A digest of a node and all that leads to it in an API-format prompt.

    Numbers count as their text, because the host turns them into the input's type when it validates.
    """
    order: dict[str, int] = {}
    parts: list[Any] = []
    waiting = [str(node_id)]
    while waiting:
        current = waiting.pop()
        if current in order:
            continue
        order[current] = len(order)
        node = prompt.get(current)
        inputs = node.get("inputs") if isinstance(node, Mapping) else None
        if not isinstance(node, Mapping) or not isinstance(inputs, Mapping):
            parts.append([current])
            continue
        links = {name: value for name, value in inputs.items() if _is_link(value)}
        plain = [[str(name), _plain(value)] for name, value in inputs.items() if name not in links]
        parts.append([current, node.get("class_type"), sorted(plain, key=lambda pair: pair[0]),
                      sorted([str(name), str(link[0]), link[1]] for name, link in links.items())])  # fmt: skip
        waiting.extend(str(link[0]) for link in links.values())
    parts.sort(key=lambda part: str(part[0]))
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


def _is_link(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)


def _plain(value: object) -> object:
    if isinstance(value, str) and len(value) > LONG:
        return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return str(int(value)) if value == value and abs(value) < 1e15 and int(value) == value else repr(value)


current_records = Records()
"""Of the running host: the prompt handler reads it, the nodes write it."""
