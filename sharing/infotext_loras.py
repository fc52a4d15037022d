"""The LoRAs that an infotext names, each with the hash that the text binds to it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..stack.entry import LoraEntry
from ..stack.errors import StackFormatError
from ..stack.stack import LoraStack
from ..stack.tag import parse_prompt
from .infotext import Infotext

Source = Literal["tag", "AddNet fields", "Lora_N fields", "Civitai resources"]

OWN_FIELD = "LoRA Deck"
"""Written by this pack where tags that A1111 can read cannot say all: the stack in JSON."""

_HASH = re.compile(r"(?:0x)?([0-9a-fA-F]{8,64})")
_EXTENSION = re.compile(r"\.(?:safetensors|sft|pt|pth|ckpt|bin)$", re.IGNORECASE)
_ADDNET = re.compile(r"(.*?)\(([0-9a-fA-F]*)\)")
_LORA_TYPES = frozenset({"lora", "lycoris", "locon", "dora"})


@dataclass(frozen=True, slots=True)
class NamedLora:
    """One LoRA of an infotext."""

    entry: LoraEntry
    """Name as written; empty where the text gives ids of a site only."""
    hash: str = ""
    """Beginning of a sha256 that the text gives for the name, lower case; empty where it gives none."""
    source: Source = "tag"
    title: str = ""
    """Name of the model on its site, where the text gives that instead of a file's name."""
    version_id: int | None = None
    """Number of the model's version on Civitai."""

    def to_json(self) -> dict[str, Any]:
        schedules = dict(self.entry.extra)
        data: dict[str, Any] = {"name": self.entry.name or None}
        for key, weight in (("te", self.entry.te), ("unet", self.entry.unet)):
            data[key] = None if key in schedules else weight
            if key in schedules:
                data[f"{key}_schedule"] = schedules[key]
        optional = {"hash": self.hash, "model": self.title, "version_id": self.version_id}
        data.update({key: value for key, value in optional.items() if value})
        if self.source != "tag":
            data["from"] = self.source
        return data


def hash_key(name: str) -> str:
    """A name as A1111 writes it into `Lora hashes`."""
    return name.replace(":", "").replace(",", "").strip()


def lora_hashes(fields: Mapping[str, Any]) -> dict[str, str]:
    """Name (as `hash_key`) → digits, from `Lora hashes` and from `Hashes` JSON; the longer of two wins."""
    found: dict[str, str] = {}

    def note(name: str, digits: Any) -> None:
        match = _HASH.fullmatch(digits.strip()) if isinstance(digits, str) else None
        key = hash_key(_EXTENSION.sub("", name.strip()))
        if match and key and len(match[1]) > len(found.get(key, "")):
            found[key] = match[1].lower()

    for field in ("Lora hashes", "LoRA hashes"):
        for item in _texts(fields.get(field)).split(","):
            name, _, digits = item.rpartition(":")
            note(name, digits)
    hashes = fields.get("Hashes")
    for name, digits in hashes.items() if isinstance(hashes, dict) else ():
        kind, _, rest = name.partition(":")
        if kind.lower() in ("lora", "lycoris", "lyco"):
            note(rest, digits)
    return found


def named_loras(infotext: Infotext) -> tuple[NamedLora, ...]:
    """Every LoRA in order: the prompt's tags, then those of the Additional Networks extension, then those that
    ComfyUI packs write as numbered fields; resources of Civitai's generator where there is nothing else."""
    hashes = lora_hashes(infotext.fields)
    found = [
        NamedLora(tag.entry, hashes.get(hash_key(_EXTENSION.sub("", tag.entry.name)), ""))
        for tag in parse_prompt(infotext.prompt).tags
        if tag.entry is not None
    ]
    found.extend(_additional_networks(infotext.fields))
    there = {_EXTENSION.sub("", lora.entry.name) for lora in found}
    found.extend(lora for lora in _numbered(infotext.fields) if _EXTENSION.sub("", lora.entry.name) not in there)
    return tuple(found or _resources(infotext.fields))


