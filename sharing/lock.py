"""The lock: for each name that a stack asks for, the file that it meant where the workflow was made.

    {"lora_deck_lock": 1, "entries": [{"name": "ink_wash_v2", "path": "styles/ink_wash_v2.safetensors",
      "autov2": "7c1f09b2e4", "autov3": "d20a61c8f37b", "size": 239599616, "base_model": "SDXL"}]}

Pure over text. It is an input of `LoraStackApply`, so it goes wherever the workflow or the prompt goes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..library.names import normalise
from ..stack.errors import LoraDeckError

KEY = "lora_deck_lock"
VERSION = 1
LONGEST = 1 << 19
"""Characters of a lock that is read; some 2,000 LoRAs."""
MOST = 1_000
"""Entries of a lock that is read."""

OtherContent = Literal["warn", "error"]
_HASH = re.compile(r"[0-9a-fA-F]{8,64}")
_CONTROL = re.compile(r"[\x00-\x1f]")


class LockError(LoraDeckError):
    """A lock cannot be read; the message says why and what follows from it."""


@dataclass(frozen=True, slots=True)
class LockEntry:
    """What one name meant."""

    name: str
    """As the stack asks for it."""
    path: str = ""
    """Below the LoRA folder there, with `/` and extension."""
    autov2: str | None = None
    autov3: str | None = None
    size: int | None = None
    """Bytes."""
    base_model: str | None = None
    unknown: tuple[tuple[str, str], ...] = ()
    """Fields that this version does not know: (key, JSON text)."""

    @property
    def has_hash(self) -> bool:
        return self.autov2 is not None or self.autov3 is not None

    def __str__(self) -> str:
        """For messages: what is known of the file."""
        parts = [
            self.path and repr(self.path),
            self.autov2 and f"AutoV2 {self.autov2}",
            self.autov3 and f"AutoV3 {self.autov3}",
            self.size is not None and f"{self.size:,} bytes",
            self.base_model,
        ]
        return ", ".join(part for part in parts if part) or "nothing but its name"


@dataclass(frozen=True, slots=True)
class Lock:
    """The entries of one `LoraStackApply`."""

    entries: tuple[LockEntry, ...] = ()
    other_content: OtherContent = "warn"
    """What to do where a name means a file of other content here, and no file has the right one."""
    unknown: tuple[tuple[str, str], ...] = ()

    def of(self, name: str) -> LockEntry | None:
        """The entry of a name, written with either separator."""
        wanted = normalise(name)
        return next((entry for entry in self.entries if normalise(entry.name) == wanted), None)

    def names(self) -> frozenset[str]:
        """Normalised names whose files can be found again by content."""
        return frozenset(normalise(entry.name) for entry in self.entries if entry.has_hash)

    def with_entries(self, more: Iterable[LockEntry]) -> Lock:
        """With an entry for each name that has none yet; those that are there stay as they are."""
        have = {normalise(entry.name) for entry in self.entries}
        added: list[LockEntry] = []
        for entry in more:
            if normalise(entry.name) not in have:
                have.add(normalise(entry.name))
                added.append(entry)
        return replace(self, entries=(*self.entries, *added)) if added else self

    def completed(self, more: Iterable[LockEntry]) -> Lock:
        """With the hashes of these in entries of the same name that have none, if the files can be the same ones."""
        found = {normalise(entry.name): entry for entry in more}

        def whole(entry: LockEntry) -> LockEntry:
            other = found.get(normalise(entry.name))
            if entry.has_hash or other is None or entry.size not in (None, other.size):
                return entry
            return replace(entry, path=other.path, autov2=other.autov2, autov3=other.autov3, size=other.size)

        return replace(self, entries=tuple(whole(entry) for entry in self.entries))

    def only(self, names: Iterable[str]) -> Lock:
        """Without the entries of names that are not among these."""
        wanted = {normalise(name) for name in names}
        return replace(self, entries=tuple(entry for entry in self.entries if normalise(entry.name) in wanted))

    def to_text(self) -> str:
        data: dict[str, Any] = {KEY: VERSION, "entries": [_entry_to_json(entry) for entry in self.entries]}
        if self.other_content != "warn":
            data["other_content"] = self.other_content
        data.update((key, json.loads(text)) for key, text in self.unknown)
        return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def read_lock(text: object) -> Lock:
    """The inverse of `to_text`; an empty text is an empty lock. Unknown fields are kept.

    A program that forwards prompts may have turned `/` into the other machine's separator inside the text, where it
    stands for an escape in JSON: both ways are read.

    Raises:
        LockError: no lock, cut short, too long, or of a newer version.
    """
    if text is None or (isinstance(text, str) and not text.strip()):
        return Lock()
    if not isinstance(text, str):
        raise LockError(f"The lock is a text in JSON; it is {text!r:.80}. Its hashes are not used.")
    if len(text) > LONGEST:
        raise LockError(
            f"The lock has {len(text):,} characters; up to {LONGEST:,} are read, which is enough for {MOST:,} LoRAs. "
            "Its hashes are not used. Clear it and save the workflow again."
        )
    data = _parsed(text)
    if not isinstance(data, dict) or KEY not in data:
        raise LockError(f'The lock is a JSON object with the key "{KEY}"; this is none. Its hashes are not used.')
    version = data[KEY]
    if isinstance(version, bool) or not isinstance(version, int | float) or version < 1:
        raise LockError(f'"{KEY}" is the version of the lock, a number from 1; it is {version!r:.40}.')
    if int(version) > VERSION:
        raise LockError(
            f"The lock was written in format {version}, and this version of LoRA Deck reads formats up to {VERSION}. "
            "Its hashes are not used; names are. Update LoRA Deck to use them."
        )
    entries = data.get("entries", [])
    if not isinstance(entries, list):
        raise LockError('"entries" of the lock is a list. Its hashes are not used.')
    if len(entries) > MOST:
        raise LockError(
            f"The lock has {len(entries):,} entries; up to {MOST:,} are read. Its hashes are not used. "
            "Clear it and save the workflow again."
        )
    return Lock(
        tuple(_entry(item, number) for number, item in enumerate(entries, start=1)),
        "error" if data.get("other_content") == "error" else "warn",
        _unknown(data, {KEY, "entries", "other_content"}),
    )


def _parsed(text: str) -> Any:
    try:
        data = json.loads(text)
        if not any(_CONTROL.search(string) for string in _strings(data)):
            return data
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(text.replace("\\", "/"))
    except (ValueError, RecursionError) as error:
        raise LockError(
            f"The lock cannot be read as JSON ({error}); it may have been cut short. Its hashes are not used. "
            "Clear it and save the workflow again where the LoRAs are."
        ) from None


def _strings(data: Any) -> Iterable[str]:
    """The names and paths, which hold no control characters unless a separator was read as an escape."""
    entries = data.get("entries") if isinstance(data, dict) else None
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict):
            yield from (value for key in ("name", "path") if isinstance(value := entry.get(key), str))


def _entry(data: object, number: int) -> LockEntry:
    if not isinstance(data, dict) or not isinstance(data.get("name"), str):
        raise LockError(f'Entry {number} of the lock is no object with a "name". Its hashes are not used.')
    size = data.get("size")
    return LockEntry(
        data["name"],
        normalise(path) if isinstance(path := data.get("path"), str) else "",
        _hash(data.get("autov2")),
        _hash(data.get("autov3")),
        size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None,
        base if isinstance(base := data.get("base_model"), str) and base else None,
        _unknown(data, {"name", "path", "autov2", "autov3", "size", "base_model"}),
    )


def _hash(value: object) -> str | None:
    return value.lower() if isinstance(value, str) and _HASH.fullmatch(value) else None


def _unknown(data: Mapping[str, Any], known: set[str]) -> tuple[tuple[str, str], ...]:
    return tuple((str(key), json.dumps(value)) for key, value in data.items() if key not in known)


def _entry_to_json(entry: LockEntry) -> dict[str, Any]:
    values = {"name": entry.name, "path": entry.path, "autov2": entry.autov2, "autov3": entry.autov3,
              "size": entry.size, "base_model": entry.base_model}  # fmt: skip
    data = {key: value for key, value in values.items() if value not in (None, "")}
    data.update((key, json.loads(text)) for key, text in entry.unknown)
    return data
