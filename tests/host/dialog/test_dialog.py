"""The dialog of a card in the real front end: what is typed lands in A1111's own file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from ..deck_page import DeckPage
from .card import TRAINED, Card, state


def test_every_field_is_saved_in_a1111s_file(deck: DeckPage, folder: Path) -> None:
    card = Card(deck, folder, "every_field", {"vae": "old.vae.pt", "notes": "old", "future key": [1, {"deep": True}]})
    dialog = card.open()
    deck.page.wait_for_timeout(700)
    expect(dialog.get_by_role("textbox", name="Activation text")).to_be_focused()
    expect(dialog.get_by_role("button", name="Save")).to_be_disabled()
    dialog.get_by_role("textbox", name="Activation text").fill("tide, foam")
    dialog.get_by_role("textbox", name="Negative text").fill("photo")
    dialog.get_by_role("textbox", name="Preferred weight").fill("0,65")
    dialog.get_by_role("combobox", name="SD version").select_option("SD1")
    dialog.get_by_role("textbox", name="Tags").fill("sea")
    page = card.page
    page.keyboard.press("Enter")
    page.keyboard.type("水墨,")
    dialog.get_by_role("textbox", name="Alias").fill("the sea")
    dialog.get_by_role("textbox", name="Description").fill("### Sea\nfor **boats**")
    dialog.get_by_role("textbox", name="Notes").fill("new")
    expect(state(dialog)).to_have_text("Unsaved changes in eight fields")
    deck.shot("dialog-unsaved")
    page.keyboard.press("Control+s")
    expect(state(dialog)).to_have_text("Saved to every_field.json")
    assert card.saved() == {
        "vae": "old.vae.pt", "notes": "new", "future key": [1, {"deep": True}], "activation text": "tide, foam",
        "negative text": "photo", "preferred weight": 0.65, "sd version": "SD1", "tags": ["sea", "水墨"],
        "alias": "the sea", "description": "### Sea\nfor **boats**",
    }  # fmt: skip
    assert list(card.saved())[:3] == ["vae", "notes", "future key"]
    dialog.get_by_role("button", name="Preview", exact=True).click()
    expect(dialog.locator(".ld-md b, .ld-md strong")).to_have_text("boats")
    deck.shot("dialog-saved")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    # The card, the search, the alias and the next tag know it.
    deck.reset(fits=False, text="水墨")
    expect(deck.card("every_field")).to_have_count(1)
    assert deck.host.get("/lora-deck/resolve?name=the%20sea")["card"]["name"] == "dialogs/every_field.safetensors"
    deck.type_in("parser")
    deck.click("every_field")
    assert deck.text("parser").endswith("<lora:every_field:0.65> tide, foam")
    deck.click("every_field")


def test_training_tags_are_toggled_in_the_activation_text(deck: DeckPage, folder: Path) -> None:
    metadata = {**TRAINED, "ss_optimizer": "AdamW8bit", "ss_network_alpha": "8"}
    card = Card(deck, folder, "trained", metadata=metadata)
    dialog = card.open()
    text = dialog.get_by_role("textbox", name="Activation text")
    pool = dialog.get_by_role("group", name="Training tags", exact=True)
    pool.get_by_role("button", name="tide").click()
    pool.get_by_role("button", name="gull").click()
    expect(text).to_have_value("tide, gull")
    expect(pool.get_by_role("button", name="gull")).to_have_attribute("aria-pressed", "true")
    pool.get_by_role("button", name="tide").click()
    expect(text).to_have_value("gull")
    text.fill("a boat, gull,")
    pool.get_by_role("button", name="foam (sea)").click()
    expect(text).to_have_value("a boat, gull, foam (sea)")
    dialog.get_by_role("tab", name="Training").click()
    expect(dialog).to_contain_text("512 × 768")
    expect(dialog).to_contain_text("AdamW8bit")
    dialog.get_by_role("searchbox", name="Search training tags").fill("mis")
    expect(dialog.get_by_role("group", name="All training tags").get_by_role("button")).to_have_text(["mist4"])
    seen = set()
    for _ in range(30):
        seen |= set(dialog.locator("p.ld-md").inner_text().split(", "))
        dialog.get_by_role("button", name="Again").click()
    assert seen - {""} <= {"tide", "foam \\(sea\\)", "gull", "mist"} and "tide" in seen
    deck.shot("dialog-training")
    dialog.get_by_role("tab", name="File header").click()
    dialog.get_by_role("searchbox", name="Search file header").fill("optimizer")
    expect(dialog.locator(".ld-kv tr")).to_have_text(["ss_optimizerAdamW8bit"])
    dialog.get_by_role("button", name="Copy JSON").click()
    copied = json.loads(card.page.evaluate("() => navigator.clipboard.readText()"))
    assert copied["ss_network_alpha"] == "8"
    deck.shot("dialog-header")


def test_hashes_are_computed_on_demand(deck: DeckPage, folder: Path) -> None:
    deck.host.post("/lora-deck/hash", {"action": "cancel"})
    try:
        card = Card(deck, folder, "unhashed")
        dialog = card.open()
        expect(dialog).not_to_contain_text("AutoV2")
        dialog.get_by_role("button", name="Compute hashes").click()
        expect(dialog.locator("code").first).to_have_text(hashlib.sha256(card.file.read_bytes()).hexdigest()[:10])
        expect(dialog.locator("code")).to_have_count(2)
    finally:
        deck.host.post("/lora-deck/hash", {"action": "start"})


def test_several_cards_write_only_what_is_touched(deck: DeckPage, folder: Path) -> None:
    one = Card(deck, folder, "many_one", {"tags": ["a", "b"], "preferred weight": 0.3, "own": True})
    two = Card(deck, folder, "many_two", {"tags": ["b", "c"]})
    three = Card(deck, folder, "many_three")
    deck.reset(fits=False, text="many_")
    expect(deck.page.locator("lora-deck [role=option]")).to_have_count(3)
    for card in (one, two, three):
        deck.card(card.name).click(modifiers=["Control"])
    deck.card("many_one").click(button="right")
    deck.page.get_by_role("menuitem", name="Edit 3 cards").click()
    dialog = deck.page.get_by_role("dialog", name="Edit 3 cards")
    save = dialog.get_by_role("button", name="Save to 3 cards")
    expect(save).to_be_disabled()
    dialog.get_by_role("textbox", name="Add tags").fill("new")
    deck.page.keyboard.press("Enter")
    dialog.get_by_role("group", name="Take away tags").get_by_role("button", name="b").click()
    dialog.get_by_role("combobox", name="SD version").select_option("SDXL")
    deck.shot("dialog-many")
    save.click()
    expect(dialog).to_have_count(0)
    assert one.saved() == {"tags": ["a", "new"], "preferred weight": 0.3, "own": True, "sd version": "SDXL"}
    assert two.saved() == {"tags": ["c", "new"], "sd version": "SDXL"}
    assert three.saved() == {"tags": ["new"], "sd version": "SDXL"}
    deck.page.keyboard.press("Escape")
    deck.reset(fits=False)


def test_hostile_texts_are_texts(deck: DeckPage, folder: Path) -> None:
    attack = '<img src=x onerror="alert(1)"><script>alert(2)</script>'
    description = (
        f"{attack}\n\n[a](javascript:alert(3)) [web](https://example.org/x) ![p](https://example.org/p.png)\n\n"
        '<iframe srcdoc="<script>parent.alert(4)</script>"></iframe><svg onload=alert(5)></svg>'
        '<form action="https://example.org"><input name=q></form><style>*{display:none}</style>'
    )
    metadata = {"ss_tag_frequency": json.dumps({"a": {attack: 3}}), "ss_optimizer": attack, attack: attack,
                "modelspec.title": attack}  # fmt: skip
    sidecar = {"description": description, "tags": [attack],
               **dict.fromkeys(("notes", "sd version", "activation text"), attack)}  # fmt: skip
    card = Card(deck, folder, "attacked", sidecar, metadata)
    asked: list[str] = []
    card.page.on("request", lambda request: asked.append(request.url))
    dialog = card.open()
    dialog.get_by_role("button", name="Preview", exact=True).click()
    shown = dialog.locator(".ld-md").first
    expect(shown.get_by_role("link", name="web")).to_have_attribute("href", "https://example.org/x")
    for tab in ("Training", "File header", "Card"):
        dialog.get_by_role("tab", name=tab).click()
        expect(dialog.locator("[role=tabpanel] :is(script, style, iframe, form, svg[onload], img)")).to_have_count(0)
    assert dialog.locator("[href^=javascript]").count() == 0
    assert not [url for url in asked if "example.org" in url]


def test_names_focus_and_accessibility(deck: DeckPage, folder: Path) -> None:
    card = Card(deck, folder, "accessible", {"tags": ["sea"], "description": "some *text*"}, TRAINED)
    axe = Axe()
    for palette in ("dark", "light", "nord", "solarized"):
        deck.page.evaluate("name => app.extensionManager.setting.set('Comfy.ColorPalette', name)", palette)
        deck.page.wait_for_timeout(600)
        dialog = card.open()
        for tab in ("Card", "Training", "File header"):
            dialog.get_by_role("tab", name=tab).click()
            deck.page.wait_for_timeout(300)
            found = axe.run(deck.page, context=".ld-dlg").response["violations"]
            assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == [], (palette, tab, found)
            deck.shot(f"dialog-{palette}-{tab.split()[-1].lower()}")
        deck.page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
    deck.page.evaluate("() => app.extensionManager.setting.set('Comfy.ColorPalette', 'dark')")
    dialog = card.open()
    order = []
    for _ in range(30):
        order.append(deck.page.evaluate("() => document.activeElement.id || document.activeElement.textContent"))
        deck.page.keyboard.press("Tab")
    assert order[0] == "ld-f-activation_text"
    fields = [i.removeprefix("ld-f-") for i in dict.fromkeys(order) if i.startswith("ld-f-")]
    assert fields == [
        "activation_text", "preferred_weight", "sd_version", "negative_text", "tags", "alias", "description", "notes",
    ]  # fmt: skip
    assert order.index("ld-f-notes") < order.index("Choose…")
    graph = deck.graph()
    deck.page.keyboard.press("Shift+Tab")
    deck.page.keyboard.press("Delete")
    deck.page.keyboard.press("Control+a")
    assert deck.graph() == graph
    tab = dialog.get_by_role("tab", name="Card")
    tab.focus()
    deck.page.keyboard.press("ArrowRight")
    expect(dialog.get_by_role("tab", name="Training")).to_have_attribute("aria-selected", "true")
    deck.page.set_viewport_size({"width": 620, "height": 820})
    deck.page.wait_for_timeout(300)
    deck.shot("dialog-narrow")
    deck.page.set_viewport_size({"width": 1560, "height": 900})


def test_the_shortcut_opens_the_deck(deck: DeckPage) -> None:
    page: Page = deck.page
    page.mouse.click(1200, 820)
    page.keyboard.press("Alt+l")
    expect(page.locator("lora-deck")).to_have_count(0)
    page.keyboard.press("Alt+l")
    expect(page.locator("lora-deck")).to_have_count(1)
