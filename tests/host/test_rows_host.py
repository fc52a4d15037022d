"""`LoraStackRows` on a real host: what its value may be, and what it applies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .graphs import CLIP, MODEL, node, render
from .harness import HostServer

INK, GRAIN = "ink_wash_v2", "film_grain"
ROWS = [{"name": INK, "te": 0.8, "unet": 0.5}, {"name": GRAIN, "on": False}]


def weights(host: HostServer, source: dict[str, Any]) -> dict[str, str]:
    """Digest of each patched weight with the stack that `source` gives."""
    graph = render()
    graph = {
        "checkpoint": graph["checkpoint"],
        "stack": source,
        "apply": node("LoraStackApply", stack=["stack", source["_slot"]], sampling_pass="first", missing="error",
                      model=MODEL, clip=CLIP),
        "probe": node("ProbeWeights", model=["apply", 0], clip=["apply", 1]),
    }  # fmt: skip
    result = host.queue(graph)
    assert result.ok, result.message
    return dict(json.loads(result.outputs["probe"]["digests"][0]))


def rows(value: Any, **more: Any) -> dict[str, Any]:
    return {**node("LoraStackRows", rows=value, **more), "_slot": 0}


def parser(text: str) -> dict[str, Any]:
    return {**node("PromptLoraParser", text=text, weight_order="a1111", repeats="sum"), "_slot": 1}


def test_every_form_applies_the_same_as_the_tag(host: HostServer) -> None:
    wanted = weights(host, parser(f"<lora:{INK}:0.8:0.5>"))
    assert wanted
    value = {"lora_deck": 1, "on": True, "rows": ROWS}
    for form in (value, {"__value__": ROWS}, json.dumps(value), f"<lora:{INK}:0.8:0.5>"):
        assert weights(host, rows(form)) == wanted, form


def test_a_switch_takes_out_and_the_whole_stack_too(host: HostServer) -> None:
    both = weights(host, parser(f"<lora:{INK}:0.8:0.5><lora:{GRAIN}:1>"))
    on = [ROWS[0], {"name": GRAIN}]
    assert weights(host, rows({"rows": on})) == both != weights(host, rows({"rows": ROWS}))
    assert weights(host, rows({"on": False, "rows": on})) == {}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"rows": [{"te": 1}]}, "Row 1"),
        ({"rows": [{"name": "nowhere_to_be"}]}, "Row 1: LoRA 'nowhere_to_be' was not found"),
        (5, "rows"),
    ],
)
def test_faults_are_told_before_the_run(host: HostServer, value: Any, said: str) -> None:
    graph = {
        "checkpoint": render()["checkpoint"],
        "stack": node("LoraStackRows", rows=value),
        "apply": node("LoraStackApply", stack=["stack", 0], sampling_pass="first", missing="error", model=MODEL,
                      clip=CLIP),
        "probe": node("ProbeWeights", model=["apply", 0], clip=["apply", 1]),
    }  # fmt: skip
    result = host.queue(graph)
    assert result.status == "refused" and said in result.message


def test_a_row_that_is_off_may_be_missing(host: HostServer) -> None:
    weights(host, rows({"rows": [{"name": "nowhere_to_be", "on": False}, {"name": INK}]}))


def test_the_front_end_is_told_of_a_widget(host: HostServer) -> None:
    info = host.object_info("LoraStackRows")
    assert info["input"]["required"]["rows"][0] == "LORA_DECK_ROWS"
    assert list(info["input"]["required"]) + list(info["input"]["optional"]) == ["rows", "stack"]


def test_no_list_of_names_is_sent_to_every_page(host: HostServer) -> None:
    kind, options = host.object_info("LoraStackAdd")["input"]["required"]["lora_name"]
    assert kind == "COMBO" and options["options"] == [] and options["widgetType"] == "LORA_DECK_NAME"
    add = node("LoraStackAdd", lora_name=" ", te_weight=1, unet_weight=1)
    graph = {
        "checkpoint": render()["checkpoint"],
        "stack": add,
        "apply": node(
            "LoraStackApply", stack=["stack", 0], sampling_pass="first", missing="warn", model=MODEL, clip=CLIP
        ),
        "probe": node("ProbeWeights", model=["apply", 0], clip=["apply", 1]),
    }
    result = host.queue(graph)
    assert result.status == "refused" and "Choose a LoRA" in result.message
