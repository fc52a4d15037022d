"""Hashes of LoRAs that other programs left in a workflow, as entries of a lock.

LoRA Manager keeps its LoRAs as objects with a file's name and a hash; Civitai lists resources with hashes; savers of
pictures write A1111's `Lora hashes`. All are told by their looks, wherever in the workflow they stand.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..library.names import base_of, normalise, without_extension
from .infotext import read_infotext
from .infotext_loras import hash_key, lora_hashes, named_loras
from .lock import LockEntry

_HASH = re.compile(r"(?:0x)?([0-9a-fA-F]{8,64})")
_NAMES = ("file_name", "fileName", "filename", "name", "modelName", "model_name")
_HASHES = ("hash", "sha256", "SHA256", "AutoV2", "autov2", "AutoV3", "autov3")
_TYPES = frozenset({"", "lora", "locon", "lycoris", "dora"})
_DEEPEST = 40
_INFOTEXT = re.compile(r"Lora hashes:|Hashes: ?\{|Civitai resources:", re.IGNORECASE)
_LONGEST = 1 << 20


def foreign_entries(workflow: Any) -> list[LockEntry]:
    """(name, hash) pairs that a workflow holds in other programs' forms; the first of a name counts."""
    found: dict[str, LockEntry] = {}
    for name, digits in _pairs(workflow, 0):
        match = _HASH.fullmatch(digits.strip())
        name = without_extension(normalise(name))
        if match and name:
            found.setdefault(name, _entry(name, match[1].lower()))
    return list(found.values())


def foreign_entry(entries: list[LockEntry], name: str) -> LockEntry | None:
    """The entry that is meant by a name: other programs write base names, with or without extension."""
    wanted = without_extension(normalise(name))
    exact = next((entry for entry in entries if entry.name == wanted), None)
    base = base_of(wanted)
    return exact or next((entry for entry in entries if hash_key(base_of(entry.name)) == hash_key(base)), None)


def _entry(name: str, digits: str) -> LockEntry:
    # Twelve digits are AutoV3 by custom; other lengths begin the hash of the file. Both are looked for.
    return LockEntry(name, autov2=None if len(digits) == 12 else digits, autov3=digits if len(digits) == 12 else None)


def _pairs(value: Any, depth: int) -> Iterator[tuple[str, str]]:
    if depth > _DEEPEST:
        return
    if isinstance(value, Mapping):
        yield from _of_object(value)
        for inner in value.values():
            yield from _pairs(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _pairs(inner, depth + 1)
    elif isinstance(value, str) and 20 < len(value) < _LONGEST:
        yield from _of_text(value, depth)


def _of_object(value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    kind = value.get("type", "")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        return
    name = next((value[key] for key in _NAMES if isinstance(value.get(key), str) and value[key]), None)
    inner = value.get("hashes")
    hashes = [value, inner] if isinstance(inner, Mapping) else [value]
    for key in _HASHES:
        for holder in hashes:
            digits = holder.get(key)
            if name and isinstance(digits, str) and digits:
                yield name, digits


def _of_text(text: str, depth: int) -> Iterator[tuple[str, str]]:
    if text.lstrip()[:1] in ("{", "[") and ("hash" in text.lower() or "autov" in text.lower() or "sha256" in text):
        with contextlib.suppress(ValueError, RecursionError):
            yield from _pairs(json.loads(text), depth + 1)
    if _INFOTEXT.search(text):
        infotext = read_infotext(text)
        yield from lora_hashes(infotext.fields).items()
        for lora in named_loras(infotext):
            if lora.hash and (lora.entry.name or lora.title):
                yield lora.entry.name or lora.title, lora.hash