def stack_of(infotext: Infotext, loras: tuple[NamedLora, ...]) -> LoraStack:
    """The stack that `loras` (of this text, renamed or not) make.

    A name that comes twice counts as in A1111: the last weight times the number of occurrences. A hires prompt has
    tags of its own there, which become the weights of the hires pass.
    """
    notes = list(parse_prompt(infotext.prompt).stack.notes)
    renamed = {old.entry.name: new.entry.name for old, new in zip(named_loras(infotext), loras, strict=False)}
    own = _own_stack(infotext.fields)
    if own is not None and {entry.name for entry in own} == renamed.keys():
        return LoraStack(tuple(replace(entry, name=renamed[entry.name]) for entry in own), tuple(notes))
    entries = _merged([lora.entry for lora in loras if lora.entry.name])
    hires = _texts(infotext.fields.get("Hires prompt"))
    if hires:
        second = parse_prompt(hires, repeats="a1111").stack
        entries = _with_hires(entries, [replace(e, name=renamed.get(e.name, e.name)) for e in second])
        notes.extend(second.notes)
    notes.extend(
        f"{lora.title or 'A resource'} of Civitai (version {lora.version_id}) is named by its number only."
        for lora in loras
        if not lora.entry.name
    )
    return LoraStack(tuple(entries), tuple(notes))


def _own_stack(fields: Mapping[str, Any]) -> LoraStack | None:
    try:
        return LoraStack.from_json(json.loads(_texts(fields.get(OWN_FIELD))))
    except (ValueError, RecursionError, StackFormatError):
        return None


def _merged(entries: list[LoraEntry]) -> list[LoraEntry]:
    last: dict[str, LoraEntry] = {}
    count: dict[str, int] = {}
    for entry in entries:
        last[entry.name] = entry
        count[entry.name] = count.get(entry.name, 0) + 1
    return [replace(e, te=e.te * count[n], unet=e.unet * count[n]) if count[n] > 1 else e for n, e in last.items()]


def _with_hires(first: list[LoraEntry], second: list[LoraEntry]) -> list[LoraEntry]:
    hires = {entry.name: entry for entry in second}
    entries: list[LoraEntry] = []
    for entry in first:
        again = hires.pop(entry.name, None)
        te, unet = (again.te, again.unet) if again else (0.0, 0.0)
        same = (te, unet) == (entry.te, entry.unet)
        entries.append(entry if same else replace(entry, hr_te=te, hr_unet=unet))
    entries.extend(replace(entry, te=0.0, unet=0.0, hr_te=entry.te, hr_unet=entry.unet) for entry in hires.values())
    return entries


def _additional_networks(fields: Mapping[str, Any]) -> Iterator[NamedLora]:
    """`AddNet Model 1: name(hash)`; weight A is the UNet's, B the text encoder's."""
    if _texts(fields.get("AddNet Enabled")).lower() != "true":
        return
    for number in range(1, 21):
        model = _ADDNET.fullmatch(_texts(fields.get(f"AddNet Model {number}")))
        if not model or not model[1].strip() or _texts(fields.get(f"AddNet Module {number}")) not in ("LoRA", ""):
            continue
        both = _number(fields.get(f"AddNet Weight {number}"), 1.0)
        unet = _number(fields.get(f"AddNet Weight A {number}"), both)
        te = _number(fields.get(f"AddNet Weight B {number}"), both)
        yield NamedLora(LoraEntry(model[1].strip(), te, unet), _digits(model[2]), "AddNet fields")


def _numbered(fields: Mapping[str, Any]) -> Iterator[NamedLora]:
    """`Lora_0 Model name`, `Lora_0 Strength model`, …, as ComfyUI packs write them."""
    for number in range(100):
        name = _texts(fields.get(f"Lora_{number} Model name"))
        if not name:
            if number:
                return
            continue
        unet = _number(fields.get(f"Lora_{number} Strength model"), 1.0)
        te = _number(fields.get(f"Lora_{number} Strength clip"), unet)
        digits = _digits(fields.get(f"Lora_{number} Model hash")) or lora_hashes(fields).get(
            hash_key(_EXTENSION.sub("", name)), ""
        )
        yield NamedLora(LoraEntry(name.replace("\\", "/"), te, unet), digits, "Lora_N fields")


def _resources(fields: Mapping[str, Any]) -> Iterator[NamedLora]:
    resources = fields.get("Civitai resources")
    for item in resources if isinstance(resources, list) else ():
        if not isinstance(item, dict) or str(item.get("type", "")).lower() not in _LORA_TYPES:
            continue
        weight = _number(item.get("weight"), 1.0)
        number = item.get("modelVersionId")
        title = item.get("modelName")
        yield NamedLora(
            LoraEntry("", weight, weight), "", "Civitai resources", title if isinstance(title, str) else "",
            number if isinstance(number, int) and not isinstance(number, bool) else None,
        )  # fmt: skip


def _texts(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _digits(value: Any) -> str:
    match = _HASH.fullmatch(_texts(value))
    return match[1].lower() if match else ""


def _number(value: Any, default: float) -> float:
    try:
        number = float(value) if not isinstance(value, bool) else default
    except (TypeError, ValueError):
        return default
    return number if abs(number) < 1e6 else default
