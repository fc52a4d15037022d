"""Names of an infotext against the library, by hash as A1111's paste does it, without its faults.

A1111 puts the local name of whatever file has the recorded hash in place of a tag's name, even where the local file of
that name is the right one, and misses tags without a weight. Here a local name whose content has the recorded hash
stays, and every LoRA that the text names is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from ..library import Library, LoraFile
from ..library.find import find, spelling
from ..library.sums import claimed_hashes, verified_hash
from ..stack.errors import AmbiguousLoraError, LoraNotFoundError
from .infotext_loras import NamedLora

How = Literal["hash", "name", "missing"]


@dataclass(frozen=True, slots=True)
class FoundLora:
    """A LoRA of an infotext with what it is here."""

    lora: NamedLora
    """Renamed where that was needed."""
    written: str
    """The name in the text."""
    how: How
    """`hash`: its content has the recorded hash; `name`: a file of that name is here; else `missing`."""
    file: LoraFile | None = None
    note: str = ""
    """What a person should know, empty where all is well."""

    def to_json(self) -> dict[str, Any]:
        return {
            **self.lora.to_json(),
            "name": self.lora.entry.name or None,
            "written": self.written or None,
            "found": self.how,
            "file": self.file.name if self.file else None,
            "note": self.note,
        }


def find_loras(loras: tuple[NamedLora, ...], own: Library) -> tuple[FoundLora, ...]:
    """Looks each LoRA up. Blocks on the disk: files of the names given are hashed where the text gives a hash."""
    return tuple(_find(lora, own) for lora in loras)


def _find(lora: NamedLora, own: Library) -> FoundLora:
    name = lora.entry.name
    if not name:
        title = lora.title or "This LoRA"
        return FoundLora(lora, "", "missing", note=f"{title} is named by its number on Civitai only.")
    here, problem = _resolve(own, name)
    if not lora.hash:
        return FoundLora(lora, name, "name" if here else "missing", here, problem)
    if here is not None and has_hash(own, here, lora.hash):
        return FoundLora(lora, name, "hash", here)
    by_hash, _ = _resolve(own, lora.hash)
    if by_hash is not None and has_hash(own, by_hash, lora.hash):
        local = spelling(own, by_hash.name)
        renamed = replace(lora, entry=replace(lora.entry, name=local))
        return FoundLora(renamed, name, "hash", by_hash, "" if local == name else f"It is named {name} in the text.")
    if here is not None:
        return FoundLora(lora, name, "name", here, "Its content is not the one that the text records.")
    return FoundLora(lora, name, "missing", None, problem)


def has_hash(own: Library, file: LoraFile, digits: str) -> bool:
    """Whether a file's hash, of the whole or of what lies behind the header, begins with the digits.

    A hash that its header claims counts as well: A1111 writes that one.
    """
    known = verified_hash(own.store, file.id)
    computed = (known.sha256, known.data_sha256 or "") if known else ()
    found = (*computed, *claimed_hashes(own.store, file.id))
    return any(hash and (hash.startswith(digits) or digits.startswith(hash)) for hash in found)


def _resolve(own: Library, name: str) -> tuple[LoraFile | None, str]:
    try:
        return find(own, name), ""
    except (LoraNotFoundError, AmbiguousLoraError) as error:
        return None, str(error)
