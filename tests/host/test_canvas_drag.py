"""Cards dragged with the mouse out of the sidebar, onto everything that takes them, in both ways of drawing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from .canvas_page import INK, NEON, depth, drag_card, names, one_step, place, rows, settle, start, value, with_stack
from .deck_page import PARSED_LINKS, PARSED_NODES, DeckPage
from .harness import HostServer

GRAIN = {"on": True, "name": "film_grain", "te": 0.6, "unet": 0.6}


@pytest.fixture(scope="module", params=["classic", "nodes2"])
def open_page(request: pytest.FixtureRequest, browser: Browser, tidy_host: HostServer) -> Iterator[DeckPage]:
    page = DeckPage(browser, tidy_host, **{"Comfy.VueNodes.Enabled": request.param == "nodes2"})
    yield page
    page.close()


@pytest.fixture
def deck(open_page: DeckPage) -> Iterator[DeckPage]:
    nodes, links = with_stack(NEON, height=200)
    nodes["add"] = ("LoraStackAdd", (800, 640), (300, 140), {"lora_name": "neon_nights"})
    nodes["loader"] = ("LoraLoader", (1180, 830), (300, 130), {})
    start(open_page, nodes, links)
    open_page.errors.clear()
    yield open_page
    assert open_page.errors == []


def test_onto_empty_canvas(deck: DeckPage) -> None:
    before = deck.graph()
    assert drag_card(deck, "film_grain", (600, 830)) == ["Add node with 1 LoRA"]
    assert rows(deck, "LoRA stack") == [GRAIN]
    one_step(deck, before, 0)


def test_several_cards_onto_rows_at_the_line(deck: DeckPage) -> None:
    before = deck.graph()
    for name in ("film_grain", "ink_wash_v2"):
        deck.card(name).click(modifiers=["Control"])
    assert drag_card(deck, "film_grain", place(deck, "rows", 100, 80)) == ["Add 2 LoRAs here"]
    assert names(deck) == ["film_grain", "ink_wash_v2", "neon_nights"]
    assert rows(deck)[1] == INK
    one_step(deck, before, 0)


def test_onto_add_loader_and_apply(deck: DeckPage) -> None:
    before = deck.graph()
    assert drag_card(deck, "film_grain", place(deck, "add", 100, 20)) == ["Replace LoRA"]
    assert value(deck, "add", "lora_name") == "film_grain"
    one_step(deck, before, 0)
    before, steps = deck.graph(), depth(deck)
    assert drag_card(deck, "film_grain", place(deck, "loader", 100, 20)) == ["Set lora_name"]
    assert value(deck, "loader", "lora_name") == "styles/film_grain.safetensors"
    one_step(deck, before, steps)
    before, steps = deck.graph(), depth(deck)
    assert drag_card(deck, "film_grain", place(deck, "apply", 100, 10)) == ["Join LoRA in front"]
    links = deck.links()
    assert ["LoRA stack", 0, "apply", "stack"] in links and ["rows", 0, "LoRA stack", "stack"] in links
    one_step(deck, before, steps)


def test_where_nothing_fits(deck: DeckPage) -> None:
    before = deck.graph()
    assert drag_card(deck, "film_grain", place(deck, "latent", 60, 25)) == []
    assert deck.graph() == before and depth(deck) == 0


def test_into_a_prompt_that_is_not_connected(deck: DeckPage) -> None:
    before = deck.graph()
    assert drag_card(deck, "film_grain", place(deck, "positive", 60, 55)) == ["Insert tag here"]
    question = deck.page.get_by_role("group", name="Connect this prompt")
    expect(question).to_be_visible()
    assert deck.graph() == before
    question.get_by_role("button", name="Insert only").click()
    settle(deck)
    assert "<lora:film_grain:0.6>" in deck.text("positive")


def test_into_a_connected_prompt_zoomed_and_panned(deck: DeckPage) -> None:
    start(deck, PARSED_NODES, PARSED_LINKS)
    deck.page.evaluate(
        "() => { app.canvas.ds.scale = 0.8; app.canvas.ds.offset = [180, 60]; app.canvas.setDirty(true, true) }"
    )
    settle(deck, 600)
    assert drag_card(deck, "ink_wash_v2", place(deck, "parser", 200, 90)) == ["Insert tag here"]
    assert deck.text("parser").count("<lora:ink_wash_v2:0.8> ink wash, rice paper") == 1
