"""The printer: an entry as the shortest tag that reads back as the same entry."""

from __future__ import annotations

import re
from decimal import Decimal

from .entry import LoraEntry
from .stack import LoraStack
from .tag import FOREIGN_KEYS, KEYS

_SPECIAL = re.compile(r"[:<>\\{}|]")


def escape(text: str) -> str:
    r"""Puts a backslash before what the tag or the host's dynamic prompts would take for themselves."""
    return _SPECIAL.sub(r"\\\g<0>", text)


def format_number(value: float) -> str:
    """The shortest text that reads back as the same float, as JavaScript writes it."""
    if not value:
        return "0"
    shortest = Decimal(repr(float(value)))
    if 1e-6 <= abs(value) < 1e21:
        text = format(shortest, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    sign, digits, exponent = shortest.normalize().as_tuple()
    power = int(exponent) + len(digits) - 1
    mantissa = "".join(map(str, digits))
    fraction = f".{mantissa[1:]}" if len(mantissa) > 1 else ""
    return f"{'-' if sign else ''}{mantissa[0]}{fraction}e{power:+d}"


def print_tag(entry: LoraEntry) -> str:
    """The tag of an entry, weights in A1111's order (te, unet); a weight is always written, as A1111's paste needs it.

    `name` must not be empty; JSON fields unknown to this version have no place in a tag and are left out.
    """
    schedules = {key: text for key, text in entry.extra if key not in FOREIGN_KEYS}
    te, unet = schedules.get("te"), schedules.get("unet")
    parts = [print_name(entry.name), te or format_number(entry.te)]
    if entry.unet != entry.te or te or unet or entry.dyn is not None:
        parts.append(unet or format_number(entry.unet))
    if entry.dyn is not None:
        parts.append(str(entry.dyn))
    if entry.lbw is not None:
        parts.append(f"lbw={escape(entry.lbw)}")
    if entry.lbwe is not None:
        parts.append(f"lbwe={escape(entry.lbwe)}")
    if entry.x is not None:
        parts.append(f"x={schedules.get('x') or format_number(entry.x)}")
    parts.extend(_hires(entry, schedules))
    parts.extend(f"{key}={escape(text)}" for key, text in entry.extra if key in FOREIGN_KEYS)
    return f"<lora:{':'.join(parts)}>"


def print_stack(stack: LoraStack) -> str:
    """The tags of all entries in order, parted by spaces."""
    return " ".join(print_tag(entry) for entry in stack)


def print_name(name: str) -> str:
    """A name as it stands in a tag, escaped, and told from a key where it looks like one."""
    first = name.partition("=")[0].strip().lower()
    looks_like_a_key = "=" in name and (first in KEYS or first == "w")
    return escape("./" + name if looks_like_a_key or name.startswith("./") else name)


def _hires(entry: LoraEntry, schedules: dict[str, str]) -> list[str]:
    values = {"hrte": entry.hr_te, "hrunet": entry.hr_unet}
    texts = {key: schedules.get(key) or format_number(v) for key, v in values.items() if v is not None}
    if len(texts) == 2 and texts["hrte"] == texts["hrunet"]:
        return [f"hr={texts['hrte']}"]
    return [f"{key}={text}" for key, text in texts.items()]
