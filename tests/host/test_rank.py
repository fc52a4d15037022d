"""Rank limits, the saved file and the look inside, on the real host over HTTP and in its front end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from .deck_page import PARSED_NODES, DeckPage
from .graphs import Graph, Link, node, render
from .test_prompt_to_image import tagged

if TYPE_CHECKING:
    from .harness import HostServer, Result

TAGS = "a boat <lora:ink_wash_v2:0.5:0.75><lora:mira_lighthouse:-0.25>"


def limited(text: str, **limit: Any) -> Graph:
    """As `tagged`, with a DynRank before Apply."""
    graph = tagged(text)
    given = {"method": "svd", "rank": 16, "energy": 0.9, "target": "", **limit}
    graph["limit"] = node("DynRank", stack=["parser", 1], **given)
    graph["apply"]["inputs"]["stack"] = ["limit", 0]
    return graph


def report_of(result: Result) -> str:
    return str(result.outputs["report"]["text"][0])


def test_a_rank_limit_changes_the_picture(host: HostServer) -> None:
    whole = host.run({k: v for k, v in tagged(TAGS).items() if k != "report"})
    pictures = {}
    for method, values in {"truncate": {"rank": 1}, "svd": {"rank": 1}, "energy": {"energy": 0.3}}.items():
        result = host.queue(limited(TAGS, method=method, **values))
        (pictures[method],) = host.images(result, "image")
        assert not np.array_equal(pictures[method], whole)
        assert "of the energy stays" in report_of(result) and " → " in report_of(result)
    assert not np.array_equal(pictures["truncate"], pictures["svd"])
    untouched = host.queue(limited(TAGS, rank=4096))
    assert np.array_equal(host.images(untouched, "image")[0], whole)
    assert "no less than the rank" in report_of(untouched)
    only = host.queue(limited(TAGS, rank=1, target="ink*"))
    assert not any("svd" in line for line in report_of(only).splitlines() if line.startswith("characters/mira"))


@pytest.fixture
def saved_names(host: HostServer) -> Iterator[list[str]]:
    names: list[str] = []
    yield names
    for name in names:
        (host.loras / name).unlink(missing_ok=True)


@pytest.mark.parametrize("rank", [0, 2])
def test_the_saved_file_gives_the_stacks_picture(host: HostServer, saved_names: list[str], rank: int) -> None:
    graph = limited(TAGS, rank=1)
    name = f"mixes/saved_{rank}"
    saved_names.append(f"{name}.safetensors")
    stack: Link = ["limit", 0]
    graph["save"] = node(
        "LoraStackSave", stack=stack, filename=name, rank=rank, model=["checkpoint", 0], clip=["checkpoint", 1]
    )
    graph["saved"] = node("PreviewAny", source=["save", 0])
    result = host.queue(graph)
    (wanted,) = host.images(result, "image")
    assert f"{name}.safetensors" in result.outputs["saved"]["text"][0]
    assert (host.loras / f"{name}.safetensors").is_file()
    again = host.queue(tagged(f"a boat <lora:{name.rpartition('/')[2]}>"))
    (got,) = host.images(again, "image")
    # Each LoRA is of rank 1, so that rank 2 holds both.
    assert np.abs(got.astype(int) - wanted.astype(int)).max() <= 1
    assert not np.array_equal(wanted, host.run(render("a boat ")))


def test_saving_twice_writes_over_nothing(host: HostServer, saved_names: list[str]) -> None:
    saved_names += ["twice.safetensors", "twice_2.safetensors"]
    for tags, number in ((TAGS, 0), ("<lora:ink_wash_v2>", 1)):
        graph = {
            "checkpoint": render()["checkpoint"],
            "parser": node("PromptLoraParser", text=tags, weight_order="a1111", repeats="sum"),
            "save": node("LoraStackSave", stack=["parser", 1], filename="twice", rank=0, model=["checkpoint", 0]),
            "saved": node("PreviewAny", source=["save", 0]),
        }
        assert saved_names[number] in host.queue(graph).outputs["saved"]["text"][0]
    bad = host.queue({**graph, "save": node("LoraStackSave", stack=["parser", 1], filename="../out", rank=0)})
    assert not bad.ok and "../out" in bad.message


def inspected(tags: str = TAGS) -> Graph:
    return {
        "checkpoint": render()["checkpoint"],
        "parser": node("PromptLoraParser", text=tags, weight_order="a1111", repeats="sum"),
        "look": node("LoraInspect", stack=["parser", 1], model=["checkpoint", 0], clip=["checkpoint", 1]),
        "image": node("PreviewImage", images=["look", 0]),
        "report": node("PreviewAny", source=["look", 1]),
    }


def test_a_look_inside(host: HostServer) -> None:
    result = host.queue(inspected())
    (picture,) = host.images(result, "image")
    assert picture.std() > 10 and picture.shape[1] >= 640
    report = report_of(result)
    assert "ink_wash_v2" in report and "effective" in report and ": cosine " in report
    (numbers,) = result.outputs["look"]["lora_deck_strength"]
    assert numbers["ids"][0] == "BASE" and len(numbers["loras"]) == 2
    strengths = [block["strength"] for block in numbers["loras"][0]["blocks"].values()]
    assert strengths and all(0 < strength < 10 for strength in strengths)


LOOK_NODES = {
    "checkpoint": PARSED_NODES["checkpoint"],
    "parser": ("PromptLoraParser", (420, 300), (300, 160), {"text": TAGS}),
    "look": ("LoraInspect", (800, 80), (480, 100), {}),
    "preview": ("PreviewImage", (1320, 80), (400, 400), {}),
}
LOOK_LINKS = [
    ("parser", 1, "look", "stack"), ("checkpoint", 0, "look", "model"), ("checkpoint", 1, "look", "clip"),
    ("look", 0, "preview", "images"),
]  # fmt: skip


@pytest.mark.parametrize(("vue", "palette"), [(False, "dark"), (True, "dark"), (False, "light"), (True, "light")])
def test_the_drawing_on_the_node(browser: Browser, host: HostServer, vue: bool, palette: str) -> None:
    page = DeckPage(browser, host, **{"Comfy.VueNodes.Enabled": vue, "Comfy.ColorPalette": palette})
    try:
        page.build(LOOK_NODES, LOOK_LINKS)
        page.page.evaluate("app.queuePrompt(0, 1)")
        drawing = page.page.locator(".ld-look svg")
        expect(drawing).to_be_visible(timeout=60_000)
        bars = drawing.locator(".ld-look__bar")
        assert bars.count() >= 2 * 5
        tips = drawing.locator("title").all_text_contents()
        assert any("effective rank" in tip for tip in tips) and any("cosine" in tip for tip in tips)
        page.shot(f"inspect_{'nodes2' if vue else 'classic'}_{palette}")
        # It is no part of the workflow.
        (values,) = page.page.evaluate(
            "app.graph.serialize().nodes.filter(n => n.type === 'LoraInspect').map(n => n.widgets_values ?? [])"
        )
        assert [value for value in values if value] == []
    finally:
        page.close()
