"""The dialog of a card in the real front end: what is typed lands in A1111's own file, and nothing is lost."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect
from safetensors import safe_open
from safetensors.torch import save_file

from .deck_page import PARSED_LINKS, PARSED_NODES, DeckPage
from .harness import HostServer

TAGS = {"tide": 40, "foam (sea)": 30, "gull": 20, "mist": 4}
BUCKETS = {"buckets": {"0": {"resolution": [512, 768], "count": 9}}}
TRAINED = {"ss_tag_frequency": json.dumps({"a": TAGS}), "ss_bucket_info": json.dumps(BUCKETS)}


@pytest.fixture(scope="module")
def host(tidy_host: HostServer) -> HostServer:
    return tidy_host


@pytest.fixture(scope="module")
def folder(host: HostServer) -> Iterator[Path]:
    made = host.loras / "dialogs"
    made.mkdir()
    yield made
    shutil.rmtree(made)
    host.post("/lora-deck/refresh", {"wait": True})


@pytest.fixture(scope="module")
def open_page(browser: Browser, host: HostServer, folder: Path) -> Iterator[DeckPage]:
    page = DeckPage(browser, host)
    page.build(PARSED_NODES, PARSED_LINKS)
    page.open()
    yield page
    page.close()


@pytest.fixture
def deck(open_page: DeckPage) -> Iterator[DeckPage]:
    open_page.errors.clear()
    open_page.open()
    yield open_page
    open_page.page.evaluate("() => document.querySelector('.ld-dlg [aria-label=Close]')?.click()")
    if discard := open_page.page.locator(".ld-dlg").get_by_role("button", name="Discard").all():
        discard[0].click()
    expect(open_page.page.locator(".ld-dlg")).to_have_count(0)
    assert open_page.errors == []
    assert open_page.page.evaluate("() => window.trapped") == []


def write_lora(path: Path, source: Path, metadata: dict[str, str] | None = None, seed: int = 1) -> None:
    """A copy of a LoRA with a header of its own, and so with other hashes."""
    with safe_open(source, "pt") as file:
        tensors = {key: file.get_tensor(key) * (1 + seed / 97) for key in file.offset_keys()}
    save_file(tensors, path, metadata)


class Card:
    """One LoRA of a test's own, and the dialog on it."""

    def __init__(self, deck: DeckPage, folder: Path, name: str, sidecar: dict[str, Any] | None = None,
                 metadata: dict[str, str] | None = None) -> None:  # fmt: skip
        self.deck, self.name, self.page = deck, name, deck.page
        self.file = folder / f"{name}.safetensors"
        self.sidecar = folder / f"{name}.json"
        write_lora(self.file, deck.host.loras / "styles" / "ink_wash_v2.safetensors", metadata, seed=len(name))
        if sidecar is not None:
            self.sidecar.write_text(json.dumps(sidecar, ensure_ascii=False), encoding="utf-8")
        deck.host.post("/lora-deck/refresh", {"wait": True})
        deck.reset(fits=False, text=name)
        expect(deck.card(name)).to_have_count(1)

    def open(self) -> Locator:
        self.deck.card(self.name).focus()
        self.page.keyboard.press("F2")
        dialog = self.page.get_by_role("dialog", name=self.name)
        expect(dialog).to_be_visible()
        return dialog

    def saved(self) -> dict[str, Any]:
        return dict(json.loads(self.sidecar.read_text(encoding="utf-8")))


def state(dialog: Locator) -> Locator:
    return dialog.locator(".ld-bot [role=status]")


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


COPY_PICTURE = """async text => { const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0))
    await navigator.clipboard.write([new ClipboardItem({ "image/png": new Blob([bytes], { type: "image/png" }) })]) }"""
PASTE = """text => { const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0))
    const data = new DataTransfer(); data.items.add(new File([bytes], "x.png", { type: "image/png" }))
    document.querySelector(".ld-dlg textarea").dispatchEvent(
        new ClipboardEvent("paste", { bubbles: true, cancelable: true, clipboardData: data })) }"""


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
