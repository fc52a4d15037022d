"""`BlockWeight`'s bars in the real front end: mouse, keys, text and presets, down to the patched tensor."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.sync_api import expect

from .canvas_page import INK, centre, depth, drag, forget_steps, one_step, prompt, rows_value, settle, value, with_stack
from .deck_page import DeckPage
from .harness import HostServer


@pytest.fixture
def deck(deck: DeckPage) -> DeckPage:
    nodes, links = with_stack(INK)
    nodes["rows"] = ("LoraStackRows", (40, 500), (340, 230), {"rows": rows_value(INK)})
    nodes["blocks"] = ("BlockWeight", (420, 290), (360, 330), {"blocks": "ALL"})
    links = [link for link in links if link[0] != "rows"]
    deck.build(nodes, [*links, ("rows", 0, "blocks", "stack"), ("blocks", 0, "apply", "stack")])
    expect(deck.page.get_by_role("slider", name="IN00", exact=True)).to_be_visible()
    forget_steps(deck)
    return deck


def bar(deck: DeckPage, name: str) -> tuple[float, float]:
    return centre(deck.page.get_by_role("slider", name=name, exact=True))


def text(deck: DeckPage) -> str:
    return str(value(deck, "blocks", "blocks"))


def digests(deck: DeckPage, host: HostServer) -> dict[str, str]:
    """Every patched weight of what Run would send."""
    graph = {
        key: node
        for key, node in prompt(deck).items()
        if node["class_type"] in {"CheckpointLoaderSimple", "LoraStackRows", "BlockWeight", "LoraStackApply"}
    }
    (apply,) = [key for key, node in graph.items() if node["class_type"] == "LoraStackApply"]
    graph["probe"] = {"class_type": "ProbeWeights", "inputs": {"model": [apply, 0], "clip": [apply, 1]}}
    result = host.queue(graph)
    assert result.ok, result.message
    return dict(json.loads(result.outputs["probe"]["digests"][0]))


def test_a_dragged_bar_changes_its_block_and_no_other(deck: DeckPage, tidy_host: HostServer) -> None:
    plain = digests(deck, tidy_host)
    x, y = bar(deck, "IN01")
    drag(deck, (x, y - 30), (x, y + 10))
    found = re.fullmatch(r"IN00=1,IN01=(0\.\d+),M00=1,OUT00-OUT01=1", text(deck))
    assert found, text(deck)
    changed = digests(deck, tidy_host)
    different = {key for key in plain if plain[key] != changed.get(key)}
    assert different and all("input_blocks.1." in key for key in different), different


def test_a_drag_is_one_step(deck: DeckPage) -> None:
    before = deck.graph()
    x, y = bar(deck, "M00")
    drag(deck, (x, y - 30), (x, y + 10))
    one_step(deck, before, 0)


def test_painting_passes_every_bar(deck: DeckPage) -> None:
    (x, y), (end, _) = bar(deck, "IN00"), bar(deck, "OUT01")
    drag(deck, (x, y), (end, y), steps=3)
    values = {part.partition("=")[2] for part in text(deck).split(",")}
    assert len(values) == 1 and values != {"1"}, text(deck)


def test_escape_takes_a_drag_back(deck: DeckPage) -> None:
    before = deck.graph()
    x, y = bar(deck, "M00")
    deck.page.mouse.move(x, y - 30)
    deck.page.mouse.down()
    deck.page.mouse.move(x, y + 10, steps=4)
    slider = deck.page.get_by_role("slider", name="M00", exact=True)
    expect(slider).not_to_have_attribute("aria-valuenow", "1")
    deck.page.keyboard.press("Escape")
    deck.page.mouse.move(x, y, steps=3)
    deck.page.mouse.up()
    settle(deck)
    expect(slider).to_have_attribute("aria-valuenow", "1")
    assert deck.graph() == before and depth(deck) == 0


def test_keys_on_bars(deck: DeckPage) -> None:
    deck.page.get_by_role("slider", name="IN00", exact=True).focus()
    deck.page.keyboard.press("Home")
    settle(deck, 500)
    assert text(deck) in ("IN01=1,M00=1,OUT00-OUT01=1", "ALL=1,BASE=0")
    steps = depth(deck)
    deck.page.keyboard.press("ArrowUp")
    settle(deck, 500)
    assert depth(deck) == steps + 1


def test_a_fault_in_the_text_leaves_the_bars(deck: DeckPage) -> None:
    field = deck.page.get_by_role("textbox", name="Block weights as text")
    field.fill("IN00=0.5,OUT00=0.25")
    field.press("Enter")
    out = deck.page.get_by_role("slider", name="OUT00", exact=True)
    expect(out).to_have_attribute("aria-valuenow", "0.25")
    field.fill("IN00-OUT99=0.8")
    field.press("Enter")
    expect(deck.page.locator(".ld-wid__err")).to_contain_text("no block")
    expect(out).to_have_attribute("aria-valuenow", "0.25")
    assert text(deck) == "IN00-OUT99=0.8"


def test_what_is_being_typed_stays_while_the_model_is_looked_up(deck: DeckPage) -> None:
    field = deck.page.get_by_role("textbox", name="Block weights as text")
    field.fill("OUT00=0.25")
    # Whatever changes in the graph, the bars look what is connected now.
    deck.page.evaluate("() => window.comfyAPI.api.api.dispatchCustomEvent('graphChanged', {})")
    settle(deck, 500)
    expect(field).to_have_value("OUT00=0.25")
    field.press("Enter")
    expect(deck.page.get_by_role("slider", name="OUT00", exact=True)).to_have_attribute("aria-valuenow", "0.25")
    assert text(deck) == "OUT00=0.25"


def test_presets_are_chosen_saved_and_deleted(deck: DeckPage, tidy_host: HostServer) -> None:
    choice = deck.page.get_by_role("combobox", name="Preset")
    choice.select_option("NONE")
    settle(deck, 500)
    assert text(deck) == "NONE"
    expect(deck.page.get_by_role("slider", name="M00", exact=True)).to_have_attribute("aria-valuenow", "0")
    field = deck.page.get_by_role("textbox", name="Block weights as text")
    field.fill("M00=0.5")
    field.press("Enter")
    settle(deck, 500)
    menu = deck.page.get_by_role("group", name=re.compile("^Block weights")).get_by_role("button", name="More")
    menu.click()
    deck.page.get_by_role("menuitem", name="Save as preset…").click()
    deck.page.get_by_role("textbox", name="Name", exact=True).fill("MINE")
    deck.page.keyboard.press("Enter")
    expect(choice.locator("option[value=MINE]")).to_have_count(1)
    asked: Any = tidy_host.post("/lora-deck/blocks/names", {"ids": ["IN00", "M00", "OUT00"]})
    assert asked["own"] == ["MINE"]
    menu.click()
    deck.page.get_by_role("menuitem", name="Delete preset MINE").click()
    expect(choice.locator("option[value=MINE]")).to_have_count(0)


def test_without_a_model_the_text_is_kept(deck: DeckPage) -> None:
    deck.build({"blocks": ("BlockWeight", (420, 290), (360, 330), {"blocks": "IN04-OUT05=0.8"})}, [])
    choice = deck.page.get_by_role("combobox", name="Blocks of another model")
    choice.select_option("SD1")
    expect(deck.page.get_by_role("slider", name="IN04", exact=True)).to_have_attribute("aria-valuenow", "0.8")
    assert text(deck) == "IN04-OUT05=0.8"
