"""axe-core finds no serious violation in any part of the sidebar, in six of the host's palettes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from .deck_page import PARSED_LINKS, PARSED_NODES, DeckPage
from .harness import HostServer


@pytest.fixture(scope="module", params=["dark", "light", "solarized", "nord", "arc", "github"])
def palette(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def open_page(browser: Browser, page_host: HostServer) -> Iterator[DeckPage]:
    """One way of drawing nodes is enough: the sidebar is the same beside both."""
    page = DeckPage(browser, page_host)
    yield page
    page.close()


@pytest.fixture
def deck(deck: DeckPage, palette: str) -> Iterator[DeckPage]:
    deck.page.evaluate("p => app.extensionManager.setting.set('Comfy.ColorPalette', p)", palette)
    deck.set(FlyoutDelay=-1, Connect="ask", FoldersFirst=False)
    deck.build(PARSED_NODES, PARSED_LINKS)
    # First: the last test may have left nothing to see.
    deck.reset(fits=False)
    deck.open()
    # What moves or fades is half there, and its colours with it.
    deck.page.emulate_media(reduced_motion="reduce")
    yield deck
    deck.page.keyboard.press("Escape")


def serious(deck: DeckPage, *parts: str) -> list[tuple[str, list[str]]]:
    """What axe-core calls serious or worse in these parts of the page; each of them must be there."""
    for part in parts:
        expect(deck.page.locator(part).first).to_be_visible()
    deck.frames(10)
    found = Axe().run(deck.page, context={"include": [[part] for part in parts]})
    return [
        (v["id"], [n["html"][:160] for n in v["nodes"]][:3])
        for v in found.response["violations"]
        if v["impact"] in ("serious", "critical")
    ]


def test_cards_tree_flyout_and_action_bar(deck: DeckPage, palette: str) -> None:
    deck.set(FoldersFirst=True)
    deck.type_in("parser", " <lora:ink_wash_v2:0.5>")
    deck.page.get_by_role("button", name="Folder tree").click()
    deck.set(FlyoutDelay=0)
    deck.hover("ink_wash_v2")
    expect(deck.page.locator(".ld-fly")).to_be_visible()
    deck.shot(f"sidebar-palette-{palette}")
    assert serious(deck, "lora-deck", ".ld-fly", ".ld-acts") == []


def test_filters_and_no_hits(deck: DeckPage) -> None:
    deck.page.get_by_role("searchbox").fill("nothing is called this")
    expect(deck.page.locator(".ld-blank")).to_be_visible()
    deck.page.get_by_role("button", name="Filters", exact=True).click()
    assert serious(deck, "lora-deck", ".ld-filter") == []


def test_menus_and_selection(deck: DeckPage) -> None:
    deck.card("film_grain").click(modifiers=["Control"])
    deck.card("neon_nights").click()
    deck.card("film_grain").click(button="right")
    assert serious(deck, "lora-deck", ".ld-menu") == []
    deck.page.keyboard.press("Escape")
    deck.page.get_by_role("button", name="View and order").click()
    assert serious(deck, ".ld-menu") == []
    deck.page.keyboard.press("Escape")


def test_the_question(deck: DeckPage) -> None:
    deck.build()
    deck.type_in("positive")
    deck.click("film_grain")
    deck.page.get_by_role("button", name="Insert and connect").hover()
    assert serious(deck, "lora-deck", ".ld-ask") == []


def test_completion(deck: DeckPage) -> None:
    deck.type_in("parser", " <lora:ink")
    assert serious(deck, ".ld-ac") == []
    deck.page.keyboard.press("Enter")
    assert serious(deck, ".ld-acw") == []
    deck.page.keyboard.press("Escape")
