"""Weights that move over the steps: loractl's `w@step` lists, and hako-mikan's `start=`, `stop=`, `step=a-b`.

A place among the steps is a number from 0, the first step, to n − 1, the last one; between two steps it lies between
their numbers. Only the diffusion model's weight moves; a text encoder has encoded the prompt before the first step.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from .entry import LoraEntry, SamplingPass
from .number import read_number

CURVE_KEYS = ("te", "unet", "hr", "hrte", "hrunet")
WINDOW_KEYS = ("start", "stop", "step")


@dataclass(frozen=True, slots=True)
class Curve:
    """Linear between its points, constant before the first and after the last."""

    points: tuple[tuple[float, float], ...]
    """(place, weight), in order of the places; of two at one place the later counts from there on."""
    in_steps: bool
    """Whether places count steps from 0; else they are fractions, 0 the first step and 1 the last."""

    @property
    def first(self) -> float:
        """The weight where it begins."""
        return self.points[0][1]

    @property
    def largest(self) -> float:
        """The weight farthest from zero."""
        return max((weight for _, weight in self.points), key=abs)

    def at(self, place: float, steps: int) -> float:
        """The weight at a place among `steps` steps."""
        x = place if self.in_steps else place / max(steps - 1, 1)
        before = [point for point in self.points if point[0] <= x]
        if not before:
            return self.first
        left, low = before[-1]
        if len(before) == len(self.points):
            return low
        right, high = self.points[len(before)]
        return low + (high - low) * (x - left) / (right - left)


@dataclass(frozen=True, slots=True)
class Bound:
    """A number of steps, or a part of all steps."""

    value: float
    is_part: bool

    def steps(self, steps: int) -> float:
        """How many of the first steps it means.

        A1111 counts a step after it has run, so the first two count as one: 1 means none of them, N means N.
        """
        if self.is_part:
            return self.value * steps
        return self.value if self.value > 1 else 0


@dataclass(frozen=True, slots=True)
class Schedule:
    """The weight of one entry over the steps of one pass."""

    curve: Curve | None
    constant: float
    """The weight without a curve."""
    start: Bound | None = None
    """Zero in as many steps."""
    stop: Bound | None = None
    """Zero after as many steps."""

    @property
    def largest(self) -> float:
        """The weight farthest from zero."""
        return self.constant if self.curve is None else self.curve.largest

    def at(self, place: float, steps: int) -> float:
        """The weight at a place among `steps` steps."""
        step = math.floor(place + 1e-6)
        if self.start is not None and step < self.start.steps(steps):
            return 0.0
        if self.stop is not None and step >= self.stop.steps(steps):
            return 0.0
        return self.constant if self.curve is None else self.curve.at(place, steps)


def read_curve(text: str) -> Curve | float | None:
    """A weight over steps (`0@0,1@0.5`; `;` for `,` and `~` for `@`), a plain number, or `None` for neither.

    As loractl has it: an item without a place is at 1, but where the first item has none, it is the weight throughout.
    Places are fractions where the last one is at most 1.
    """
    items = [[read_number(part) for part in re.split("[@~]", item)] for item in re.split("[,;]", text)]
    points: list[tuple[float, float]] = []
    for item in items:
        weight, place = item[0], item[1] if len(item) == 2 else 1.0
        if len(item) > 2 or weight is None or place is None:
            return None
        points.append((place, weight))
    if len(items[0]) == 1:
        return points[0][1]
    points.sort(key=lambda point: point[0])
    return Curve(tuple(points), points[-1][0] > 1)


def read_bound(text: str) -> Bound | None:
    """A whole number of steps, or a part written with a point (`0.3`, `1.0`); `None` for anything else."""
    value = read_number(text)
    if value is None or value < 0:
        return None
    if value <= 1 and "." in text:
        return Bound(value, True)
    return Bound(value, False) if value == int(value) else None


def read_window(text: str) -> tuple[Bound | None, Bound | None] | None:
    """`a-b` of `step=`: (start, stop), either of which may be left out; `None` where it is no such thing."""
    start, dash, stop = text.strip().partition("-")
    bounds = [read_bound(part) if part.strip() else None for part in (start, stop)]
    if not dash or any(part.strip() and bound is None for part, bound in zip((start, stop), bounds, strict=True)):
        return None
    return (bounds[0], bounds[1]) if bounds != [None, None] else None


def read_moves(text: str) -> dict[str, str] | str:
    """What the node *LoRA schedule* takes: a curve and windows, parted by `:`, as in a tag.

    Gives key → text, the curve under `unet`; or what is wrong with it.
    """
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.replace("\n", ":").split(":"))):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        key = key.lower() if equals else "unet"
        value = value if equals else part
        if key in WINDOW_KEYS:
            good = (read_window if key == "step" else read_bound)(value) is not None
        else:
            good = key == "unet" and read_curve(value) is not None
        if not good:
            return f"{part!r} is no schedule. {HINT}"
        if key in found:
            return f"{key!r} is given twice. {HINT}"
        found[key] = value
    return found


HINT = "Write weights at places (0@0,1@0.5), and start=5, stop=0.7 or step=3-8, parted by colons."


def schedule_of(entry: LoraEntry, sampling_pass: SamplingPass = "first") -> Schedule | None:
    """How the entry's weight for the diffusion model moves in a pass, `None` where it stays as it is."""
    texts = dict(entry.extra)
    constant = entry.weights(sampling_pass)[1]
    hires = sampling_pass == "hires" and entry.hr_unet is not None
    text = texts.get("hrunet" if hires else "unet")
    curve = read_curve(text) if text is not None else None
    start = read_bound(texts["start"]) if "start" in texts else None
    stop = read_bound(texts["stop"]) if "stop" in texts else None
    window = read_window(texts["step"]) if "step" in texts else None
    if window is not None:
        start, stop = window[0] or start, window[1] or stop
    moves = curve if isinstance(curve, Curve) else None
    if moves is None and start is None and stop is None:
        return None
    return Schedule(moves, constant, start, stop)


def describe(schedule: Schedule, entry: LoraEntry, sampling_pass: SamplingPass = "first") -> str:
    """As the entry writes it, for reports: `0@0,1@0.5, start=3`."""
    texts = dict(entry.extra)
    curve = texts.get("hrunet" if sampling_pass == "hires" and entry.hr_unet is not None else "unet")
    parts = [curve] if schedule.curve is not None and curve is not None else []
    parts += [f"{key}={texts[key]}" for key in WINDOW_KEYS if key in texts]
    return ", ".join(parts)


def scaled(text: str, factor: float) -> str:
    """The text of a curve with every weight times `factor`."""
    items = re.split("([,;])", text)
    for i in range(0, len(items), 2):
        weight, *place = re.split("([@~])", items[i])
        number = read_number(weight)
        if number is not None:
            items[i] = "".join((_plain(number * factor), *place))
    return "".join(items)


def _plain(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
