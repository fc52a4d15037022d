"""Infotext as A1111 writes it, so that A1111, Civitai and everything else that reads A1111's pictures reads it.

Tags must survive A1111, where one bad number switches every LoRA off: weights as plain positional numbers, te first;
one `=` per argument; block weights as a vector of numbers; names without what its grammar takes for itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from ..library.names import base_of, called
from ..stack.blocks import AROUND, TEXT_ENCODERS
from ..stack.entry import LoraEntry
from ..stack.printer import format_number
from ..stack.stack import LoraStack
from .infotext_loras import OWN_FIELD, hash_key
from .samplers import a1111_names

_IN_TAGS = frozenset({"name", "te", "unet", "dyn", "lbw", "x", "hr_te", "hr_unet", "unknown"})
"""Fields of an entry that the written text carries without `OWN_FIELD`."""
_NOT_IN_NAMES = str.maketrans({":": "_", ">": "_", "<": "_", "=": "_", "\n": " ", "\r": " ", "\t": " "})


@dataclass(frozen=True, slots=True)
class WrittenLora:
    """A LoRA as it was applied to a picture."""

    entry: LoraEntry
    """As it was asked for."""
    file: str
    """Path below the LoRA folder, with `/`."""
    hash: str
    """What A1111 writes in `Lora hashes`; empty where it is not known."""
    te: float
    unet: float
    blocks: tuple[tuple[str, float], ...] = ()
    """(block id, factor)"""


@dataclass(frozen=True, slots=True)
class PassText:
    """What is written about one pass."""

    prompt: str = ""
    negative: str = ""
    loras: tuple[WrittenLora, ...] = ()


def infotext(first: PassText, hires: PassText | None, values: Mapping[str, Any], with_hashes: bool) -> str:
    """The whole text.

    `values`: the fields in order, name → value, `None` for what is not known. `hires`: prompts and LoRAs of the hires
    pass; what differs from the first is written as A1111's `Hires prompt` and `Hires negative prompt`.
    """
    names = _names([*first.loras, *(hires.loras if hires else ())])
    tags = print_tags(first.loras, names)
    prompt = first.prompt + tags
    extra: dict[str, Any] = {}
    if hires is not None:
        second = hires.prompt + print_tags(hires.loras, names)
        if second != prompt:
            extra["Hires prompt"] = second
        if hires.negative != first.negative:
            extra["Hires negative prompt"] = hires.negative
    if with_hashes:
        hashes = {hash_key(names[lora.file]): lora.hash for lora in (*first.loras, *(hires.loras if hires else ()))}
        listed = ", ".join(f"{name}: {digits}" for name, digits in hashes.items() if digits)
        extra["Lora hashes"] = listed or None
    extra[OWN_FIELD] = _own_field(first.loras, names)
    after = {key: values[key] for key in ("Version",) if key in values}
    line = {**{key: value for key, value in values.items() if key not in after}, **extra, **after}
    negative = f"\nNegative prompt: {first.negative}" if first.negative else ""
    return f"{prompt}{negative}\n{field_line(line)}".strip()


def field_line(values: Mapping[str, Any]) -> str:
    """`name: value, …`, quoted as A1111 quotes; unknown values are left out."""
    known = ((key, str(value)) for key, value in values.items() if value is not None and str(value) != "")
    return ", ".join(f"{key}: {quoted(value)}" for key, value in known)


def quoted(text: str) -> str:
    """A1111's quoting of a value: JSON where it holds a comma, a colon or a line end."""
    return json.dumps(text, ensure_ascii=False) if any(c in text for c in ",:\n") else text


def sampler_fields(sampler: str | None, scheduler: str | None) -> dict[str, str | None]:
    """`Sampler` and `Schedule type` of the host's names."""
    label, schedule = a1111_names(sampler or "", scheduler or "")
    return {"Sampler": label or None, "Schedule type": schedule or None}


