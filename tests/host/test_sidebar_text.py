"""What the sidebar does in texts, in the real front end: completion, weights that are stepped, copies."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from .deck_page import PARSED_LINKS, PARSED_NODES, DeckPage, changed


@pytest.fixture
def deck(deck: DeckPage) -> DeckPage:
    deck.set(Connect="ask", ActivationText=True, FlyoutDelay=-1)
    deck.build(PARSED_NODES, PARSED_LINKS)
    deck.reset(fits=False)
    deck.open()
    return deck


def test_completion_in_an_unconnected_prompt_asks(deck: DeckPage) -> None:
    deck.build()
    deck.type_in("positive", " <lora:neon")
    expect(deck.page.locator("#ld-complete-0")).to_be_visible()
    deck.page.keyboard.press("Enter")
    expect(deck.page.get_by_role("listbox", name="Weight")).to_be_visible()
    deck.page.keyboard.press("Enter")
    question = deck.page.get_by_role("group", name="Connect this prompt")
    expect(question).to_be_visible()
    assert deck.page.evaluate("() => document.activeElement.tagName") == "TEXTAREA"
    before = deck.saved()
    question.get_by_role("button", name="Insert and connect").click()
    deck.settled()
    after = deck.saved()
    deck.page.evaluate("() => document.activeElement?.blur()")
    deck.undo()
    assert deck.saved() == before
    deck.redo()
    assert deck.saved() == after
    assert ["Prompt → LoRA stack", 0, "positive", "text"] in deck.links()
    assert deck.text("Prompt → LoRA stack") == "a small boat on a quiet lake <lora:neon_nights:0.5>"


def test_copies(deck: DeckPage) -> None:
    deck.card("film_grain").focus()
    deck.page.keyboard.press("Control+c")
    deck.page.wait_for_timeout(300)
    assert deck.page.evaluate("() => navigator.clipboard.readText()") == "<lora:film_grain:0.6>"


def test_copies_where_the_browser_gives_no_clipboard(deck: DeckPage) -> None:
    """As on a page that came over plain HTTP from another machine."""
    page = deck.page
    page.evaluate("() => Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true })")
    try:
        deck.card("neon_nights").focus()
        page.keyboard.press("Control+c")
        page.wait_for_timeout(300)
        expect(deck.card("neon_nights")).to_be_focused()
        search = page.get_by_role("searchbox", name="Search LoRAs")
        search.focus()
        page.keyboard.press("Control+v")
        expect(search).to_have_value("<lora:neon_nights:0.5>")
        page.keyboard.press("Escape")
        deck.card("film_grain").focus()
        page.keyboard.press("F2")
        dialog = page.get_by_role("dialog", name="film_grain")
        dialog.get_by_role("tab", name="File header").click()
        expect(dialog.locator(".ld-kv tr").first).to_be_visible()
        dialog.get_by_role("button", name="Copy JSON").click()
        dialog.get_by_role("searchbox", name="Search file header").focus()
        page.keyboard.press("Control+v")
        expect(dialog.get_by_role("searchbox", name="Search file header")).to_have_value(re.compile("^{"))
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
    finally:
        page.evaluate("() => { delete navigator.clipboard }")


def test_flyout_steps_the_weight_in_the_prompt(deck: DeckPage) -> None:
    deck.type_in("parser", " <lora:ink_wash_v2:0.5:lbw=OUTALL>")
    deck.set(FlyoutDelay=0)
    deck.hover("ink_wash_v2")
    group = deck.page.get_by_role("group", name="About ink_wash_v2")
    expect(group.locator("output")).to_have_text("0.5")
    deck.shot("sidebar-flyout")
    deck.set(FlyoutDelay=-1)
    with deck.gesture("parser.text"):
        group.get_by_role("button", name="More").click()
        expect(group.locator("output")).to_have_text("0.55")
        assert deck.text("parser").endswith("<lora:ink_wash_v2:0.55:lbw=OUTALL>")


def test_ctrl_up_steps_a_tag_and_leaves_words_to_the_host(deck: DeckPage) -> None:
    deck.type_in("parser", " <lora:ink_wash_v2>")
    plain = deck.run()
    deck.type_in("parser")
    deck.page.keyboard.press("ArrowLeft")
    before = deck.saved()
    deck.page.keyboard.press("Control+ArrowUp")
    assert deck.text("parser").endswith("<lora:ink_wash_v2:1.05>")
    after = deck.saved()
    assert changed(before[0], after[0]) == {"parser.text"}
    # In a text area undo is the browser's.
    deck.page.keyboard.press("Control+z")
    deck.frames()
    assert deck.saved() == before
    deck.page.keyboard.press("Control+Shift+z")
    deck.frames()
    assert deck.saved() == after
    assert deck.run() != plain
    deck.type_in("parser")
    deck.page.keyboard.press("ArrowLeft")
    deck.page.keyboard.press("Control+ArrowDown")
    deck.page.keyboard.press("Control+ArrowDown")
    assert deck.text("parser").endswith("<lora:ink_wash_v2:0.95>")
    deck.page.keyboard.press("Control+Home")
    deck.page.keyboard.press("Control+ArrowUp")
    assert deck.text("parser").startswith("(a:1.05)")


def test_completion(deck: DeckPage) -> None:
    plain = deck.run()
    deck.type_in("parser", " <lora:ink")
    names = deck.page.get_by_role("listbox", name="LoRAs").filter(has=deck.page.locator("#ld-complete-0"))
    expect(names.get_by_role("option").first).to_contain_text("ink_wash_v2")
    deck.shot("sidebar-completion")
    assert deck.area("parser").get_attribute("aria-activedescendant") == "ld-complete-0"
    deck.page.keyboard.press("Enter")
    weights = deck.page.get_by_role("listbox", name="Weight")
    expect(weights.locator("[aria-selected=true]")).to_have_text("0.8")
    deck.page.keyboard.press("ArrowRight")
    deck.page.keyboard.press("Enter")
    deck.frames()
    assert deck.text("parser") == "a small boat on a quiet lake <lora:ink_wash_v2:1>"
    expect(deck.page.locator(".ld-ac, .ld-acw")).to_have_count(0)
    assert deck.run() != plain
