"""Nothing that was typed into a card's dialog is lost, and nothing that others wrote."""

from __future__ import annotations

import json
import re
from pathlib import Path

from playwright.sync_api import Browser, expect

from ..deck_page import DeckPage
from ..harness import HostServer
from .card import Card, state


def test_a_conflicting_edit_shows_both_sides_and_loses_neither(deck: DeckPage, folder: Path) -> None:
    card = Card(deck, folder, "contested", {"activation text": "tide", "preferred weight": 0.8, "notes": "a"})
    dialog = card.open()
    dialog.get_by_role("textbox", name="Activation text").fill("tide, foam")
    dialog.get_by_role("textbox", name="Preferred weight").fill("0.9")
    # A1111, or another program, writes meanwhile.
    theirs = {"activation text": "tide, gull", "preferred weight": 0.5, "notes": "a", "extra": 1}
    card.sidecar.write_text(json.dumps(theirs), encoding="utf-8")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("This card was changed elsewhere")
    assert card.saved() == theirs
    expect(dialog.get_by_role("radio", name="Activation text: keep yours")).to_have_attribute("aria-checked", "true")
    dialog.get_by_role("radio", name="Preferred weight: keep the one on disk").click()
    expect(state(dialog)).to_have_text("1 from disk, 1 of yours")
    deck.shot("dialog-conflict")
    dialog.get_by_role("button", name="Save these").click()
    expect(state(dialog)).to_have_text("Saved to contested.json")
    assert card.saved() == {**theirs, "activation text": "tide, foam"}
    expect(dialog.get_by_role("textbox", name="Preferred weight")).to_have_value("0.5")


def test_leaving_asks_and_keeps_what_was_typed(deck: DeckPage, folder: Path) -> None:
    card = Card(deck, folder, "left")
    dialog = card.open()
    notes = dialog.get_by_role("textbox", name="Notes")
    notes.fill("not yet saved")
    card.page.keyboard.press("Escape")
    expect(state(dialog)).to_have_text("Save changes to left?")
    dialog.get_by_role("button", name="Keep editing").click()
    expect(notes).to_have_value("not yet saved")
    assert not card.sidecar.exists()
    dialog.get_by_role("button", name="Close").first.click()
    dialog.locator(".ld-bot").get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    assert card.saved() == {"notes": "not yet saved"}


def test_what_cannot_be_written_is_said_and_the_text_stays(deck: DeckPage, folder: Path) -> None:
    card = Card(deck, folder, "read_only", {"notes": "a"})
    card.sidecar.chmod(0o444)
    dialog = card.open()
    dialog.get_by_role("textbox", name="Notes").fill("b")
    dialog.get_by_role("button", name="Save").click()
    expect(state(dialog)).to_have_text("read_only.json is read-only. Nothing was saved.")
    expect(dialog.get_by_role("textbox", name="Notes")).to_have_value("b")
    card.sidecar.chmod(0o644)
    card.file.unlink()
    dialog.get_by_role("textbox", name="Notes").fill("c")
    dialog.get_by_role("button", name="Save").click()
    expect(state(dialog)).to_contain_text("is not there any more")
    expect(dialog.get_by_role("textbox", name="Notes")).to_have_value("c")
    assert card.saved() == {"notes": "a"}


def test_a_server_that_does_not_answer_loses_nothing(deck: DeckPage, folder: Path) -> None:
    card = Card(deck, folder, "offline", {"notes": "a"})
    dialog = card.open()
    dialog.get_by_role("textbox", name="Notes").fill("typed while away")
    card.page.route("**/lora-deck/loras/*/edit", lambda route: route.abort())
    dialog.get_by_role("button", name="Save").click()
    expect(state(dialog)).to_contain_text("ComfyUI does not answer")
    expect(dialog.get_by_role("textbox", name="Notes")).to_have_value("typed while away")
    card.page.unroute("**/lora-deck/loras/*/edit")
    dialog.get_by_role("button", name="Save").click()
    expect(state(dialog)).to_have_text("Saved to offline.json")
    assert card.saved() == {"notes": "typed while away"}


def test_two_tabs_on_one_card(deck: DeckPage, folder: Path, browser: Browser) -> None:
    card = Card(deck, folder, "two_tabs", {"notes": "a"})
    dialog = card.open()
    other = DeckPage(browser, deck.host)
    try:
        other.open()
        other.reset(fits=False, text="two_tabs")
        other.card("two_tabs").focus()
        other.page.keyboard.press("F2")
        theirs = other.page.get_by_role("dialog", name="two_tabs")
        dialog.get_by_role("textbox", name="Notes").fill("from the first")
        dialog.get_by_role("button", name="Save").click()
        expect(state(dialog)).to_have_text("Saved to two_tabs.json")
        # The other tab typed nothing, so it follows.
        expect(theirs.get_by_role("textbox", name="Notes")).to_have_value("from the first")
        dialog.get_by_role("textbox", name="Notes").fill("mine")
        theirs.get_by_role("textbox", name="Notes").fill("theirs")
        theirs.get_by_role("button", name="Save").click()
        expect(state(theirs)).to_have_text("Saved to two_tabs.json")
        expect(state(dialog)).to_contain_text("Changed elsewhere meanwhile")
        dialog.get_by_role("button", name="Save").click()
        expect(dialog.get_by_role("radio", name="Notes: keep the one on disk")).to_be_visible()
        dialog.get_by_role("button", name="Take all from disk").click()
        expect(dialog.get_by_role("textbox", name="Notes")).to_have_value("theirs")
        assert card.saved() == {"notes": "theirs"} and other.errors == []
    finally:
        other.close()


def test_a_server_killed_during_a_save_loses_nothing(browser: Browser, tmp_path: Path) -> None:
    """Kill -9 while the dialog saves: the file is the old or the new one, whole; the text stays and can be saved."""
    with HostServer(tmp_path / "killed") as host:
        page = DeckPage(browser, host)
        try:
            page.open()
            sidecar = host.loras / "styles" / "ink_wash_v2.json"
            old = json.loads(sidecar.read_text(encoding="utf-8"))
            page.card("ink_wash_v2").focus()
            page.page.keyboard.press("F2")
            dialog = page.page.get_by_role("dialog", name="ink_wash_v2")
            notes = "x" * 400_000
            dialog.get_by_role("textbox", name="Notes").fill(notes)
            dialog.get_by_role("button", name="Save").click(no_wait_after=True)
            host.kill()
            expect(state(dialog)).to_have_text(re.compile("ComfyUI does not answer|Saved to"))
            assert json.loads(sidecar.read_text(encoding="utf-8")) in (old, {**old, "notes": notes})
            assert dialog.get_by_role("textbox", name="Notes").input_value() == notes
            host.start(port=host.port)
            save = dialog.get_by_role("button", name="Save")
            if save.is_enabled():
                save.click()
                if "elsewhere" in dialog.inner_text():
                    dialog.get_by_role("button", name="Save these").click()
            expect(state(dialog)).to_have_text("Saved to ink_wash_v2.json")
            assert json.loads(sidecar.read_text(encoding="utf-8")) == {**old, "notes": notes}
        finally:
            page.close()
