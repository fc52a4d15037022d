"""The tag's grammar: `<lora:name[:te[:unet[:dyn]]][:key=value…]>`, A1111's with its faults mended.

The JavaScript twin is `web/grammar.mjs`; both are held to `tests/conformance/tags.json`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from .entry import LoraEntry
from .number import read_number
from .schedule import CURVE_KEYS, WINDOW_KEYS, Curve, read_bound, read_curve, read_window, scaled
from .stack import LoraStack

WeightOrder = Literal["a1111", "comfy"]
Repeats = Literal["sum", "a1111"]

_OPEN = re.compile(r"<(?:lora|lyco):", re.IGNORECASE)
_INSIDE = re.compile(r"\\.|>|<(?:lora|lyco):|[:=]", re.IGNORECASE | re.DOTALL)
_ESCAPABLE = frozenset(":<>\\{}|")

NUMBER_KEYS = ("te", "unet", "hr", "hrte", "hrunet", "x")
TEXT_KEYS = ("lbw", "lbwe")
FOREIGN_KEYS = (*WINDOW_KEYS, "in", "mid", "out")
"""Keys of hako-mikan's LBW and SD.Next, kept in the entry as written."""
_NOT_APPLIED = FOREIGN_KEYS[len(WINDOW_KEYS) :]
KEYS = (*NUMBER_KEYS, "dyn", *TEXT_KEYS, *FOREIGN_KEYS)
_SYNONYMS = {"w": "lbw"}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a prompt that could not be taken as written."""

    start: int
    """Offset of the tag's `<` in the text, in code points."""
    end: int
    """Offset after the tag."""
    tag: str
    """The tag as written."""
    message: str
    """What is wrong and what to do."""
    skipped: bool
    """Whether the whole tag was left out."""

    def __str__(self) -> str:
        state = "skipped" if self.skipped else "applied"
        return f"{self.tag} (character {self.start + 1}, {state}): {self.message}"


@dataclass(frozen=True, slots=True)
class TagMatch:
    """One tag found in a text; `entry` is `None` where a problem made it unusable."""

    start: int
    end: int
    entry: LoraEntry | None


@dataclass(frozen=True, slots=True)
class ParsedPrompt:
    """A prompt taken apart."""

    text: str
    """The prompt without its tags, otherwise unchanged."""
    stack: LoraStack
    tags: tuple[TagMatch, ...]
    problems: tuple[Problem, ...]


class _BadTag(Exception):
    """A fault that costs the whole tag."""


def parse_prompt(text: str, weight_order: WeightOrder = "a1111", repeats: Repeats = "sum") -> ParsedPrompt:
    """Takes the LoRA tags out of a prompt. Never raises: a bad tag costs that tag alone and becomes a `Problem`.

    Args:
        text: the prompt, of any length and content.
        weight_order: what the positional weights mean: `a1111` is (te, unet), `comfy` is (unet, te).
        repeats: `sum` keeps each occurrence of a name; `a1111` makes one entry of them, with the last occurrence's
            values and its weights times the number of occurrences (its loader lists one shared object repeatedly).
    """
    kept: list[str] = []
    tags: list[TagMatch] = []
    problems: list[Problem] = []
    position = 0
    for start, end, arguments in _scan(text, problems):
        kept.append(text[position:start])
        position = end
        complaints: list[str] = []
        try:
            entry: LoraEntry | None = _read(arguments, weight_order, complaints)
        except _BadTag as fault:
            entry = None
            problems.append(Problem(start, end, text[start:end], str(fault), skipped=True))
        problems.extend(Problem(start, end, text[start:end], c, skipped=False) for c in complaints)
        tags.append(TagMatch(start, end, entry))
    kept.append(text[position:])
    problems.sort(key=lambda p: p.start)
    entries = tuple(tag.entry for tag in tags if tag.entry is not None)
    if repeats == "a1111":
        entries = _merge_repeats(entries)
    stack = LoraStack(entries, tuple(str(p) for p in problems))
    return ParsedPrompt("".join(kept), stack, tuple(tags), tuple(problems))


