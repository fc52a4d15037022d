"""Rows ⇄ JSON ⇄ tags ⇄ entries, without loss."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from lora_deck.stack.entry import LoraEntry
from lora_deck.stack.errors import StackFormatError
from lora_deck.stack.rows import Row, Rows
from lora_deck.stack.tag import parse_prompt

CASES = json.loads((Path(__file__).parents[1] / "conformance" / "rows.json").read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("case", CASES, ids=[str(number) for number in range(len(CASES))])
def test_case(case: dict[str, Any]) -> None:
    rows = Rows.from_json(case["value"])
    assert rows.to_json() == case["value"]
    assert rows.tags() == case["tags"]
    assert [entry.name for entry in rows.stack()] == case["names"]
    back = case.get("back", case["value"]["rows"])
    assert Rows.from_tags(case["tags"]).to_json()["rows"] == back
    assert Rows.read(json.dumps(case["value"])) == rows


def some_entry(rng: random.Random) -> LoraEntry:
    def maybe(value: Any) -> Any:
        return value if rng.random() < 0.3 else None

    name = "".join(rng.choices("ab/ .:=<>\\{}|墨😀te-_[]1", k=rng.randint(1, 12))).strip(" ./\\") or "n"
    number = rng.choice((0.0, 1.0, -0.35, 1e-7, 0.1 + 0.2, 1e22))
    return LoraEntry(
        name, number, rng.choice((number, 0.5)), maybe(8), maybe("IN04=0.8,NOT M00"), maybe("IN05:attn:1"),
        maybe(2.5), maybe(0.25), maybe(-1.0), maybe((("start", "5"), ("mid", "0,1"))) or (),
    )  # fmt: skip


def test_random_rows_come_back_from_tags_and_json() -> None:
    rng = random.Random(15)
    for _ in range(2000):
        entries = [some_entry(rng) for _ in range(rng.randint(0, 4))]
        rows = Rows.of(entries)
        assert Rows.from_json(json.loads(json.dumps(rows.to_json()))) == rows
        assert Rows.from_tags(rows.tags()).rows == rows.rows, rows.tags()
        assert Rows.read(rows.tags()).stack().entries == parse_prompt(rows.tags()).stack.entries


def test_switches_are_kept_and_leave_out() -> None:
    rows = Rows((Row(LoraEntry("a"), False), Row(LoraEntry("b"))), on=False)
    assert Rows.from_json(rows.to_json()) == rows
    assert rows.stack().entries == () and rows.tags() == "<lora:b:1>"


def test_hand_written_forms() -> None:
    assert Rows.read([{"name": "a"}]) == Rows((Row(LoraEntry("a")),))
    assert Rows.read({"rows": [{"name": "a", "te": 0.5, "on": False}]}) == Rows((Row(LoraEntry("a", 0.5, 1), False),))
    assert Rows.read("a cat <lora:a:0.5> <lora:b:x>").notes
    assert Rows.read(None) == Rows.read("") == Rows()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("just words", "neither"), ("{", "no JSON"), ({"lora_deck": 1}, '"rows"'), (3, '"rows"'),
        ({"rows": [{"te": 1}]}, "Row 1"), ([{"name": "a"}, {"name": "b", "unet": "1"}], "Row 2"),
        ([{"name": " "}], "no name"), ([{"name": "a", "on": 1}], '"on"'), ({"on": "yes", "rows": []}, '"on"'),
        ({"lora_deck": 2, "rows": []}, "Update"), ([7], "Row 1"),
    ],
)  # fmt: skip
def test_faults_say_where(value: object, said: str) -> None:
    with pytest.raises(StackFormatError, match=said):
        Rows.read(value)
