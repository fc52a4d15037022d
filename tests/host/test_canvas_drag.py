"""Cards dragged with the mouse out of the sidebar, onto everything that takes them, in both ways of drawing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from .canvas_page import INK, NEON, depth, names, one_step, rows, settle, value, with_stack
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


def start(deck: DeckPage, nodes: object, links: object) -> None:
    deck.build(nodes, links)  # type: ignore[arg-type]
    deck.open()
    deck.reset()
    settle(deck, 900)
    deck.page.evaluate("""() => { const t = app.extensionManager.workflow.activeWorkflow.changeTracker
        ;(t.captureCanvasState ?? t.checkState).call(t); t.undoQueue.length = t.redoQueue.length = 0 }""")


def place(deck: DeckPage, title: str, dx: float, dy: float) -> tuple[float, float]:
    x, y = deck.page.evaluate(
        """([title, dx, dy]) => { const n = app.graph._nodes.find(n => n.title === title)
        const { scale, offset } = app.canvas.ds
        const c = app.canvas.canvas.getBoundingClientRect()
        return [c.x + (n.pos[0] + offset[0] + dx) * scale, c.y + (n.pos[1] + offset[1] + dy) * scale] }""",
        [title, dx, dy],
    )
    return x, y


def drag(deck: DeckPage, card: str, to: tuple[float, float]) -> list[str]:
    """Drags a card; what the target said meanwhile."""
    mouse, option = deck.page.mouse, deck.card(card)
    option.scroll_into_view_if_needed()
    box = option.bounding_box()
    assert box is not None
    # Below the action bar, which lies over the card's upper edge.
    mouse.move(box["x"] + 60, box["y"] + 100)
    mouse.down()
    mouse.move(box["x"] + 80, box["y"] + 120, steps=3)
    mouse.move(to[0] - 15, to[1] - 10, steps=4)
    mouse.move(*to, steps=4)
    deck.page.wait_for_timeout(300)
    said = deck.page.locator(".ld-drop__t").all_text_contents()
    mouse.up()
    settle(deck, 600)
    assert deck.page.locator(".ld-drop__t").count() == 0
    return said


def test_onto_empty_canvas(deck: DeckPage) -> None:
    before = deck.graph()
    assert drag(deck, "film_grain", (600, 830)) == ["Add node with 1 LoRA"]
    assert rows(deck, "LoRA stack") == [GRAIN]
    one_step(deck, before, 0)


def test_several_cards_onto_rows_at_the_line(deck: DeckPage) -> None:
    before = deck.graph()
    for name in ("film_grain", "ink_wash_v2"):
        deck.card(name).click(modifiers=["Control"])
    assert drag(deck, "film_grain", place(deck, "rows", 100, 80)) == ["Add 2 LoRAs here"]
    assert names(deck) == ["film_grain", "ink_wash_v2", "neon_nights"]
    assert rows(deck)[1] == INK
    one_step(deck, before, 0)


def test_onto_add_loader_and_apply(deck: DeckPage) -> None:
    before = deck.graph()
    assert drag(deck, "film_grain", place(deck, "add", 100, 20)) == ["Replace LoRA"]
    assert value(deck, "add", "lora_name") == "film_grain"
    one_step(deck, before, 0)
    before, steps = deck.graph(), depth(deck)
    assert drag(deck, "film_grain", place(deck, "loader", 100, 20)) == ["Set lora_name"]
    assert value(deck, "loader", "lora_name") == "styles/film_grain.safetensors"
    one_step(deck, before, steps)
    before, steps = deck.graph(), depth(deck)
    assert drag(deck, "film_grain", place(deck, "apply", 100, 10)) == ["Join LoRA in front"]
    links = deck.links()
    assert ["LoRA stack", 0, "apply", "stack"] in links and ["rows", 0, "LoRA stack", "stack"] in links
    one_step(deck, before, steps)


def test_where_nothing_fits(deck: DeckPage) -> None:
    before = deck.graph()
    assert drag(deck, "film_grain", place(deck, "latent", 60, 25)) == []
    assert deck.graph() == before and depth(deck) == 0


def test_into_a_prompt_that_is_not_connected(deck: DeckPage) -> None:
    before = deck.graph()
    assert drag(deck, "film_grain", place(deck, "positive", 60, 55)) == ["Insert tag here"]
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
    assert drag(deck, "ink_wash_v2", place(deck, "parser", 200, 90)) == ["Insert tag here"]
    assert deck.text("parser").count("<lora:ink_wash_v2:0.8> ink wash, rice paper") == 1
