"""Rows: what the node "LoRA stack" holds. Entries that can be switched off, one by one or all together, as JSON.

    {"lora_deck": 1, "on": true, "rows": [{"on": true, "name": "ink", "te": 0.8, "unet": 0.8, "lbw": "OUTALL"}]}

A row is an entry of the stack's JSON form with an `on`. The JavaScript twin is `web/rows_value.mjs`; both are held to
`tests/conformance/rows.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .entry import LoraEntry
from .errors import StackFormatError
from .printer import print_stack
from .stack import JSON_VERSION, LoraStack, check_version, entry_from_json, entry_to_json, unknown_fields
from .tag import parse_prompt

_OWN = {"lora_deck", "on", "rows"}


@dataclass(frozen=True, slots=True)
class Row:
    """One row."""

    entry: LoraEntry
    on: bool = True


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows of one node, in order."""

    rows: tuple[Row, ...] = ()
    on: bool = True
    """Whether the stack as a whole is on; the rows keep their own switches."""
    unknown: tuple[tuple[str, str], ...] = ()
    """Top-level fields that this version does not know: (key, JSON text)."""
    notes: tuple[str, ...] = ()
    """What was not understood in tags that the rows were read from."""

    def active(self) -> tuple[tuple[int, LoraEntry], ...]:
        """(number of the row from 1, its entry) for each that applies."""
        return tuple((number, row.entry) for number, row in enumerate(self.rows, 1) if row.on and self.on)

    def stack(self) -> LoraStack:
        """The stack of the rows that are on."""
        return LoraStack(tuple(entry for _, entry in self.active()), self.notes)

    def tags(self) -> str:
        """The rows that are on as tags, parted by spaces; a tag has no way to say that it is off."""
        return print_stack(LoraStack(tuple(entry for _, entry in replace(self, on=True).active())))

    def to_json(self) -> dict[str, Any]:
        """The JSON form; `from_json` reads it back as the same rows."""
        return {
            "lora_deck": JSON_VERSION,
            "on": self.on,
            "rows": [{"on": row.on, **entry_to_json(row.entry)} for row in self.rows],
            **{key: json.loads(text) for key, text in self.unknown},
        }

    @classmethod
    def of(cls, entries: Iterable[LoraEntry]) -> Rows:
        """A row that is on for each entry."""
        return cls(tuple(Row(entry) for entry in entries))

    @classmethod
    def from_json(cls, data: object) -> Rows:
        """Reads the JSON form, or a bare list of rows. `on` may be left out; unknown fields are kept.

        Raises:
            StackFormatError: no rows, a field of the wrong type, or a newer major version.
        """
        if isinstance(data, list):
            data = {"lora_deck": JSON_VERSION, "rows": data}
        if not isinstance(data, Mapping) or not isinstance(data.get("rows"), list):
            raise StackFormatError('Rows of LoRAs are an object with a list "rows"; this is none.')
        check_version(data.get("lora_deck", JSON_VERSION))
        rows = tuple(_row(row, f"Row {number}") for number, row in enumerate(data["rows"], 1))
        return cls(rows, _switch(data, "The stack"), unknown_fields(data, _OWN))

    @classmethod
    def from_tags(cls, text: str) -> Rows:
        """The tags of a text as rows; what stands around them is left out. Never raises: bad tags become notes."""
        stack = parse_prompt(text).stack
        return replace(cls.of(stack), notes=stack.notes)

    @classmethod
    def read(cls, value: object) -> Rows:
        """Rows from anything that the node's input may hold: the JSON form, as an object or as text, or tags.

        Raises:
            StackFormatError: it is none of these.
        """
        if value is None or value == "":
            return cls()
        if not isinstance(value, str):
            return cls.from_json(value)
        if value.lstrip()[:1] in ("{", "["):
            try:
                data = json.loads(value)
            except (ValueError, RecursionError) as error:
                raise StackFormatError(f"Rows of LoRAs are no JSON: {error}.") from None
            return cls.from_json(data)
        found = cls.from_tags(value)
        if value.strip() and not found.rows and not found.notes:
            raise StackFormatError(f"Rows of LoRAs are JSON or tags such as <lora:name:0.8>; {value!r:.80} is neither.")
        return found


def _row(data: object, where: str) -> Row:
    bare = {key: value for key, value in data.items() if key != "on"} if isinstance(data, Mapping) else data
    entry = entry_from_json(bare, where)
    if not entry.name.strip():
        raise StackFormatError(f'{where} has no name. Give it the name of a LoRA as "name", or take it out.')
    return Row(entry, _switch(data, where))


def _switch(data: object, where: str) -> bool:
    on = data.get("on", True) if isinstance(data, Mapping) else True
    if not isinstance(on, bool):
        raise StackFormatError(f'{where} has "on" as {on!r:.80}; it is true or false.')
    return on
