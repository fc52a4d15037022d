"""Conditionings with LoRAs whose sampler's model passes no Apply, found in the prompt's JSON."""

from __future__ import annotations

from typing import Any

import pytest
from lora_deck.sharing.ignored import ignored


def graph(**changes: Any) -> dict[str, Any]:
    nodes: dict[str, Any] = {
        "ckpt": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "m"}},
        "apply": {"class_type": "LoraStackApply", "inputs": {"model": ["ckpt", 0], "stack": ["text", 1]}},
        "shift": {"class_type": "ModelSamplingSD3", "inputs": {"model": ["apply", 0]}},
        "text": {
            "class_type": "LoraTextEncode",
            "inputs": {"clip": ["ckpt", 1], "text": "a <lora:x:1> AND b", "scope": "sub-prompt"},
        },
        "area": {"class_type": "ConditioningSetArea", "inputs": {"conditioning": ["text", 0]}},
        "plain": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["ckpt", 1], "text": "c"}},
        "guider": {
            "class_type": "CFGGuider",
            "inputs": {"model": ["shift", 0], "positive": ["area", 0], "negative": ["plain", 0]},
        },
        "sampler": {"class_type": "SamplerCustomAdvanced", "inputs": {"guider": ["guider", 0]}},
    }
    for name, value in changes.items():
        node, _, field = name.partition("__")
        nodes[node]["inputs"][field] = value
    return nodes


def test_an_apply_on_the_models_way_is_enough() -> None:
    assert ignored(graph()) == {}


def test_the_node_and_its_sampler_are_named() -> None:
    found = ignored(graph(guider__model=["ckpt", 0]))
    assert list(found) == ["text"] and "node guider (CFGGuider)" in found["text"]
    own = graph(guider__model=["ckpt", 0], text__text="plain")
    own["area"]["class_type"] = "LoraStackOnConditioning"
    assert list(ignored(own)) == ["area"]


@pytest.mark.parametrize(
    "changes",
    [{"text__scope": "prompt"}, {"text__text": "no tags AND none"}, {"guider__positive": ["plain", 0]}],
)
def test_what_carries_nothing_is_let_through(changes: dict[str, Any]) -> None:
    assert ignored(graph(guider__model=["ckpt", 0], **changes)) == {}


def test_malformed_prompts_are_passed_over() -> None:
    assert ignored({"1": None, "2": {"inputs": 3}, "3": {"class_type": "LoraTextEncode", "inputs": {"text": 4}}}) == {}
