"""The stack as a value: JSON, pickle, other packs' lists."""

from __future__ import annotations

import json
import math
import pickle

import pytest
from lora_deck.stack.entry import LoraEntry
from lora_deck.stack.errors import StackFormatError
from lora_deck.stack.foreign import as_stack
from lora_deck.stack.rank_limit import RankLimit
from lora_deck.stack.stack import LoraStack

FULL = LoraStack(
    (
        LoraEntry("a/b", 0.5, 1, 8, "MIDD", "x", 2.0, 0.1, 0.2, (("start", "5"),), (("later", '{"k": [1]}'),),
                  RankLimit("svd", rank=8)),
        LoraEntry("d", rank_limit=RankLimit("energy", energy=0.9)),
        LoraEntry("e", rank_limit=RankLimit("truncate", rank=-2)),
        LoraEntry("c"),
    ),
    ("note",),
    (("lock", "[1, 2]"),),
)


def test_json_round_trip_keeps_unknown_fields() -> None:
    text = json.dumps(FULL.to_json())
    assert LoraStack.from_json(json.loads(text)) == FULL
    assert json.loads(text)["lora_deck"] == 1 and json.loads(text)["lock"] == [1, 2]
    assert json.loads(text)["entries"][3] == {"name": "c", "te": 1.0, "unet": 1.0}


def test_pickle_round_trip() -> None:
    assert pickle.loads(pickle.dumps(FULL)) == FULL


def test_immutable_and_hashable() -> None:
    with pytest.raises(AttributeError):
        FULL.entries[0].te = 3  # type: ignore[misc]
    assert len({FULL, LoraStack.from_json(FULL.to_json())}) == 1


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"lora_deck": 2, "entries": []}, "Update"),
        ({"entries": []}, "lora_deck"),
        ([], "object"),
        ({"lora_deck": 1, "entries": {}}, "list"),
        ({"lora_deck": 1, "entries": [{"te": 1}]}, "Entry 1"),
        ({"lora_deck": 1, "entries": [{"name": "a", "te": "1"}]}, '"te"'),
        ({"lora_deck": 1, "entries": [{"name": "a", "te": float("nan")}]}, '"te"'),
        ({"lora_deck": True}, "version"),
        ({"lora_deck": 1, "entries": [{"name": "a", "rank_limit": {"method": "qr", "rank": 2}}]}, "truncate, svd"),
        ({"lora_deck": 1, "entries": [{"name": "a", "rank_limit": {"method": "svd", "rank": 0}}]}, "from 1"),
        ({"lora_deck": 1, "entries": [{"name": "a", "rank_limit": {"method": "svd", "rank": math.inf}}]}, "number"),
        ({"lora_deck": 1, "entries": [{"name": "a", "rank_limit": {"method": "energy", "energy": 1.5}}]}, "at most 1"),
    ],
)
def test_bad_json_says_what_is_wrong(data: object, said: str) -> None:
    with pytest.raises(StackFormatError, match=said):
        LoraStack.from_json(data)


def test_a_minor_version_is_read() -> None:
    assert LoraStack.from_json({"lora_deck": 1.2, "entries": [{"name": "a"}]}).entries == (LoraEntry("a"),)


def test_plain_lists_are_model_first() -> None:
    stack = as_stack([("styles\\ink.safetensors", 0.8, 0.3), ["None", 1, 1], ("x", 1, 0)])
    assert stack.entries == (
        LoraEntry("styles/ink.safetensors", te=0.3, unet=0.8),
        LoraEntry("x", te=0, unet=1),
    )
    assert as_stack(None) == as_stack([]) == LoraStack()
    assert as_stack(FULL) is FULL and as_stack(FULL.to_json()) == FULL


@pytest.mark.parametrize("value", [5, "a", [("a",)], [(1, 1, 1)], [("a", "1", 1)], [("a", float("nan"), 1)]])
def test_other_values_are_refused_with_a_reason(value: object) -> None:
    with pytest.raises(StackFormatError):
        as_stack(value)
