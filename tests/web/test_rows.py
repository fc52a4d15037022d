"""The JavaScript rows say what the Python rows say: on the conformance file and on what hands do to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

CASES = json.loads((Path(__file__).parents[1] / "conformance" / "rows.json").read_text(encoding="utf-8"))["cases"]
MODULE = "/rows_value.mjs?v=0.1.0"


def test_conformance(page: Page) -> None:
    got = page.evaluate(
        """async ([address, cases]) => {
            const { readRows, rowsAsTags, rowsFromTags } = await import(address)
            return cases.map(({ value, tags }) => ({ value: readRows(value), again: readRows(JSON.stringify(value)),
                tags: rowsAsTags(value), back: rowsFromTags(tags) })) }""",
        [MODULE, CASES],
    )
    for case, read in zip(CASES, got, strict=True):
        assert read["value"] == read["again"] == case["value"]
        assert read["tags"] == case["tags"]
        assert read["back"] == case.get("back", case["value"]["rows"])


@pytest.mark.parametrize(
    "value",
    [
        3,
        "words",
        "{",
        {"lora_deck": 2, "rows": []},
        {"rows": 1},
        {"rows": [{"te": 1}]},
        {"rows": [{"name": "a", "te": "1"}]},
    ],
)
def test_what_is_not_understood_is_left_alone(page: Page, value: Any) -> None:
    assert page.evaluate("async ([a, v]) => (await import(a)).readRows(v)", [MODULE, value]) is None


def test_changes(page: Page) -> None:
    got = page.evaluate(
        """async address => {
            const { changed, moved, replaced, withRows } = await import(address)
            const value = { lora_deck: 1, on: true, lock: 7, rows: ["a", "b", "c"].map(name => ({ name })) }
            const names = value => value.rows.map(row => row.name).join("")
            const full = { name: "a", te: 0.9, unet: 1, lbw: "X", extra: [["te", "0@0,0.9@1"], ["start", "5"]] }
            const [x, y] = [{ name: "x" }, { name: "y" }]
            return {
                moves: [[0, 3], [2, 0], [1, 1], [1, 2], [0, 2]].map(([from, to]) => names(moved(value, from, to))),
                more: [names(withRows(value, [x])), names(withRows(value, [x, y], 1))],
                less: names(replaced(value, 1, null)), kept: replaced(value, 1, null).lock, old: names(value),
                row: changed(full, { te: 0.5, lbw: null }),
                last: changed({ name: "a", extra: [["hrte", "0@0,1@1"]], hr_te: 1 }, { hr_te: null }),
            } }""",
        MODULE,
    )
    assert got == {
        "moves": ["bca", "cab", "abc", "abc", "bac"], "more": ["abcx", "axybc"], "less": "ac", "kept": 7, "old": "abc",
        "row": {"name": "a", "te": 0.5, "unet": 1, "extra": [["start", "5"]]}, "last": {"name": "a"},
    }  # fmt: skip