def print_tags(loras: Sequence[WrittenLora], names: Mapping[str, str]) -> str:
    """The tags, with nothing between them, so that the prompt reads back as it was.

    What was applied twice in the same way is one tag, because A1111 counts repeats otherwise.
    """
    merged: dict[tuple[Any, ...], WrittenLora] = {}
    for lora in loras:
        key = (lora.file, lora.entry.dyn, lora.blocks, lora.entry.lbwe)
        before = merged.get(key)
        merged[key] = lora if before is None else replace(lora, te=before.te + lora.te, unet=before.unet + lora.unet)
    return "".join(_tag(names[lora.file], lora) for lora in merged.values())


def _tag(name: str, lora: WrittenLora) -> str:
    te, unet = round(lora.te, 9), round(lora.unet, 9)
    parts = [name, format_number(te)]
    if unet != te:
        parts.append(format_number(unet))
    if lora.entry.dyn is not None:
        parts.append(f"dyn={lora.entry.dyn}")
    vector = block_vector(lora.blocks)
    if vector:
        parts.append("lbw=" + ",".join(format_number(round(factor, 6)) for factor in vector))
    return f"<lora:{':'.join(parts)}>"


def block_vector(blocks: Iterable[tuple[str, float]]) -> tuple[float, ...]:
    """Factors by block id as a vector: hako-mikan's 26 (SD 1 and 2), 20 (SDXL) or 61 (Flux) where the model has such a
    list, else `BASE` and one number for each block."""
    given = dict(blocks)
    around = (*TEXT_ENCODERS, *AROUND)
    ids = [block for block in given if block not in around and "/" not in block]
    if not ids:
        return ()
    numbers = [given[block] for block in ids]
    if (sum(i[0] == "D" for i in ids), sum(i[0] == "S" for i in ids), len(ids)) == (19, 38, 57):
        return (*(given.get(k, 1.0) for k in ("CLIP", "T5", "PRE")), *numbers, given.get("POST", 1.0))
    base = given.get("CLIP" if "M00" in given else "BASE", 1.0)
    return (base, *numbers)


def _names(loras: Iterable[WrittenLora]) -> dict[str, str]:
    """File → name in tags: what A1111 calls it, or its path where two files are called alike."""
    names: dict[str, str] = {}
    for lora in loras:
        if lora.file in names:
            continue
        path = called(lora.file)
        name = base_of(path).translate(_NOT_IN_NAMES).strip()
        taken = name in names.values() or not name
        names[lora.file] = path.translate(_NOT_IN_NAMES).strip() if taken else name
    return names


def _own_field(loras: Sequence[WrittenLora], names: Mapping[str, str]) -> str | None:
    if all(_tag_says_all(lora) for lora in loras):
        return None
    entries = tuple(
        replace(lora.entry, name=names[lora.file], lbw=_selectors(lora.blocks) or lora.entry.lbw) for lora in loras
    )
    return json.dumps(LoraStack(entries).to_json(), ensure_ascii=False, separators=(",", ":"))


def _selectors(blocks: Iterable[tuple[str, float]]) -> str:
    """Factors by block id in the language of `lbw=`."""
    return ",".join(f"{block}={format_number(round(factor, 6))}" for block, factor in blocks if "/" not in block)


def _tag_says_all(lora: WrittenLora) -> bool:
    defaults = {f.name: f.default for f in fields(LoraEntry)}
    more = any(getattr(lora.entry, key) != value for key, value in defaults.items() if key not in _IN_TAGS)
    return not more and _vector_says_all(lora.blocks)


def _vector_says_all(blocks: tuple[tuple[str, float], ...]) -> bool:
    given = dict(blocks)
    vector = block_vector(blocks)
    if not vector or len(vector) == 61:
        return not any("/" in block for block in given)
    encoders = {given.get(key, 1.0) for key in TEXT_ENCODERS}
    return len(encoders) == 1 and not any("/" in b for b in given) and all(given.get(k, 1.0) == 1.0 for k in AROUND)
