"""What hands do on the canvas, in the later front end that `next_frontend.txt` pins: the main gestures once."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from .canvas_page import (
    INK,
    centre,
    drag,
    drag_card,
    names,
    one_step,
    place,
    rows_value,
    settle,
    start,
    value,
    with_stack,
)
from .deck_page import DeckPage
from .harness import HostServer


@pytest.fixture(scope="module")
def page_host(next_host: HostServer) -> HostServer:
    return next_host


@pytest.fixture
def deck(deck: DeckPage) -> DeckPage:
    prepare(deck)
    return deck


def prepare(deck: DeckPage) -> None:
    nodes, links = with_stack(INK, height=200)
    nodes["blocks"] = ("BlockWeight", (800, 610), (360, 280), {"blocks": "ALL"})
    links = [link for link in links if link[0] != "rows"]
    links += [("rows", 0, "blocks", "stack"), ("blocks", 0, "apply", "stack")]
    start(deck, nodes, links)


def test_rows_take_clicks_and_cards(deck: DeckPage) -> None:
    before = deck.graph()
    deck.page.get_by_role("switch", name="ink_wash_v2 on").click()
    settle(deck)
    assert value(deck, "rows") == rows_value({**INK, "on": False})
    one_step(deck, before, 0)
    assert drag_card(deck, "film_grain", place(deck, "rows", 100, 140)) == ["Add LoRA here"]
    assert sorted(names(deck)) == ["film_grain", "ink_wash_v2"]
    deck.shot(f"next-canvas-{deck.mode}")


def test_a_card_becomes_a_node_and_alt_click_too(deck: DeckPage) -> None:
    before = deck.graph()
    assert drag_card(deck, "film_grain", (460, 800)) == ["Add node with 1 LoRA"]
    assert names(deck, "LoRA stack") == ["film_grain"]
    one_step(deck, before, 0)
    deck.undo()
    deck.card("neon_nights").click(modifiers=["Alt"])
    deck.settled()
    settle(deck)
    assert names(deck, "LoRA stack") == ["neon_nights"]


def test_a_bar_is_dragged_and_the_report_drawn(deck: DeckPage) -> None:
    bar = deck.page.get_by_role("slider", name="IN01", exact=True)
    expect(bar).to_be_visible()
    x, y = centre(bar)
    drag(deck, (x, y - 20), (x, y + 20))
    assert str(value(deck, "blocks", "blocks")).startswith("IN00=1,IN01=0.")
    deck.run()
    expect(deck.page.get_by_role("region", name="Apply report")).to_contain_text("120 of 120 modules")
