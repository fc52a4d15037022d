"""The JavaScript grammar says what the Python grammar says: on the conformance file and on random text."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from lora_deck.stack.entry import LoraEntry
from lora_deck.stack.printer import print_stack
from lora_deck.stack.tag import parse_prompt
from playwright.sync_api import Page

CASES = json.loads((Path(__file__).parents[1] / "conformance" / "tags.json").read_text(encoding="utf-8"))["cases"]

READ = """async cases => {
    const { parsePrompt, printTag } = await import("/grammar.mjs")
    return cases.map(([text, weightOrder, repeats]) => {
        const parsed = parsePrompt(text, { weightOrder, repeats })
        const points = at => [...text.slice(0, at)].length
        return {
            clean: parsed.text,
            entries: parsed.entries,
            problems: parsed.problems.map(p => [points(p.start), points(p.end), p.skipped]),
            tags: parsed.tags.map(t => [points(t.start), points(t.end)]),
            printed: parsed.entries.map(entry => printTag(entry)).join(" "),
        }
    })
}"""


def plain(entry: LoraEntry) -> dict[str, Any]:
    return {
        "name": entry.name, "te": entry.te, "unet": entry.unet, "dyn": entry.dyn, "lbw": entry.lbw, "lbwe": entry.lbwe,
        "x": entry.x, "hr_te": entry.hr_te, "hr_unet": entry.hr_unet, "extra": [list(pair) for pair in entry.extra],
    }  # fmt: skip


def python_reading(text: str, weight_order: Any, repeats: Any) -> dict[str, Any]:
    parsed = parse_prompt(text, weight_order, repeats)
    return {
        "clean": parsed.text,
        "entries": [plain(entry) for entry in parsed.stack],
        "problems": [[p.start, p.end, p.skipped] for p in parsed.problems],
        "tags": [[t.start, t.end] for t in parsed.tags],
    }


def test_conformance(page: Page) -> None:
    read = page.evaluate(READ, [[c["text"], c.get("weight_order"), c.get("repeats")] for c in CASES])
    defaults = plain(LoraEntry(""))
    for case, got in zip(CASES, read, strict=True):
        assert got["entries"] == [{**defaults, **entry} for entry in case["entries"]], case["text"]
        assert got["clean"] == case["clean"]
        assert [[start, skipped] for start, _, skipped in got["problems"]] == [
            [start, skipped] for start, skipped, _ in case.get("problems", [])
        ]
        if "printed" in case:
            assert got["printed"] == case["printed"]


FRAGMENTS = (
    "<lora:", "<LYCO:", "<lora", ">", ">", ":", ":", "=", "te", "UNET ", "dyn", "lbw", "w", "lbwe", "hr", "hrte", "x",
    "start", "mid", "0.5", "1", "-1", "1e3", "1e-7",
    "1.25e22", "1_0", "１", "x1", "0@0,1@1", "~", "8", "\\", "\\:", "\\>", "{", "}", "|",
    " ", "\n", "\u2003", "\ufeff", "\x1c", "a", "ink", "墨", "😀", "./", "/", "[v1]", "constructor", "__proto__",
)  # fmt: skip


def test_both_grammars_agree_on_random_text(page: Page) -> None:
    rng = random.Random(5)
    texts = ["".join(rng.choices(FRAGMENTS, k=rng.randint(1, 24))) for _ in range(20_000)]
    cases = [[text, rng.choice(("a1111", "comfy")), rng.choice(("sum", "a1111"))] for text in texts]
    for case, got in zip(cases, page.evaluate(READ, cases), strict=True):
        printed = got.pop("printed")
        assert got == python_reading(*case), case
        again = parse_prompt(printed).stack.entries
        assert [plain(entry) for entry in again] == got["entries"], case
        assert printed == print_stack(parse_prompt(*case).stack), case
