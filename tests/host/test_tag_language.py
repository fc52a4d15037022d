"""Block weights and the hires pass, on the real host."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from .graphs import Graph, node, render
from .test_prompt_to_image import INK, chained, report_of, tagged

if TYPE_CHECKING:
    from .harness import HostServer


def with_blocks(text: str, blocks: str, target: str = "") -> Graph:
    graph = tagged(text, blocks=node("BlockWeight", stack=["parser", 1], blocks=blocks, target=target))
    graph["apply"]["inputs"]["stack"] = ["blocks", 0]
    return graph


def digests(host: HostServer, graph: Graph) -> dict[str, str]:
    """Patched weight → digest."""
    kept = {key: value for key, value in graph.items() if key not in ("image", "report")}
    result = host.queue({**kept, "weights": node("ProbeWeights", model=["apply", 0], clip=["apply", 1])})
    assert result.ok, result.message
    found: dict[str, str] = json.loads(result.outputs["weights"]["digests"][0])
    return found


@pytest.mark.parametrize(
    "graph", [tagged("a boat <lora:ink_wash_v2:lbw=NONE>"), with_blocks("a boat <lora:ink_wash_v2>", "NONE")]
)
def test_none_gives_the_untouched_image(host: HostServer, graph: Graph) -> None:
    assert np.array_equal(host.run(graph), host.run(render("a boat ")))


def test_one_block_changes_only_its_own_tensors(host: HostServer) -> None:
    full = digests(host, tagged("a boat <lora:ink_wash_v2>"))
    one = digests(host, with_blocks("a boat <lora:ink_wash_v2>", "IN01,BASE=0"))
    expected = {key: value for key, value in full.items() if ".input_blocks.1." in key}
    assert expected and one == expected


def test_a_tag_and_the_node_mean_the_same(host: HostServer) -> None:
    by_tag = host.run(tagged("a boat <lora:ink_wash_v2:0.8:lbw=IN01=0.5,M00>"))
    assert np.array_equal(host.run(with_blocks("a boat <lora:ink_wash_v2:0.8>", "IN01=0.5,M00", "ink*")), by_tag)
    assert not np.array_equal(by_tag, host.run(tagged("a boat <lora:ink_wash_v2:0.8>")))


def test_what_the_node_replaces_is_reported(host: HostServer) -> None:
    result = host.queue(with_blocks("a boat <lora:ink_wash_v2:lbw=NONE>", "ALL"))
    assert np.array_equal(host.images(result)[0], host.run(chained("a boat ", (INK, 1, 1))))
    assert "lbw='NONE'" in report_of(result)


@pytest.mark.parametrize(
    ("blocks", "said"),
    [("A", "'A' is no block weight preset"), ("1,0,1", "Lengths that do"), ("IN15", "IN00–IN01, M00, OUT00–OUT01")],
)
def test_blocks_that_mean_nothing_here_stop_the_run(host: HostServer, blocks: str, said: str) -> None:
    failed = host.queue(tagged(f"a boat <lora:ink_wash_v2:lbw={blocks}:0.8>"))
    assert failed.status == "error" and failed.errors[0][0] == "apply"
    assert said in failed.message and "ink_wash_v2" in failed.message


def test_a_preset_file_that_changes_is_noticed(host: HostServer) -> None:
    folder = host.base / "user" / "__lora_deck"
    folder.mkdir(parents=True, exist_ok=True)
    presets = folder / "block_presets.txt"
    graph = tagged("a boat <lora:ink_wash_v2:lbw=MINE>")
    try:
        presets.write_text("MINE:0,1,0,0,0,0\n", encoding="utf-8")
        first = host.run(graph)
        assert "apply" in host.queue(graph).cached
        presets.write_text("MINE:0,0,0,0,0,0.25\n", encoding="utf-8")
        again = host.queue(graph)
        assert "apply" in again.executed and not np.array_equal(host.images(again)[0], first)
    finally:
        presets.unlink()


def two_passes(text: str) -> Graph:
    """One prompt, an Apply for each pass; only the second pass's picture counts."""
    graph = tagged(text)
    hires: dict[str, Any] = {**graph["apply"], "inputs": {**graph["apply"]["inputs"], "sampling_pass": "hires"}}
    return {**graph, "hires": hires}


def test_hires_weights_count_in_the_hires_pass_alone(host: HostServer) -> None:
    graph = two_passes("a boat <lora:ink_wash_v2:0.3:hr=0.9>")
    assert np.array_equal(host.run(graph), host.run(chained("a boat ", (INK, 0.3, 0.3))))
    for name in ("positive", "negative"):
        graph[name]["inputs"]["clip"] = ["hires", 1]
    graph["sampler"]["inputs"]["model"] = ["hires", 0]
    assert np.array_equal(host.run(graph), host.run(chained("a boat ", (INK, 0.9, 0.9))))
    fallback = two_passes("a boat <lora:ink_wash_v2:0.3:hrunet=0.9>")
    for name in ("positive", "negative"):
        fallback[name]["inputs"]["clip"] = ["hires", 1]
    fallback["sampler"]["inputs"]["model"] = ["hires", 0]
    assert np.array_equal(host.run(fallback), host.run(chained("a boat ", (INK, 0.9, 0.3))))


def test_repeats_and_foreign_keys(host: HostServer) -> None:
    graph = tagged("<lora:ink_wash_v2:0.5>a boat<lora:ink_wash_v2:0.25:in=0.5>")
    result = host.queue(graph)
    summed = host.run(chained("a boat", (INK, 0.5, 0.5), (INK, 0.25, 0.25)))
    assert np.array_equal(host.images(result)[0], summed)
    assert '"in" is not applied yet' in report_of(result)
    graph["parser"]["inputs"]["repeats"] = "a1111"
    assert np.array_equal(host.run(graph), host.run(chained("a boat", (INK, 0.5, 0.5))))