@dataclass(frozen=True, slots=True)
class _Argument:
    key: str | None
    """Trimmed and lower-cased text before the first bare `=`; `None` without one."""
    value: str
    """Unescaped text after the `=`, or the whole argument, trimmed."""
    whole: str
    """The unescaped argument, trimmed."""


def _scan(text: str, problems: list[Problem]) -> Iterator[tuple[int, int, list[_Argument]]]:
    """Finds tags in one pass over the text, so that no input takes more than linear time."""
    opening = _OPEN.search(text)
    while opening:
        start, cursor = opening.start(), opening.end()
        cuts = [cursor - 1]
        equals: dict[int, int] = {}
        opening = None
        for token in _INSIDE.finditer(text, cursor):
            symbol = token.group()
            if symbol == ":":
                cuts.append(token.start())
            elif symbol == "=":
                equals.setdefault(len(cuts), token.start())
            elif symbol == ">":
                cuts.append(token.start())
                arguments = [_argument(text, cuts[i - 1] + 1, cuts[i], equals.get(i)) for i in range(1, len(cuts))]
                if any(argument.whole for argument in arguments):
                    yield start, token.end(), arguments
                opening = _OPEN.search(text, token.end())
                break
            elif symbol[0] == "<":
                problems.append(_unclosed(text, start, token.start()))
                opening = _OPEN.match(text, token.start())
                break
        else:
            problems.append(_unclosed(text, start, len(text)))


def _unclosed(text: str, start: int, end: int) -> Problem:
    shown = text[start : min(end, start + 40)].rstrip()
    return Problem(start, end, shown, 'the tag has no closing ">" and stays in the prompt.', skipped=True)


def _argument(text: str, start: int, end: int, equals: int | None) -> _Argument:
    whole = _unescape(text[start:end]).strip()
    if equals is None:
        return _Argument(None, whole, whole)
    return _Argument(text[start:equals].strip().lower(), _unescape(text[equals + 1 : end]).strip(), whole)


def _unescape(raw: str) -> str:
    r"""`\:` `\>` `\<` `\\` `\{` `\}` `\|` lose their backslash; any other backslash separates folders."""
    if "\\" not in raw:
        return raw
    out: list[str] = []
    index = 0
    while index < len(raw):
        character = raw[index]
        if character == "\\":
            following = raw[index + 1 : index + 2]
            if following and following in _ESCAPABLE:
                out.append(following)
                index += 2
                continue
            character = "/"
        out.append(character)
        index += 1
    return "".join(out)


def _read(arguments: list[_Argument], weight_order: WeightOrder, complaints: list[str]) -> LoraEntry:
    named: dict[str, str] = {}
    positional: list[str] = []
    name: str | None = None
    for argument in arguments:
        key = _SYNONYMS.get(argument.key, argument.key) if argument.key is not None else None
        if key in KEYS:
            if key in named:
                complaints.append(f'"{key}" is given twice; the last value counts.')
            named[key] = argument.value
        elif name is None:
            name = argument.whole.removeprefix("./").strip()
        elif argument.key is not None:
            complaints.append(f'the key "{argument.key}" is not known. Known keys: {", ".join(KEYS)}.')
        else:
            positional.append(argument.value)
    if not name:
        raise _BadTag("the tag names no LoRA. Write <lora:name:weight>.")
    return _entry(name, positional, named, weight_order, complaints)


_POSITIONS: dict[WeightOrder, tuple[str, str, str]] = {
    "a1111": ("te", "unet", "dyn"),
    "comfy": ("unet", "te", "dyn"),
}


