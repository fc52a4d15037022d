"""Infotext: what A1111, Forge, SD.Next, Civitai and others write about a picture, taken apart.

A text is prompt, `Negative prompt: …`, and one line of fields. Nothing here raises: what cannot be read says why.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .field_line import WELL_KNOWN, read_fields

NEGATIVE = "Negative prompt:"
LONGEST = 4_000_000
"""Characters; no picture's text is longer."""

_STEPS = re.compile(r"\bSteps: *\d+\s*(?:,|\||$)")
_FOREIGN = (
    ("sui_image_params", "SwarmUI"),
    ("fooocus_scheme", "Fooocus"),
    ("sharpness", "Fooocus"),
    ("class_type", "ComfyUI"),
)


@dataclass(frozen=True, slots=True)
class Infotext:
    """An infotext as its writer meant it."""

    prompt: str = ""
    """Each line without the spaces at its ends, as A1111 reads it; tags are still in it."""
    negative: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Name → text, or decoded JSON where it is that; sizes are kept as `WxH`."""
    note: str = ""
    """Why nothing, or not all, could be read: a sentence for the user."""
    program: str = ""
    """Whose own format it is, where it is no infotext."""

    @property
    def is_empty(self) -> bool:
        return not (self.prompt or self.negative or self.fields)

    def number(self, name: str) -> float | None:
        """A field as a finite number, `None` where it is none."""
        try:
            value = float(str(self.fields.get(name, "")).strip())
        except ValueError:
            return None
        return value if abs(value) < 1e300 else None

    def whole(self, name: str) -> int | None:
        """A field as a whole number, `None` where it is none."""
        text = str(self.fields.get(name, "")).strip()
        if re.fullmatch(r"-?[0-9]{1,30}", text):
            return int(text)
        value = self.number(name)
        return int(value) if value is not None and value == int(value) else None

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) in pixels."""
        match = re.fullmatch(r"([0-9]{1,6}) ?x ?([0-9]{1,6})", str(self.fields.get("Size", "")).strip())
        return (int(match[1]), int(match[2])) if match else None


def read_infotext(text: str) -> Infotext:
    """Takes an infotext apart, in linear time.

    The field line is the last line with three fields, or an earlier one where others follow it (Dynamic Prompts adds
    `Template:` lines). Line ends may be CRLF; a text on one line, as exiftool prints it, is parted at its markers.
    """
    text = text[:LONGEST].replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").strip()
    if not text:
        return Infotext(note="The text is empty.")
    if text[0] in "{[":
        foreign = _foreign(text)
        if foreign:
            return foreign
    lines = text.split("\n")
    if len(lines) == 1:
        lines = _parted(text)
    first, last = _field_lines(lines)
    fields: dict[str, Any] = {}
    for line in lines[first:last]:
        fields.update(read_fields(line))
    prompt, negative = _prompts(lines[:first])
    return Infotext(prompt, negative, fields)


def _prompts(lines: list[str]) -> tuple[str, str]:
    prompt: list[str] = []
    negative: list[str] = []
    taking = prompt
    for raw in lines:
        line = raw.strip()
        if line.startswith(NEGATIVE):
            taking = negative
            line = line[len(NEGATIVE) :].strip()
        taking.append(line)
    return _joined(prompt), _joined(negative)


def _joined(lines: list[str]) -> str:
    """Blank lines before the first word vanish, as in A1111."""
    while lines and not lines[0]:
        lines = lines[1:]
    return "\n".join(lines)


def _field_lines(lines: list[str]) -> tuple[int, int]:
    """(first, after the last) of the field lines; both past the end where there are none."""
    if _is_fields(lines[-1], last=True):
        last = len(lines) - 1
    else:
        last = next((i for i in range(len(lines) - 2, -1, -1) if _is_fields(lines[i], last=False)), -1)
        if last < 0:
            return len(lines), len(lines)
    first = last
    while first > 0 and lines[first - 1].rstrip().endswith(",") and _only_well_known(lines[first - 1]):
        first -= 1
    return first, last + 1


def _is_fields(line: str, last: bool) -> bool:
    if ":" not in line:
        return False
    fields = read_fields(line)
    if line.lstrip().startswith(NEGATIVE):
        return False
    known = len(WELL_KNOWN & fields.keys())
    if last:
        return len(fields) >= 3 or (known >= 1 and line.lstrip().startswith("Steps:"))
    return len(fields) >= 3 and known >= 2 and line.lstrip().startswith("Steps:")


def _only_well_known(line: str) -> bool:
    parts = [part for part in line.split(",") if part.strip()]
    fields = read_fields(line)
    return len(parts) >= 2 and len(fields) == len(parts) and fields.keys() <= WELL_KNOWN


def _parted(text: str) -> list[str]:
    """One line with all in it, as several: exiftool prints a dot for each line end."""
    starts = list(_STEPS.finditer(text))
    if not starts or starts[-1].start() == 0:
        return [text]
    before, fields = text[: starts[-1].start()], text[starts[-1].start() :]
    if len(read_fields(fields)) < 3:
        return [text]
    prompt, marker, negative = before.partition(NEGATIVE)
    lines = [_cut(prompt), fields]
    return [lines[0], f"{NEGATIVE} {_cut(negative)}", fields] if marker else lines


def _cut(text: str) -> str:
    return text.rstrip().removesuffix(".").rstrip()


def _foreign(text: str) -> Infotext | None:
    """What a text that is JSON is said to be; `None` where it is none."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict | list):
        return None
    program = next((name for key, name in _FOREIGN if f'"{key}"' in text), "")
    whose = f"as {program} writes it" if program else "of another program"
    then = f"; open it with {program}" if program else ""
    note = f"This is JSON {whose}, and no infotext. Nothing was read{then}."
    return Infotext(note=note, program=program or "another program")
