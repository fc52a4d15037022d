r"""The fields of an infotext: `Steps: 20, Sampler: Euler a, …, Hashes: {"model": "…"}`.

A1111 finds them with `\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)`. Read here is what that reads, in linear
time, and values that it cuts at their first comma: JSON, as Civitai's and others' fields are written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

WELL_KNOWN = frozenset({
    "Steps", "Sampler", "Schedule type", "CFG scale", "Seed", "Size", "Model hash", "Model", "Version", "Clip skip",
    "Denoising strength", "Hires upscale", "Hires steps", "Hires upscaler", "Lora hashes", "LoRA hashes", "TI hashes",
    "Hashes", "Pipeline", "Parser", "Backend", "App", "Operations", "RNG", "VAE", "VAE hash",
})  # fmt: skip
"""Fields that a line must have some of to be taken for a field line where it is not the last one."""

_KEY_CHARACTER = re.compile(r"[\w \-/]")
_QUOTED = re.compile(r'"(?:\\.|[^\\"])+"\s*(?=,|$)')
_BAR = re.compile(r"\s\|\s")


def _no_number(text: str) -> float:
    raise ValueError(text)


_JSON = json.JSONDecoder(parse_constant=_no_number)
_JSON_TRIES = 64


def read_fields(line: str) -> dict[str, Any]:
    """Name → value of one field line; where a name comes twice, the last value counts, as in A1111.

    Values are texts with their quotes undone, and decoded where they are JSON objects or lists of them. Empty values
    and names of one letter vanish, as they do there. Never raises.
    """
    return dict(_pairs(_without_bars(line)))


def _without_bars(line: str) -> str:
    """SD.Next once parted fields by bars."""
    if not _BAR.search(line) or line.count(",") >= len(_BAR.findall(line)):
        return line
    return _BAR.sub(", ", line)


def _pairs(line: str) -> Iterator[tuple[str, Any]]:
    position = 0
    tries = _JSON_TRIES
    while (colon := line.find(":", position)) >= 0:
        key = _key_before(line, position, colon)
        position = colon + 1
        if key is None:
            continue
        while position < len(line) and line[position].isspace():
            position += 1
        if line[position : position + 1] in ("{", "[") and tries:
            tries -= 1
            end, value = _json_at(line, position)
            if end > position:
                position = end
                yield key, value
                continue
        value, position = _text_at(line, position)
        if value:
            yield key, value


def _key_before(line: str, start: int, colon: int) -> str | None:
    begin = colon
    while begin > start and _KEY_CHARACTER.match(line[begin - 1]):
        begin -= 1
    while begin < colon and not (line[begin].isalnum() or line[begin] == "_"):
        begin += 1
    return line[begin:colon] if colon - begin > 1 else None


def _json_at(line: str, start: int) -> tuple[int, Any]:
    """(position after the value and its comma, value); the position is `start` where there is no whole JSON value."""
    try:
        value, end = _JSON.raw_decode(line, start)
    except (ValueError, RecursionError):
        return start, None
    after = end
    while after < len(line) and line[after].isspace():
        after += 1
    if after < len(line) and line[after] != ",":
        return start, None
    decoded = isinstance(value, dict) or (bool(value) and all(isinstance(item, dict) for item in value))
    return after + 1, value if decoded else line[start:end]


def _text_at(line: str, start: int) -> tuple[str, int]:
    """(value, position after it)"""
    quoted = _QUOTED.match(line, start)
    if quoted:
        text = quoted.group().rstrip()
        try:
            text = str(json.loads(text))
        except ValueError:
            text = text[1:-1]
        return text, quoted.end() + 1
    comma = line.find(",", start)
    end = len(line) if comma < 0 else comma
    return line[start:end].strip(), end
