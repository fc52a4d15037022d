"""Schedules and conditionings with LoRAs of their own, on the real host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .graphs import Graph, node
from .test_prompt_to_image import INK, MIRA, chained, report_of, tagged

if TYPE_CHECKING:
    from .harness import HostServer


def near(one: Any, two: Any) -> bool:
    """Whether two pictures differ by roundings only."""
    return int(np.abs(one.astype(int) - two.astype(int)).max()) <= 2


def scheduled(weights: str, target: str = "") -> Graph:
    graph = tagged(
        "a boat <lora:ink_wash_v2:1:0.8>",
        schedule=node("LoraSchedule", stack=["parser", 1], weights=weights, target=target),
    )
    graph["apply"]["inputs"]["stack"] = ["schedule", 0]
    return graph


def test_a_schedule_node(host: HostServer) -> None:
    off = host.run(chained("a boat ", (INK, 0, 1)))
    on = host.run(chained("a boat ", (INK, 0.8, 1)))
    assert not near(off, on)
    assert np.array_equal(host.run(scheduled("0@0,0@1")), off)
    result = host.queue(scheduled("0.8@0,0.8@1"))
    assert near(host.images(result)[0], on) and "by this pass's own steps" in report_of(result)
    first, last = host.run(scheduled("stop=0.5")), host.run(scheduled("start=0.5"))
    assert not near(first, last) and not near(last, on)
    assert np.array_equal(host.run(tagged("a boat <lora:ink_wash_v2:1:0.8:stop=0.5>")), first)
    refused = host.queue(scheduled("0@0,up@1"))
    assert refused.status == "refused" and "'0@0,up@1' is no schedule" in refused.message


def test_methods_agree(host: HostServer) -> None:
    pictures = []
    for method in ("auto", "patch", "live"):
        graph = tagged("a boat <lora:ink_wash_v2><lora:mira_lighthouse:0.5>")
        graph["apply"]["inputs"]["method"] = method
        pictures.append(host.run(graph))
    assert np.array_equal(pictures[0], pictures[1]) and near(pictures[1], pictures[2])


def encoded(text: str, scope: str) -> Graph:
    """The prompt by *Prompt with LoRAs*, whose stack goes to the model's Apply."""
    graph = tagged("")
    del graph["parser"]
    graph["positive"] = node(
        "LoraTextEncode", clip=["checkpoint", 1], text=text, scope=scope, weight_order="a1111", repeats="sum"
    )
    graph["apply"]["inputs"]["stack"] = ["positive", 1]
    graph["negative"]["inputs"]["clip"] = ["checkpoint", 1]
    return graph


def test_prompt_with_loras(host: HostServer) -> None:
    whole = chained("a boat ", (INK, 0.6, 0.6), (MIRA, 0.5, 0.5))
    whole["negative"]["inputs"]["clip"] = ["checkpoint", 1]
    wanted = host.run(whole)
    text = "a boat <lora:ink_wash_v2:0.6><lora:mira_lighthouse:0.5>"
    assert near(host.run(encoded(text, "prompt")), wanted)
    own = host.run(encoded(text, "sub-prompt"))
    assert not near(own, wanted), "the negative is without the LoRAs there"
    ink, mira = "<lora:ink_wash_v2:0.6>", "<lora:mira_lighthouse:0.5>"
    parts = [host.run(encoded(f"a boat {a} AND a lake {b} :0.4", "sub-prompt")) for a, b in ((ink, mira), (mira, ink))]
    assert not near(*parts)


def test_break_joins_chunks(host: HostServer) -> None:
    joined = host.run(encoded("a boat BREAK a lake", "prompt"))
    concat = tagged("")
    concat["positive"] = node("CLIPTextEncode", text="a boat", clip=["checkpoint", 1])
    concat["second"] = node("CLIPTextEncode", text="a lake", clip=["checkpoint", 1])
    concat["both"] = node("ConditioningConcat", conditioning_to=["positive", 0], conditioning_from=["second", 0])
    concat["sampler"]["inputs"]["positive"] = ["both", 0]
    assert np.array_equal(host.run(concat), joined)


def test_a_stack_on_a_masked_conditioning(host: HostServer) -> None:
    graph = tagged("a boat ", size=128)
    graph["add"] = node("LoraStackAdd", lora_name=INK, te_weight=1, unet_weight=1)
    graph["own"] = node("LoraStackOnConditioning", conditioning=["positive", 0], stack=["add", 0], combine="add")
    graph["area"] = node("ConditioningSetArea", conditioning=["own", 0], width=128, height=64, x=0, y=0, strength=1.0)
    graph["rest"] = node("ConditioningCombine", conditioning_1=["area", 0], conditioning_2=["positive", 0])
    graph["sampler"]["inputs"]["positive"] = ["rest", 0]
    with_own = host.run(graph)
    graph["area"]["inputs"]["conditioning"] = ["positive", 0]
    without = host.run(graph)
    assert not near(with_own, without)
    graph["area"]["inputs"]["conditioning"] = ["own", 0]
    graph["sampler"]["inputs"]["model"] = ["checkpoint", 0]
    # The host runs what is right of a prompt: with the report alone it would not be refused.
    del graph["report"]
    refused = host.queue(graph)
    assert refused.status == "refused" and "passes no Apply LoRA stack" in refused.message
    assert "KSampler" in refused.message and refused.errors[0][0] == "own"


def test_an_fp8_model_with_three_loras(host: HostServer) -> None:
    """As the example has it: the forward pass by itself, and nearer to the model in fp16 than patched weights are."""
    tags = "a boat <lora:ink_wash_v2:0.8><lora:mira_lighthouse:0.7><lora:film_grain:0.4>"

    def picture(method: str, weights: str = "fp8") -> tuple[Any, str]:
        graph = tagged(tags)
        if weights == "fp8":
            graph["unet"] = node("UNETLoader", unet_name="lora_deck_demo_fp8.safetensors", weight_dtype="default")
            graph["apply"]["inputs"]["model"] = ["unet", 0]
        graph["apply"]["inputs"]["method"] = method
        result = host.queue(graph)
        return host.images(result)[0].astype(int), report_of(result)

    auto, report = picture("auto")
    assert report.count("in the forward pass, because the model's weights are fp8 e4m3") == 3
    live, patched, truth = picture("live")[0], picture("patch")[0], picture("patch", "fp16")[0]
    assert near(auto, live) and not near(auto, patched)
    assert np.abs(auto - truth).mean() < np.abs(patched - truth).mean()