def _entry(
    name: str, positional: list[str], named: dict[str, str], weight_order: WeightOrder, complaints: list[str]
) -> LoraEntry:
    values: dict[str, float] = {}
    schedules: dict[str, str] = {}

    def weight(key: str, text: str) -> None:
        value, schedule = _weight(key, text)
        values[key] = value
        if schedule is not None:
            schedules[key] = schedule
            if key == "x":
                complaints.append(f'"x" cannot move over the steps; its largest value, {value:g}, is used.')

    dyn: int | None = None
    for key, text in zip(_POSITIONS[weight_order], positional, strict=False):
        if key == "dyn":
            dyn = _rank(text)
        elif key in named:
            if _weight(key, text)[1] is not None:
                complaints.append(f'the schedule {text!r} gives way to "{key}={named[key]}".')
        else:
            weight(key, text)
    if len(positional) > 3:
        complaints.append(f"more than three numbers follow the name; {positional[3]!r} and later ones are ignored.")
    for key in NUMBER_KEYS:
        if key in named:
            weight(key, named[key])
    if "dyn" in named:
        dyn = _rank(named["dyn"])
    for key in WINDOW_KEYS:
        if key in named and (read_window if key == "step" else read_bound)(named[key]) is None:
            raise _BadTag(f'"{key}" is {named[key]!r}. {_WINDOW_HINTS[key]}')
    complaints.extend(f'"{key}" is not applied yet.' for key in _NOT_APPLIED if key in named)

    fallbacks = (("te", "unet"), ("hr", "hrte"), ("hr", "hrunet"))
    if weight_order == "comfy" and positional:
        fallbacks = (("unet", "te"), *fallbacks[1:])
    for source, target in fallbacks:
        if source in values and target not in values:
            values[target] = values[source]
            if source in schedules:
                values[target], schedules[target] = _weight(target, schedules[source])[0], schedules[source]
    kept = {key: text for key, text in schedules.items() if key != "hr"}
    kept.update((key, named[key]) for key in FOREIGN_KEYS if key in named)
    return LoraEntry(
        name=name,
        te=values.get("te", 1.0),
        unet=values.get("unet", 1.0),
        dyn=dyn,
        lbw=named.get("lbw") or None,
        lbwe=named.get("lbwe") or None,
        x=values.get("x"),
        hr_te=values.get("hrte"),
        hr_unet=values.get("hrunet"),
        extra=tuple(sorted(kept.items(), key=lambda item: KEYS.index(item[0]))),
    )


_WINDOW_HINTS = {
    "start": "Write the number of steps to wait, or a part of all steps: start=5, start=0.3.",
    "stop": "Write the number of steps to act in, or a part of all steps: stop=5, stop=0.7.",
    "step": "Write the steps to act in: step=5-15, step=0.2-0.7.",
}


def _weight(key: str, text: str) -> tuple[float, str | None]:
    """A weight, or a schedule as (the one value that stands for it, its text).

    A text encoder takes the value at the start; of the others the one farthest from zero is shown.
    """
    value = read_number(text)
    if value is not None:
        return value, None
    curve = read_curve(text) if "@" in text or "~" in text else None
    if isinstance(curve, Curve):
        return (curve.first if key in ("te", "hrte") else curve.largest), text
    if curve is not None:
        return curve, None
    place = f'"{key}" is {text!r}, which is no number' if text else f'"{key}" has no number'
    raise _BadTag(f"{place}.{_lbw_hint(text)}")


def _lbw_hint(text: str) -> str:
    looks_like_blocks = text[:1].isalpha() or "," in text
    return f" Block weights are written lbw={text}." if looks_like_blocks else " Write a number such as 0.8."


def _rank(text: str) -> int:
    value = read_number(text)
    if value is None or value != int(value):
        raise _BadTag(f'"dyn" is {text!r}, which is no whole number. Write a rank such as dyn=16.')
    return int(value)


def _merge_repeats(entries: tuple[LoraEntry, ...]) -> tuple[LoraEntry, ...]:
    last: dict[str, LoraEntry] = {}
    count: dict[str, int] = {}
    for entry in entries:
        last[entry.name] = entry
        count[entry.name] = count.get(entry.name, 0) + 1

    def merged(name: str) -> LoraEntry:
        entry, times = last[name], count[name]
        return replace(
            entry,
            te=entry.te * times,
            unet=entry.unet * times,
            hr_te=None if entry.hr_te is None else entry.hr_te * times,
            hr_unet=None if entry.hr_unet is None else entry.hr_unet * times,
            extra=tuple((key, scaled(text, times) if key in CURVE_KEYS else text) for key, text in entry.extra),
        )

    return tuple(merged(name) for name in last)
