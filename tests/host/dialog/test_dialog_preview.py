"""A card's preview in its dialog: chosen, dropped, pasted, or the last image of the graph."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect

from ..deck_page import DeckPage
from .card import Card, state

COPY_PICTURE = """async text => { const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0))
    await navigator.clipboard.write([new ClipboardItem({ "image/png": new Blob([bytes], { type: "image/png" }) })]) }"""
PASTE = """text => { const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0))
    const data = new DataTransfer(); data.items.add(new File([bytes], "x.png", { type: "image/png" }))
    document.querySelector(".ld-dlg textarea").dispatchEvent(
        new ClipboardEvent("paste", { bubbles: true, cancelable: true, clipboardData: data })) }"""


def test_preview_chosen_dropped_and_taken_from_the_graph(deck: DeckPage, folder: Path) -> None:
    card = Card(deck, folder, "pictured")
    picture = deck.host.loras / "styles" / "ink_wash_v2.png"
    dialog = card.open()
    preview = dialog.get_by_role("group", name="Preview", exact=True)
    dialog.locator("input[type=file]").set_input_files(picture)
    said = dialog.locator(".ld-side [role=status]")
    expect(said).to_have_text("Saved to pictured.preview.png")
    target = folder / "pictured.preview.png"
    assert target.read_bytes() == picture.read_bytes()
    expect(dialog.locator(".ld-side .ld-pic img")).to_be_visible()
    # A picture that is there is not replaced unasked.
    other = deck.host.loras / "styles" / "ink_wash_v2.png"
    drop = """([text, type]) => { const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0))
        const transfer = new DataTransfer(); transfer.items.add(new File([bytes], "x.png", { type }))
        const at = document.querySelector(".ld-dlg")
        for (const kind of ["dragenter", "dragover", "drop"])
            at.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: transfer })) }"""
    changed = other.read_bytes() + b"\0"
    nodes = card.page.evaluate("() => app.graph._nodes.length")
    card.page.evaluate(drop, [base64.b64encode(changed).decode(), "image/png"])
    expect(dialog.get_by_role("alert")).to_contain_text("There is a preview already: pictured.preview.png")
    assert target.read_bytes() == picture.read_bytes()
    dialog.get_by_role("button", name="Replace it").click()
    expect(said).to_have_text("Saved to pictured.preview.png")
    assert target.read_bytes() == changed and (folder / "pictured.preview.png.bak").read_bytes() == picture.read_bytes()
    assert card.page.evaluate("() => app.graph._nodes.length") == nodes
    preview.get_by_role("button", name="Adult").click()
    expect(dialog.locator(".ld-token")).to_have_text(["nsfw"])
    dialog.get_by_role("button", name="Save").click()
    expect(state(dialog)).to_have_text("Saved to pictured.json")
    assert card.saved() == {"tags": ["nsfw"]}
    expect(deck.card("pictured").locator(".ld-pic")).to_have_class(re.compile("ld-blur"))


def test_preview_pasted_and_of_the_last_image(deck: DeckPage, folder: Path) -> None:
    made = deck.run()
    card = Card(deck, folder, "pasted_over")
    picture = base64.b64encode((deck.host.loras / "styles" / "ink_wash_v2.png").read_bytes()).decode()
    dialog = card.open()
    preview = dialog.get_by_role("group", name="Preview", exact=True)
    said = dialog.locator(".ld-side [role=status]")
    target = folder / "pasted_over.preview.png"
    nodes = card.page.evaluate("() => app.graph._nodes.length")

    preview.get_by_role("button", name="Last image").click()
    expect(said).to_have_text("Saved to pasted_over.preview.png")
    assert Image.open(target).convert("RGB").tobytes() == made
    first = target.read_bytes()

    card.page.evaluate(COPY_PICTURE, picture)
    preview.get_by_role("button", name="Paste").click()
    expect(dialog.get_by_role("alert")).to_contain_text("There is a preview already")
    dialog.get_by_role("button", name="Keep it").focus()
    card.page.keyboard.press("Enter")
    expect(dialog.get_by_role("alert")).to_have_count(0)
    expect(preview.get_by_role("button", name="Choose…")).to_be_focused()
    assert target.read_bytes() == first

    card.page.evaluate(PASTE, picture)
    dialog.get_by_role("button", name="Replace it").click()
    expect(said).to_have_text("Saved to pasted_over.preview.png")
    assert Image.open(target).size == Image.open(deck.host.loras / "styles" / "ink_wash_v2.png").size
    assert card.page.evaluate("() => app.graph._nodes.length") == nodes

    # A button that goes does not take the keyboard's focus out of the dialog.
    dialog.get_by_role("textbox", name="Notes").fill("by keyboard")
    dialog.get_by_role("button", name="Save").focus()
    card.page.keyboard.press("Enter")
    expect(state(dialog)).to_have_text("Saved to pasted_over.json")
    assert card.page.evaluate("() => document.querySelector('.ld-dlg').contains(document.activeElement)")
    card.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
