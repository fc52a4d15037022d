"""The sidebar's main gestures in a later front end than the host's own; `next_frontend.txt` pins which."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from .deck_page import PARSED_LINKS, PARSED_NODES, DeckPage, changed, differences
from .harness import HostServer


@pytest.fixture(scope="module")
def page_host(next_host: HostServer) -> HostServer:
    return next_host


def start(deck: DeckPage, parsed: bool = True) -> None:
    if parsed:
        deck.build(PARSED_NODES, PARSED_LINKS)
    else:
        deck.build()
    deck.reset()
    deck.open()


def test_opens_and_shows_cards(deck: DeckPage) -> None:
    start(deck)
    assert len(deck.names()) == 7
    deck.shot("next-grid")


def test_has_a_close_button_as_the_host_s_tabs_have(deck: DeckPage) -> None:
    start(deck)
    deck.page.get_by_role("button", name="Close sidebar").click()
    expect(deck.page.locator("lora-deck")).to_have_count(0)


def test_click_undo_redo_click(deck: DeckPage) -> None:
    start(deck)
    deck.type_in("parser")
    before = deck.saved()
    with deck.gesture("parser.text", "negative.text"):
        deck.click("ink_wash_v2")
        assert deck.text("parser") == "a small boat on a quiet lake <lora:ink_wash_v2:0.8> ink wash, rice paper"
    deck.click("ink_wash_v2")
    assert {p for p in changed(before[0], deck.saved()[0]) if "." in p or "->" in p} <= {"apply.lock"}


def test_marks_follow_what_is_typed(deck: DeckPage) -> None:
    start(deck)
    deck.type_in("parser", " <lora:film_grain:0.33>")
    expect(deck.card("film_grain").locator(".ld-mark--on")).to_contain_text("0.33")


def test_connects(deck: DeckPage) -> None:
    start(deck, parsed=False)
    deck.type_in("positive")
    before = deck.saved()
    deck.click("ink_wash_v2")
    deck.page.get_by_role("button", name="Insert and connect").click()
    deck.settled()
    after = deck.saved()
    assert ["Apply LoRA stack", 0, "sampler", "model"] in deck.links()
    assert ["Prompt → LoRA stack", 0, "positive", "text"] in deck.links()
    deck.undo()
    assert differences(before, deck.saved()) == []
    deck.redo()
    assert differences(after, deck.saved()) == []


def test_search_and_keys(deck: DeckPage) -> None:
    start(deck)
    before = deck.graph()
    deck.page.get_by_role("searchbox", name="Search LoRAs").fill("neon")
    expect(deck.page.locator("lora-deck [role=option]")).to_have_count(1)
    deck.page.keyboard.press("ArrowDown")
    deck.page.keyboard.press("Delete")
    assert deck.graph() == before


def test_menu_and_toast(deck: DeckPage) -> None:
    start(deck)
    deck.card("neon_nights").click(button="right")
    expect(deck.page.get_by_role("menuitem", name="Copy tag")).to_be_visible()
    deck.page.keyboard.press("Escape")
    deck.page.wait_for_timeout(100)
    expect(deck.page.get_by_role("menu", name=re.compile("Actions for"))).to_have_count(0)


def test_completion(deck: DeckPage) -> None:
    start(deck)
    deck.type_in("parser", " <lora:neon")
    expect(deck.page.locator("#ld-complete-0")).to_contain_text("neon_nights")
    deck.page.keyboard.press("Enter")
    expect(deck.page.get_by_role("listbox", name="Weight")).to_be_visible()
    deck.page.keyboard.press("Enter")
    deck.page.wait_for_timeout(200)
    assert deck.text("parser").endswith("<lora:neon_nights:0.5>")


def test_ctrl_up(deck: DeckPage) -> None:
    start(deck)
    deck.type_in("parser", " <lora:neon_nights:1>")
    deck.page.keyboard.press("ArrowLeft")
    deck.page.keyboard.press("Control+ArrowUp")
    assert deck.text("parser").endswith("<lora:neon_nights:1.05>")


def test_another_tab_and_back(deck: DeckPage) -> None:
    start(deck)
    deck.page.evaluate("() => app.extensionManager.sidebarTab.toggleSidebarTab('model-library')")
    deck.page.wait_for_timeout(400)
    expect(deck.page.locator("lora-deck")).to_have_count(0)
    deck.open()


def test_light_palette(deck: DeckPage) -> None:
    start(deck)
    deck.page.evaluate("() => app.extensionManager.setting.set('Comfy.ColorPalette', 'light')")
    deck.page.wait_for_timeout(400)
    deck.shot("next-light")
    deck.page.evaluate("() => app.extensionManager.setting.set('Comfy.ColorPalette', 'dark')")


def test_dialog(deck: DeckPage) -> None:
    start(deck)
    deck.card("neon_nights").focus()
    deck.page.keyboard.press("F2")
    dialog = deck.page.get_by_role("dialog", name="neon_nights")
    notes = dialog.get_by_role("textbox", name="Notes")
    text = "first" if notes.input_value() != "first" else "second"
    notes.fill(text)
    deck.page.keyboard.press("Control+Enter")
    expect(dialog.locator(".ld-bot [role=status]")).to_have_text(re.compile("^Saved to "))
    dialog.get_by_role("tab", name="File header").click()
    expect(dialog.locator(".ld-kv tr").first).to_be_visible()
    deck.shot("next-dialog")
    dialog.get_by_role("tab", name="Card").click()
    notes.fill("unsaved")
    deck.page.keyboard.press("Escape")
    dialog.get_by_role("button", name="Discard").click()
    expect(dialog).to_have_count(0)
    assert next(c for c in deck.host.get("/lora-deck/loras?text=neon")["items"])["fields"]["notes"] == text
