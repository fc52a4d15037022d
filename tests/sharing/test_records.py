"""Records of earlier runs: by what led to a node, told to queued prompts, never another run's."""

from __future__ import annotations

from typing import Any

import pytest
from lora_deck.sharing.record import put, records
from lora_deck.sharing.records import WAITING, Records, signature


def prompt(text: str, *, seed: Any = 1, apply: str = "3") -> dict[str, Any]:
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors"}},
        "2": {"class_type": "PromptLoraParser", "inputs": {"text": text}, "_meta": {"title": text}},
        apply: {"class_type": "LoraStackApply", "inputs": {"stack": ["2", 1], "model": ["1", 0]}},
        "4": {"class_type": "KSampler", "inputs": {"model": [apply, 0], "seed": seed}},
    }


def test_the_signature_is_of_what_leads_to_the_node_alone() -> None:
    first = signature(prompt("a"), "3")
    assert signature(prompt("a", seed=2), "3") == first
    assert signature(prompt("b"), "3") != first
    moved = dict(reversed(prompt("a").items()))
    assert signature(moved, "3") == first


def test_numbers_count_as_the_host_reads_them() -> None:
    def with_weight(value: Any) -> str:
        add = {"class_type": "LoraStackAdd", "inputs": {"lora_name": "ink", "te_weight": value}}
        return signature({"1": add}, "1")

    assert with_weight(1) == with_weight(1.0) == with_weight("1")
    assert with_weight(1) != with_weight(1.5)


def test_graphs_in_a_circle_and_malformed_nodes_have_a_signature() -> None:
    circle = {"1": {"class_type": "A", "inputs": {"x": ["2", 0]}}, "2": {"class_type": "B", "inputs": {"x": ["1", 0]}}}
    assert signature(circle, "1")
    assert signature({"1": {"inputs": {"x": ["9", 0]}}, "2": "nonsense"}, "1")


def keep(kept: Records, which: dict[str, Any], run: str, value: str, own: dict[str, Any], index: int = 0) -> None:
    kept.keep(which, "3", index, run, {"value": value}, own)


def values(extra: dict[str, Any]) -> list[tuple[str, int, str]]:
    return [(node, index, run["value"]) for node, index, run in records(extra)]


def test_a_cached_run_is_told_its_own_record_not_the_last_one() -> None:
    kept = Records()
    for run, text in enumerate("abc"):
        extra: dict[str, Any] = {}
        kept.insert(prompt(text), extra)
        keep(kept, prompt(text), str(run), text, extra)
        assert values(extra) == [("3", 0, text)]
    again: dict[str, Any] = {}
    kept.insert(prompt("a", seed=7), again)
    assert values(again) == [("3", 0, "a")]


def test_prompts_that_wait_are_told_when_the_first_of_them_ran() -> None:
    kept = Records()
    queued: list[dict[str, Any]] = [{} for _ in range(100)]
    for seed, extra in enumerate(queued):
        kept.insert(prompt("a", seed=seed), extra)
    keep(kept, prompt("a", seed=0), "run", "a", queued[0], 0)
    keep(kept, prompt("a", seed=0), "run", "b", queued[0], 1)
    assert all(values(extra) == [("3", 0, "a"), ("3", 1, "b")] for extra in queued)


def test_another_run_begins_anew() -> None:
    kept = Records()
    extra: dict[str, Any] = {}
    keep(kept, prompt("a"), "first", "x", extra, 0)
    keep(kept, prompt("a"), "first", "y", extra, 1)
    keep(kept, prompt("a"), "second", "z", extra, 0)
    assert values(extra) == [("3", 0, "z")]


def test_what_waits_is_bounded_and_let_go() -> None:
    kept = Records()
    for number in range(WAITING + 50):
        kept.insert(prompt(str(number)), {})
    assert len(kept._waiting) == WAITING
    extra: dict[str, Any] = {}
    kept.insert(prompt("a"), extra)
    keep(kept, prompt("a"), "run", "a", extra)
    assert all(waiting.extra_pnginfo is not extra for waiting in kept._waiting.values() if waiting.key[0] == "3")


@pytest.mark.parametrize("there", [None, 3, "text", {"nodes": 5}, {"nodes": {"3": 5, "4": {"x": {}, "0": 1}}}])
def test_malformed_records_are_passed_over_and_written_anew(there: Any) -> None:
    extra = {"lora_deck": there, "workflow": {"id": 1}}
    assert list(records(extra)) == []
    put(extra, "3", {0: {"value": "a"}})
    assert ("3", 0, "a") in values(extra) and extra["workflow"] == {"id": 1}


def test_fields_of_a_later_version_stay() -> None:
    extra = {"lora_deck": {"lora_deck": 2, "new": 1, "nodes": {"9": {"0": {"value": "old"}}}}}
    put(extra, "3", {0: {"value": "a"}})
    assert extra["lora_deck"]["new"] == 1
    assert values(extra) == [("9", 0, "old"), ("3", 0, "a")]
