"""Cards into the graph without a drag, and a workflow that hands alone have built, in both ways of drawing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from .canvas_page import INK, NEON, depth, drag, drag_card, names, one_step, rows, settle, slot, start, with_stack
from .deck_page import LINKS, NODES, DeckPage

GRAIN = {"on": True, "name": "film_grain", "te": 0.6, "unet": 0.6}


@pytest.fixture
def deck(deck: DeckPage) -> Iterator[DeckPage]:
    yield deck
    deck.set(AltClick="new")


def test_alt_click_adds_a_node_with_the_card(deck: DeckPage) -> None:
    start(deck, NODES, LINKS)
    before = deck.graph()
    deck.card("film_grain").click(modifiers=["Alt"])
    deck.settled()
    assert rows(deck, "LoRA stack") == [GRAIN] and depth(deck) == 1
    expect(deck.page.locator("lora-deck .ld-foot")).to_contain_text("Added film_grain to the graph")
    settle(deck)
    one_step(deck, before, 0)
    assert depth(deck) == 1


def test_alt_enter_adds_a_selection_as_one_node(deck: DeckPage) -> None:
    start(deck, NODES, LINKS)
    for name in ("film_grain", "ink_wash_v2"):
        deck.card(name).click(modifiers=["Control"])
    deck.card("film_grain").focus()
    deck.page.keyboard.press("Alt+Enter")
    deck.settled()
    settle(deck)
    assert names(deck, "LoRA stack") == ["film_grain", "ink_wash_v2"]
    assert depth(deck) == 1
    expect(deck.page.get_by_role("region", name="Selection")).to_have_count(0)


def test_the_menu_and_the_bar_of_a_card_add_it(deck: DeckPage) -> None:
    start(deck, NODES, LINKS)
    deck.card("ink_wash_v2").click(button="right")
    deck.page.get_by_role("menuitem", name="Add node").click()
    deck.settled()
    settle(deck)
    assert rows(deck, "LoRA stack") == [INK]
    deck.undo()
    deck.hover("film_grain")
    deck.page.get_by_role("toolbar", name="Actions for film_grain").get_by_role("button", name="Add as node").click()
    deck.settled()
    settle(deck)
    assert rows(deck, "LoRA stack") == [GRAIN]


def test_alt_click_may_mean_a_row_or_a_tag_alone(deck: DeckPage) -> None:
    start(deck, *with_stack(NEON, height=200))
    deck.set(AltClick="last")
    deck.card("film_grain").click(modifiers=["Alt"])
    deck.settled()
    settle(deck)
    assert rows(deck) == [NEON, GRAIN] and depth(deck) == 1
    deck.set(AltClick="tag")
    deck.type_in("positive")
    deck.card("ink_wash_v2").click(modifiers=["Alt"])
    deck.settled()
    deck.page.get_by_role("button", name="Insert only").click()
    deck.settled()
    assert deck.text("positive").endswith(" <lora:ink_wash_v2:0.8>")


def test_a_workflow_built_by_hand_alone_is_run(deck: DeckPage) -> None:
    start(deck, {**NODES, "latent": ("EmptyLatentImage", (800, 660), (300, 130), {"width": 64, "height": 64})}, LINKS)
    plain = deck.run()
    # A card onto the canvas, an Apply from the host's search, and wires from slot to slot.
    assert drag_card(deck, "ink_wash_v2", (440, 420)) == ["Add node with 1 LoRA"]
    deck.page.mouse.dblclick(860, 60)
    search = deck.page.locator("input:focus")
    search.wait_for()
    search.fill("Apply LoRA stack")
    expect(deck.page.get_by_role("option").filter(has_text="Apply LoRA stack").first).to_be_visible()
    deck.page.keyboard.press("Enter")
    deck.page.wait_for_function("() => app.graph._nodes.some(n => n.type === 'LoraStackApply')")
    # The node hangs on the pointer until it is put down.
    deck.page.mouse.move(1010, 112)
    settle(deck, 300)
    deck.page.mouse.click(1000, 108)
    settle(deck, 600)
    apply = "Apply LoRA stack"
    for source, out, to, name in [
        ("LoRA stack", 0, apply, "stack"),
        ("checkpoint", 0, apply, "model"),
        ("checkpoint", 1, apply, "clip"),
        (apply, 1, "positive", "clip"),
        (apply, 1, "negative", "clip"),
        (apply, 0, "sampler", "model"),
    ]:
        drag(deck, slot(deck, source, output=out), slot(deck, to, name=name), steps=12)
        assert [source, out, to, name] in deck.links(), (source, out, to, name)
    changed = deck.run()
    assert changed != plain
    expect(deck.page.get_by_role("region", name="Apply report")).to_contain_text("120 of 120 modules")
    deck.page.get_by_role("switch", name="ink_wash_v2 on").click()
    settle(deck)
    assert deck.run() == plain
