"""Rows, bars and names inside a subgraph, and shown on its node, in both ways of drawing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import expect

from .canvas_page import GRAIN, INK, centre, drag, forget_steps, prompt, rows_value, settle, with_stack, workflow
from .deck_page import DeckPage
from .test_sidebar_subgraph import FOLD

PROMOTE = """async () => {
    const node = app.graph._nodes.find(n => n.subgraph), { subgraph } = node
    for (const [title, name] of [["rows", "rows"], ["blocks", "blocks"], ["add", "lora_name"]]) {
        const inner = subgraph._nodes.find(n => n.title === title)
        const slot = inner.inputs.find(i => i.name === name)
        subgraph.addInput(name, slot.type).connect(slot, inner)
    }
    node.pos = [60, 80]
    node.setSize([400, 700])
}"""
LOAD = """async saved => {
    await app.loadGraphData(JSON.parse(saved), false, false, app.extensionManager.workflow.activeWorkflow)
    app.canvas.ds.scale = 1
    app.canvas.ds.offset = [0, 0]
    app.canvas.setDirty(true, true)
}"""


@pytest.fixture
def deck(deck: DeckPage) -> DeckPage:
    prepare(deck)
    return deck


def prepare(deck: DeckPage) -> None:
    """A stack, bars and an Add LoRA inside a subgraph, whose node shows what they are set to."""
    nodes, links = with_stack(INK, GRAIN)
    nodes["blocks"] = ("BlockWeight", (420, 290), (360, 330), {"blocks": "ALL"})
    nodes["add"] = ("LoraStackAdd", (40, 200), (300, 140), {"lora_name": "neon_nights"})
    links = [link for link in links if link[0] != "rows"]
    links += [("add", 0, "rows", "stack"), ("rows", 0, "blocks", "stack"), ("blocks", 0, "apply", "stack")]
    deck.build(nodes, links)
    deck.page.evaluate(FOLD, ["rows", "blocks", "add"])
    deck.page.evaluate(PROMOTE)
    reload(deck)


def reload(deck: DeckPage) -> None:
    deck.page.evaluate(LOAD, json.dumps(workflow(deck)))
    expect(deck.page.get_by_role("slider", name="IN01", exact=True)).to_be_visible()
    forget_steps(deck)


def sent(deck: DeckPage) -> dict[str, Any]:
    """What Run would send of the nodes inside."""
    inputs = {node["class_type"]: node["inputs"] for node in prompt(deck).values()}
    return {
        "rows": inputs["LoraStackRows"]["rows"],
        "blocks": inputs["BlockWeight"]["blocks"],
        "name": inputs["LoraStackAdd"]["lora_name"],
    }


def test_they_are_seen_and_set_on_the_subgraphs_node(deck: DeckPage) -> None:
    first = {"rows": rows_value(INK, GRAIN), "blocks": "ALL", "name": "neon_nights"}
    assert sent(deck) == first
    picture = deck.run()
    settle(deck)
    deck.page.get_by_role("switch", name="ink_wash_v2 on").click()
    settle(deck)
    second = {**first, "rows": rows_value({**INK, "on": False}, GRAIN)}
    assert sent(deck) == second
    assert deck.run() != picture
    settle(deck)
    deck.undo()
    settle(deck, 900)
    assert sent(deck) == first
    deck.redo()
    settle(deck, 900)
    assert sent(deck) == second
    expect(deck.page.get_by_role("switch", name="ink_wash_v2 on")).to_have_attribute("aria-checked", "false")


def test_bars_and_names_are_set_there_and_saved(deck: DeckPage) -> None:
    x, y = centre(deck.page.get_by_role("slider", name="IN01", exact=True))
    drag(deck, (x, y - 20), (x, y + 20))
    blocks = sent(deck)["blocks"]
    assert blocks.startswith("IN00=1,IN01=0.")
    deck.page.get_by_role("button", name="LoRA: neon_nights").click()
    deck.page.get_by_role("combobox", name="Search LoRAs to add").fill("mira")
    expect(deck.page.get_by_role("dialog").get_by_role("option", name="mira_lighthouse")).to_be_visible()
    deck.page.keyboard.press("Enter")
    expect(deck.page.get_by_role("button", name="LoRA: mira_lighthouse")).to_be_visible()
    settle(deck)
    want = {"rows": rows_value(INK, GRAIN), "blocks": blocks, "name": "mira_lighthouse"}
    assert sent(deck) == want
    reload(deck)
    assert sent(deck) == want
    expect(deck.page.get_by_role("button", name="LoRA: mira_lighthouse")).to_be_visible()


def test_inside_a_subgraph_they_work_as_outside(deck: DeckPage) -> None:
    nodes, links = with_stack(INK, GRAIN)
    deck.build(nodes, links)
    deck.page.evaluate(FOLD, ["rows"])
    deck.page.evaluate("() => app.canvas.setGraph(app.graph._nodes.find(n => n.subgraph).subgraph)")
    settle(deck, 600)
    deck.page.evaluate("""() => { app.canvas.ds.scale = 1
        const [node] = app.canvas.graph._nodes; app.canvas.ds.offset = [200 - node.pos[0], 200 - node.pos[1]]
        app.canvas.setDirty(true, true) }""")
    forget_steps(deck)
    deck.page.get_by_role("switch", name="ink_wash_v2 on").click()
    settle(deck)
    (rows,) = [node["inputs"]["rows"] for node in prompt(deck).values() if node["class_type"] == "LoraStackRows"]
    assert rows == rows_value({**INK, "on": False}, GRAIN)
    deck.undo()
    settle(deck, 900)
    (rows,) = [node["inputs"]["rows"] for node in prompt(deck).values() if node["class_type"] == "LoraStackRows"]
    assert rows == rows_value(INK, GRAIN)
    deck.page.evaluate("() => app.canvas.setGraph(app.rootGraph ?? app.graph)")
