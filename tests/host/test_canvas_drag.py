"""Cards dragged with the mouse out of the sidebar, onto everything that takes them, in both ways of drawing."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from .canvas_page import (
    INK,
    NEON,
    depth,
    drag_card,
    forget_steps,
    names,
    one_step,
    place,
    rows,
    settle,
    start,
    value,
    with_stack,
)
from .deck_page import PARSED_LINKS, PARSED_NODES, DeckPage

GRAIN = {"on": True, "name": "film_grain", "te": 0.6, "unet": 0.6}


@pytest.fixture
def deck(deck: DeckPage) -> DeckPage:
    nodes, links = with_stack(NEON, height=200)
    nodes["add"] = ("LoraStackAdd", (800, 640), (300, 140), {"lora_name": "neon_nights"})
    nodes["loader"] = ("LoraLoader", (800, 830), (300, 130), {})
    start(deck, nodes, links)
    return deck


def test_onto_empty_canvas(deck: DeckPage) -> None:
    before = deck.graph()
    assert drag_card(deck, "film_grain", (600, 830)) == ["Add node with 1 LoRA"]
    assert rows(deck, "LoRA stack") == [GRAIN]
    one_step(deck, before, 0)


def test_a_dragged_card_opens_no_flyout(deck: DeckPage) -> None:
    flyout = deck.page.locator(".ld-fly")
    deck.set(FlyoutDelay=50)
    try:
        drag_card(deck, "film_grain", (600, 830))
        expect(flyout).to_have_count(0)
        deck.hover("film_grain")
        expect(flyout).to_contain_text("film_grain")
    finally:
        deck.set(FlyoutDelay=-1)
        deck.page.mouse.move(1500, 20)
    expect(flyout).to_have_count(0)


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


COLOURS = """() => [LGraphCanvas.link_type_colors.LORA_DECK_STACK,
    app.canvas.default_connection_color_byType.LORA_DECK_STACK,
    getComputedStyle(document.documentElement).getPropertyValue("--color-datatype-LORA_DECK_STACK").trim()]"""


def test_the_links_colour_survives_a_change_of_the_palette(deck: DeckPage) -> None:
    assert deck.page.evaluate(COLOURS) == ["#e0a458"] * 3
    set_palette = "name => app.extensionManager.setting.set('Comfy.ColorPalette', name)"
    for palette in ("light", "nord", "dark"):
        deck.page.evaluate(set_palette, palette)
        settle(deck)
        assert deck.page.evaluate(COLOURS) == ["#e0a458"] * 3, palette


def test_a_collapsed_node_takes_cards(deck: DeckPage) -> None:
    before = deck.graph()
    deck.page.evaluate("""() => { for (const title of ["rows", "add", "apply"])
        app.graph._nodes.find(n => n.title === title).collapse() }""")
    forget_steps(deck)
    assert drag_card(deck, "film_grain", place(deck, "rows", 40, -15)) == ["Add LoRA here"]
    assert sorted(names(deck)) == ["film_grain", "neon_nights"]
    assert drag_card(deck, "film_grain", place(deck, "add", 40, -15)) == ["Replace LoRA"]
    assert value(deck, "add", "lora_name") == "film_grain"
    assert drag_card(deck, "mira_lighthouse", place(deck, "apply", 40, -15)) == ["Join LoRA in front"]
    links = deck.links()
    assert ["LoRA stack", 0, "apply", "stack"] in links and ["rows", 0, "LoRA stack", "stack"] in links
    for _ in range(3):
        deck.undo()
    assert deck.graph() == before


def test_onto_what_is_half_off_the_screen_zoomed_out_and_panned(deck: DeckPage) -> None:
    deck.page.evaluate("""() => { app.canvas.ds.scale = 0.55
        const rows = app.graph._nodes.find(n => n.title === "rows")
        app.canvas.ds.offset = [(1440 / 0.55) - rows.pos[0], 400 - rows.pos[1]]; app.canvas.setDirty(true, true) }""")
    settle(deck, 600)
    before = deck.graph()
    assert drag_card(deck, "film_grain", place(deck, "rows", 60, 70)) == ["Add LoRA here"]
    assert sorted(names(deck)) == ["film_grain", "neon_nights"]
    one_step(deck, before, 0)
    x, y = 900.0, 700.0
    assert drag_card(deck, "ink_wash_v2", (x, y)) == ["Add node with 1 LoRA"]
    left, top = place(deck, "LoRA stack", 0, 0)
    # The pointer is at the title's corner, wherever the view is.
    assert abs(left - x) < 3 and abs(top - 30 * 0.55 - y) < 3
