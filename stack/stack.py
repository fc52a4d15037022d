"""The stack: an ordered, immutable list of entries, and its versioned JSON form."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from .entry import LoraEntry
from .errors import StackFormatError
from .rank_limit import RankLimit

JSON_VERSION = 1


@dataclass(frozen=True, slots=True)
class LoraStack:
    """LoRAs in the order in which they apply."""

    entries: tuple[LoraEntry, ...] = ()
    notes: tuple[str, ...] = ()
    """What was left out or not understood on the way here, one sentence each; `LoraStackApply` reports them."""
    unknown: tuple[tuple[str, str], ...] = ()
    """Top-level fields of the JSON form that this version does not know: (key, JSON text)."""

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[LoraEntry]:
        return iter(self.entries)

    def __add__(self, other: LoraStack) -> LoraStack:
        return LoraStack(self.entries + other.entries, self.notes + other.notes, self.unknown + other.unknown)

    def to_json(self) -> dict[str, Any]:
        """`{"lora_deck": 1, "entries": [...]}`; values that equal their default are left out, except the weights."""
        data: dict[str, Any] = {
            "lora_deck": JSON_VERSION,
            "entries": [entry_to_json(e) for e in self.entries],
        }
        if self.notes:
            data["notes"] = list(self.notes)
        data.update((key, json.loads(text)) for key, text in self.unknown)
        return data

    @classmethod
    def from_json(cls, data: object) -> LoraStack:
        """The inverse of `to_json`. Unknown fields are kept.

        Raises:
            StackFormatError: not a stack, a field of the wrong type, or a newer major version.
        """
        if not isinstance(data, Mapping) or "lora_deck" not in data:
            raise StackFormatError('A LoRA stack in JSON is an object with the key "lora_deck"; this is none.')
        check_version(data["lora_deck"])
        entries = data.get("entries", [])
        if not isinstance(entries, list):
            raise StackFormatError('"entries" of a LoRA stack is a list.')
        notes = data.get("notes", [])
        if not isinstance(notes, list) or not all(isinstance(n, str) for n in notes):
            raise StackFormatError('"notes" of a LoRA stack is a list of texts.')
        return cls(
            tuple(entry_from_json(item, f"Entry {n} of the LoRA stack") for n, item in enumerate(entries, 1)),
            tuple(notes),
            unknown_fields(data, {"lora_deck", "entries", "notes"}),
        )


def check_version(version: object) -> None:
    """Raises `StackFormatError` for a format that this version cannot read."""
    if isinstance(version, bool) or not isinstance(version, int | float) or version < 1:
        raise StackFormatError(f'"lora_deck" is the format\'s version, a number from 1; it is {version!r}.')
    if int(version) > JSON_VERSION:
        raise StackFormatError(
            f"This LoRA stack was written in format {version}, and this version of LoRA Deck reads formats up to "
            f"{JSON_VERSION}. Update LoRA Deck to open it."
        )


_DEFAULTS = {f.name: f.default for f in fields(LoraEntry)}
_ALWAYS_WRITTEN = ("name", "te", "unet")


def entry_to_json(entry: LoraEntry) -> dict[str, Any]:
    """An entry's JSON form; values that equal their default are left out, except the weights."""
    data: dict[str, Any] = {}
    for name, default in _DEFAULTS.items():
        value = getattr(entry, name)
        if name == "unknown" or (value == default and name not in _ALWAYS_WRITTEN):
            continue
        data[name] = _plain(value)
    data.update((key, json.loads(text)) for key, text in entry.unknown)
    return data


def _plain(value: Any) -> Any:
    if isinstance(value, RankLimit):
        return value.to_json()
    return [list(pair) for pair in value] if isinstance(value, tuple) else value


def unknown_fields(data: Mapping[str, Any], known: set[str]) -> tuple[tuple[str, str], ...]:
    """(key, JSON text) of the fields that are not known."""
    return tuple((str(key), json.dumps(value)) for key, value in data.items() if key not in known)


def _finite(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("a finite number")
    return float(value)


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("a whole number")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a text")
    return value


def _pairs(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, list) or not all(isinstance(p, list) and len(p) == 2 for p in value):
        raise ValueError("a list of [key, text] pairs")
    return tuple((_text(key), _text(text)) for key, text in value)


_READERS: dict[str, Callable[[object], Any]] = {
    "name": _text, "te": _finite, "unet": _finite, "dyn": _whole, "lbw": _text, "lbwe": _text, "x": _finite,
    "hr_te": _finite, "hr_unet": _finite, "extra": _pairs, "rank_limit": RankLimit.from_json,
}  # fmt: skip
_OPTIONAL = {"dyn", "lbw", "lbwe", "x", "hr_te", "hr_unet", "rank_limit"}


def entry_from_json(data: object, where: str) -> LoraEntry:
    """The inverse of `entry_to_json`.

    Raises:
        StackFormatError: no object with a name, or a field of the wrong type; the message begins with `where`.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("name"), str):
        raise StackFormatError(f'{where} is no object with a "name".')
    values: dict[str, Any] = {}
    for key, reader in _READERS.items():
        if key not in data or (data[key] is None and key in _OPTIONAL):
            continue
        try:
            values[key] = reader(data[key])
        except ValueError as error:
            raise StackFormatError(
                f'{where} ({data["name"]!r}): "{key}" must be {error}, and is {data[key]!r}.'
            ) from None
    return LoraEntry(**values, unknown=unknown_fields(data, set(_READERS)))
