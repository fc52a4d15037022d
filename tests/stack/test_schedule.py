"""Weights over steps, held against loractl's interpolation and A1111's counting of steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lora_deck.stack.schedule import Curve, read_bound, read_curve, read_moves, read_window, scaled, schedule_of
from lora_deck.stack.tag import parse_prompt
from lora_deck.stack.target import with_schedule

numpy = pytest.importorskip("numpy")


def weights(tag: str, steps: int, sampling_pass: str = "first") -> list[float]:
    (entry,) = parse_prompt(tag).stack
    schedule = schedule_of(entry, sampling_pass)
    assert schedule is not None
    return [round(schedule.at(step, steps), 6) for step in range(steps)]


@given(
    st.lists(st.tuples(st.floats(-2, 2), st.integers(0, 30)), min_size=1, max_size=6, unique_by=lambda p: p[1]),
    st.integers(1, 40),
    st.booleans(),
)
def test_a_curve_is_what_numpys_interpolation_gives(
    points: list[tuple[float, int]], steps: int, fractions: bool
) -> None:
    scale = 30 if fractions else 1
    curve = read_curve(",".join(f"{weight!r}@{place / scale!r}" for weight, place in points))
    assert isinstance(curve, Curve)
    places, values = zip(*sorted((place / scale, weight) for weight, place in points), strict=True)
    for step in range(steps):
        x = step / max(steps - 1, 1) if places[-1] <= 1 else step
        assert curve.at(step, steps) == pytest.approx(numpy.interp(x, places, values), abs=1e-9)


def test_curves() -> None:
    assert weights("<lora:n:1:0@0,1@1>", 5) == [0, 0.25, 0.5, 0.75, 1]
    assert weights("<lora:n:1:0~0;1~2>", 5) == [0, 0.5, 1, 1, 1]
    assert weights("<lora:n:1:1@0,1@0.5,0@0.5>", 5) == [1, 1, 0, 0, 0]
    assert weights("<lora:n:1:0@0,1>", 3) == [0, 0.5, 1]
    assert weights("<lora:n:1:0@0,1@1>", 1) == [0]
    assert read_curve("0.4,1@0.5") == 0.4
    assert read_curve("0@0,@1") is None and read_curve("a@1") is None and read_curve("1@2@3") is None


def test_windows_count_as_a1111_counts() -> None:
    """A1111's step counter is set after a step: forward i reads max(i − 1, 0)."""

    def seen(step: int) -> int:
        return max(step - 1, 0)

    for number in range(1, 6):
        assert weights(f"<lora:n:start={number}>", 6) == [float(number - 1 <= seen(i)) for i in range(6)]
        assert weights(f"<lora:n:stop={number}>", 6) == [float(seen(i) < number - 1) for i in range(6)]
    assert weights("<lora:n:step=2-4>", 6) == [0, 0, 1, 1, 0, 0]
    assert weights("<lora:n:start=0.5>", 6) == [0, 0, 0, 1, 1, 1]
    assert weights("<lora:n:stop=0.5>", 6) == [1, 1, 1, 0, 0, 0]
    assert weights("<lora:n:1:0@0,1@1:start=0.5>", 5) == [0, 0, 0, 0.75, 1]
    assert weights("<lora:n:step=-0.5>", 4) == [1, 1, 0, 0] and weights("<lora:n:step=0.5->", 4) == [0, 0, 1, 1]


def test_the_hires_pass_has_its_own() -> None:
    tag = "<lora:n:1:0@0,1@1:hrunet=1@0,0@1>"
    assert weights(tag, 3) == [0, 0.5, 1] and weights(tag, 3, "hires") == [1, 0.5, 0]
    assert weights("<lora:n:1:0@0,1@1>", 3, "hires") == [0, 0.5, 1]
    (entry,) = parse_prompt("<lora:n:1:0@0,1@1:hr=0.5>").stack
    assert schedule_of(entry, "hires") is None
    assert weights("<lora:n:0.2:hr=0.5:start=2>", 3, "hires") == [0, 0, 0.5]


def test_what_does_not_move_has_no_schedule() -> None:
    for tag in ("<lora:n>", "<lora:n:0@0,1@1:unet=0.5>", "<lora:n:1:1:lbw=MIDD>", "<lora:n:in=0.5>"):
        (entry,) = parse_prompt(tag).stack
        assert schedule_of(entry) is None


@given(st.text(alphabet="0123456789.@~,;-e ", max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    curve = read_curve(text)
    if isinstance(curve, Curve):
        assert all(abs(curve.at(step, 7)) <= abs(curve.largest) + 1e-9 for step in range(7))
        again = read_curve(scaled(text, 2.0))
        assert isinstance(again, Curve) and again.largest == pytest.approx(2 * curve.largest)
    read_bound(text), read_window(text)


def test_the_nodes_language() -> None:
    assert read_moves("0@0,1@0.5:start=5") == {"unet": "0@0,1@0.5", "start": "5"}
    assert read_moves(" stop = 0.7 \n 0.5 ") == {"stop": "0.7", "unet": "0.5"}
    assert read_moves("") == {}
    for bad in ("0@", "start=x", "te=1", "0@0:1@1", "hr=0.5"):
        assert "parted by colons" in read_moves(bad)


def test_the_node_gives_what_the_tag_gives() -> None:
    stack = parse_prompt("<lora:a:0.3><lora:b:0.6:0.7>").stack
    moves = read_moves("0@0,0.9@1:start=2")
    assert isinstance(moves, dict)
    changed, said = with_schedule(stack, moves, "B")
    assert changed.entries == parse_prompt("<lora:a:0.3><lora:b:0.6:0@0,0.9@1:start=2>").stack.entries
    assert said == "0@0,0.9@1, start=2: b"
    again, said = with_schedule(changed, {"unet": "0.5"}, "")
    assert again.entries == parse_prompt("<lora:a:0.3:0.5><lora:b:0.6:0.5:start=2>").stack.entries
    assert "b has 0.5 instead of its own unet=0@0,0.9@1" in said and again.notes
    unchanged, note = with_schedule(stack, moves, "c")
    assert unchanged.entries == stack.entries and "no LoRA of the stack is called 'c'" in note
