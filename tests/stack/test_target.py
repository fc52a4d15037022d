"""Which entries a node's `target` means."""

from __future__ import annotations

import pytest
from lora_deck.stack.entry import LoraEntry
from lora_deck.stack.stack import LoraStack
from lora_deck.stack.target import targets, with_block_weights


@pytest.mark.parametrize(
    ("name", "target", "expected"),
    [
        ("styles/ink", "", True),
        ("styles/ink", "  ", True),
        ("styles/ink", "INK", True),
        ("styles/ink.safetensors", "ink", True),
        ("styles/ink", "styles\\ink.safetensors", True),
        ("styles/ink", "in?", True),
        ("styles/ink", "styles/*", True),
        ("styles/ink_v2", "ink", False),
        ("[x] (1)", "[X] (1)", True),
        ("v1.0", "v1", False),
    ],
)
def test_targets(name: str, target: str, expected: bool) -> None:
    assert targets(LoraEntry(name), target) is expected


def test_block_weights_replace_and_say_so() -> None:
    stack = LoraStack((LoraEntry("a", lbw="MIDD"), LoraEntry("b")))
    changed, report = with_block_weights(stack, " OUTD ", "")
    assert [e.lbw for e in changed] == ["OUTD", "OUTD"]
    assert len(changed.notes) == 1 and "MIDD" in changed.notes[0] and changed.notes[0] in report
    assert with_block_weights(stack, " ", "")[0] is stack
    unchanged, report = with_block_weights(stack, "OUTD", "z*")
    assert unchanged.entries == stack.entries and "'z*'" in report and unchanged.notes == (report,)
