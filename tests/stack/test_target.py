"""Which entries a node's `target` means."""

from __future__ import annotations

import pytest
from lora_deck.stack.entry import LoraEntry
from lora_deck.stack.foreign import lost_in_plain_list
from lora_deck.stack.rank_limit import Method, RankLimit
from lora_deck.stack.stack import LoraStack
from lora_deck.stack.target import targets, with_block_weights, with_rank_limit


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


@pytest.mark.parametrize(
    ("method", "dyn", "limit"),
    [
        ("truncate", 8, None),
        ("svd", None, RankLimit("svd", rank=8)),
        ("energy", None, RankLimit("energy", energy=0.75)),
    ],
)
def test_a_rank_limit_replaces_dyn_and_says_so(method: Method, dyn: int | None, limit: RankLimit | None) -> None:
    stack = LoraStack((LoraEntry("a", dyn=4), LoraEntry("b"), LoraEntry("c", rank_limit=RankLimit("svd", rank=2))))
    changed, report = with_rank_limit(stack, method, 8, 0.75, "[ab]")
    assert [(e.dyn, e.rank_limit) for e in changed] == [(dyn, limit), (dyn, limit), (None, RankLimit("svd", rank=2))]
    assert len(changed.notes) == 1 and "its own dyn=4" in changed.notes[0] and changed.notes[0] in report
    again, _ = with_rank_limit(changed, method, 8, 0.75, "")
    assert "its own svd 2" in "".join(again.notes) or method == "svd"
    assert with_rank_limit(stack, method, 8, 0.75, "z")[0].entries == stack.entries


def test_a_rank_of_nought_takes_a_limit_away() -> None:
    stack = LoraStack((LoraEntry("a", dyn=4), LoraEntry("b", rank_limit=RankLimit("energy", energy=0.5))))
    for method in ("truncate", "svd"):
        changed, _ = with_rank_limit(stack, method, 0, 0.9, "")
        assert [(e.dyn, e.rank_limit) for e in changed] == [(None, None)] * 2
    with pytest.raises(ValueError, match="energy"):
        with_rank_limit(stack, "energy", 8, 1.5, "")


def test_a_plain_list_cannot_carry_a_rank_limit() -> None:
    assert "the rank limit" in lost_in_plain_list(LoraEntry("a", rank_limit=RankLimit("svd", rank=2)))[0]
