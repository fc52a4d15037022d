"""The conformance file, read by the Python parser; `tests/web/test_grammar.py` reads it with the JavaScript one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lora_deck.stack.printer import print_stack
from lora_deck.stack.stack import LoraStack
from lora_deck.stack.tag import parse_prompt

CASES = json.loads((Path(__file__).parents[1] / "conformance" / "tags.json").read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("case", CASES, ids=[case["text"] for case in CASES])
def test_case(case: dict[str, Any]) -> None:
    options = {key: case[key] for key in ("weight_order", "repeats") if key in case}
    parsed = parse_prompt(case["text"], **options)
    assert parsed.stack.entries == LoraStack.from_json({"lora_deck": 1, "entries": case["entries"]}).entries
    assert parsed.text == case["clean"]
    problems = case.get("problems", [])
    assert [(p.start, p.skipped) for p in parsed.problems] == [(start, skipped) for start, skipped, _ in problems]
    for start, _, said in problems:
        assert any(said in p.message for p in parsed.problems if p.start == start)
    if "printed" in case:
        assert print_stack(parsed.stack) == case["printed"]
