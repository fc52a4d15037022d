"""What the sidebar shows of files and drives that are not as they should be, and what it does about many."""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from .deck_page import PARSED_LINKS, PARSED_NODES, DeckPage
from .harness import HostServer

HOSTILE = '<img src=x onerror="alert(1)">'
RECORD = """() => new Promise(done => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 64 })
    const pen = canvas.getContext("2d")
    const recorder = new MediaRecorder(canvas.captureStream(30), { mimeType: "video/webm" })
    const parts = []
    let i = 0
    const drawing = setInterval(() => {
        pen.fillStyle = `hsl(${i++ * 20} 80% 50%)`
        pen.fillRect(0, 0, 64, 64)
    }, 20)
    recorder.ondataavailable = event => parts.push(event.data)
    recorder.onstop = async () => {
        clearInterval(drawing)
        const bytes = new Uint8Array(await new Blob(parts).arrayBuffer())
        done(btoa(String.fromCharCode(...bytes)))
    }
    recorder.start(50)
    setTimeout(() => recorder.stop(), 600)
})"""


def lora_file(**metadata: str) -> bytes:
    """A LoRA of one layer, with this metadata."""
    shapes = {"down": [1, 320], "up": [320, 1]}
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    at = 0
    for part, shape in shapes.items():
        size = 2 * shape[0] * shape[1]
        key = f"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.lora_{part}.weight"
        header[key] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


@pytest.fixture
def deck(deck: DeckPage) -> DeckPage:
    deck.set(ActivationText=True, FlyoutDelay=-1, NameInserted="file", FoldersFirst=False)
    deck.build(PARSED_NODES, PARSED_LINKS)
    # First: the last test may have left nothing to see.
    deck.reset(fits=False)
    deck.open()
    return deck


@pytest.fixture
def folder(page_host: HostServer) -> Iterator[Path]:
    """A folder for the files of one test."""
    made = page_host.loras / "states"
    made.mkdir()
    yield made
    for path in [*made.rglob("*")]:
        path.unlink()
    made.rmdir()
    look(page_host)


def look(page_host: HostServer) -> None:
    page_host.post("/lora-deck/refresh", {"wait": True})


def test_a_hostile_header_is_text(deck: DeckPage, folder: Path, page_host: HostServer) -> None:
    text = f'{HOSTILE}</script><script>alert(2)</script> [x](javascript:alert(3)) ![y](x" onerror="alert(4))'
    tags = json.dumps({text: {text: 3}})
    keys = ("modelspec.title", "modelspec.description", "modelspec.tags", "modelspec.trigger_phrase",
            "modelspec.usage_hint", "modelspec.author", "modelspec.license", "modelspec.thumbnail", "ss_output_name",
            "ss_training_comment", "ss_sd_model_name", "ss_network_module")  # fmt: skip
    (folder / "headed.safetensors").write_bytes(lora_file(**dict.fromkeys(keys, text), ss_tag_frequency=tags))
    (folder / "headed.json").write_text(json.dumps({"description": text, "notes": text}), encoding="utf-8")
    look(page_host)
    deck.set(FlyoutDelay=0)
    deck.hover("headed")
    expect(deck.page.locator(".ld-fly h3")).to_contain_text("headed")
    deck.set(NameInserted="alias")
    deck.type_in("parser")
    deck.click("headed")
    expect(deck.card("headed")).to_have_class(re.compile("is-active"))
    assert "onerror" in deck.text("parser")
    deck.type_in("parser", " <lora:headed")
    expect(deck.page.locator("#ld-complete-0")).to_contain_text("headed")
    deck.page.keyboard.press("Escape")
    deck.page.get_by_role("button", name="Filters", exact=True).click()
    expect(deck.page.get_by_role("dialog", name="Filters")).to_be_visible()
    deck.page.keyboard.press("Escape")
    deck.page.get_by_role("searchbox").fill(HOSTILE)
    deck.frames(20)
    for place in ("lora-deck", ".ld-fly", ".ld-ac", ".ld-menu"):
        expect(deck.page.locator(place).locator("script, img[src=x], a")).to_have_count(0)


def test_a_video_plays_muted_while_it_is_pointed_at(deck: DeckPage, folder: Path, page_host: HostServer) -> None:
    (folder / "moving.safetensors").write_bytes(lora_file())
    (folder / "moving.preview.webm").write_bytes(base64.b64decode(deck.page.evaluate(RECORD)))
    look(page_host)
    card = deck.card("moving")
    expect(card).to_contain_text("video")
    expect(card.locator("video")).to_have_count(0)
    deck.hover("moving")
    expect(card.locator("video")).to_have_count(1)
    deck.page.wait_for_function("() => document.querySelector('lora-deck video')?.currentTime > 0")
    playing = card.locator("video").evaluate("v => [v.muted, v.loop, v.paused]")
    assert playing == [True, True, False]
    deck.shot("sidebar-video")
    deck.page.mouse.move(1500, 20)
    expect(card.locator("video")).to_have_count(0)


def test_a_drive_that_is_away(deck: DeckPage, page_host: HostServer) -> None:
    away = page_host.loras.with_name("loras-away")
    page_host.loras.rename(away)
    try:
        look(page_host)
        card = deck.card("ink_wash_v2")
        expect(card).to_contain_text("Drive is away")
        expect(card).to_have_class(re.compile("is-away"))
        deck.shot("sidebar-away")
        deck.type_in("parser")
        before = deck.saved()
        deck.click("ink_wash_v2")
        assert deck.saved() == before
        expect(deck.page.locator(".ld-strip")).to_contain_text("Drive is away")
    finally:
        away.rename(page_host.loras)
        look(page_host)
    expect(deck.card("ink_wash_v2")).not_to_contain_text("Drive is away")


def test_a_file_that_was_removed(deck: DeckPage, folder: Path, page_host: HostServer) -> None:
    file = folder / "soon_gone.safetensors"
    file.write_bytes(lora_file())
    look(page_host)
    expect(deck.card("soon_gone")).to_be_visible()
    file.unlink()
    look(page_host)
    expect(deck.card("soon_gone")).to_have_count(0)
    deck.page.get_by_role("button", name="Filters", exact=True).click()
    deck.page.get_by_role("dialog", name="Filters").get_by_role("button", name=re.compile("Missing")).click()
    deck.page.keyboard.press("Escape")
    deck.page.get_by_role("searchbox", name="Search LoRAs").fill("soon_gone")
    card = deck.card("soon_gone")
    expect(card).to_contain_text("File was removed")
    deck.type_in("parser")
    before = deck.saved()
    deck.click("soon_gone")
    assert deck.saved() == before
    card.click(button="right")
    expect(deck.page.get_by_role("menuitem", name="Copy tag")).to_be_visible()
    expect(deck.page.get_by_role("menuitem", name="Insert into prompt")).to_have_count(0)
    deck.page.keyboard.press("Escape")


def test_an_alias_is_written_where_it_means_this_file(deck: DeckPage, folder: Path, page_host: HostServer) -> None:
    for name, alias in (("first", "grainy"), ("second", "twice"), ("third", "twice")):
        (folder / f"{name}.safetensors").write_bytes(lora_file(ss_output_name=alias, ss_session_id=name))
    look(page_host)
    deck.set(NameInserted="alias")
    deck.type_in("parser")
    with deck.gesture("parser.text", picture=False):
        deck.click("first")
        assert deck.text("parser").endswith("<lora:grainy:1>")
        expect(deck.card("first")).to_have_class(re.compile("is-active"))
    with deck.gesture("parser.text", picture=False):
        deck.click("second")
        assert deck.text("parser").endswith("<lora:second:1>")


def test_the_flyout_opens_on_focus(deck: DeckPage) -> None:
    deck.set(FlyoutDelay=0)
    deck.page.mouse.move(1500, 20)
    deck.page.get_by_role("searchbox").click()
    deck.page.keyboard.press("ArrowDown")
    deck.page.keyboard.press("ArrowRight")
    name = deck.page.evaluate("() => document.activeElement.querySelector('.ld-name').textContent")
    about = deck.page.get_by_role("group", name=f"About {name}")
    expect(about).to_be_visible()
    deck.page.keyboard.press("Escape")
    expect(about).to_have_count(0)


def test_what_comes_under_a_resting_pointer_is_not_pointed_at(deck: DeckPage) -> None:
    flyout = deck.page.locator(".ld-fly")
    deck.build()
    deck.type_in("positive")
    deck.set(FlyoutDelay=50)
    deck.hover("film_grain")
    expect(flyout).to_be_visible()
    deck.click("film_grain")
    connect = deck.page.get_by_role("button", name="Insert and connect")
    expect(connect).to_be_visible()
    expect(flyout).to_have_count(0)
    box = connect.bounding_box()
    assert box is not None
    connect.click()
    expect(connect).to_have_count(0)
    deck.settled()
    deck.page.wait_for_timeout(500)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    under = "([x, y]) => Boolean(document.elementFromPoint(x, y).closest('lora-deck [role=option]'))"
    assert deck.page.evaluate(under, [x, y]), "no card is where the button was"
    expect(flyout).to_have_count(0)
    deck.page.mouse.move(x + 2, y)
    expect(flyout).to_be_visible()


def test_the_action_bar(deck: DeckPage) -> None:
    bar = deck.page.get_by_role("toolbar", name="Actions for film_grain")
    deck.hover("film_grain")
    expect(bar).to_be_visible()
    deck.shot("sidebar-action-bar")
    bar.get_by_role("button", name="More actions").click()
    expect(deck.page.get_by_role("menu", name="Actions for film_grain")).to_be_visible()
    deck.page.keyboard.press("Escape")
    deck.page.mouse.move(1500, 20)
    deck.card("neon_nights").focus()
    deck.page.keyboard.press("ArrowLeft")
    deck.page.keyboard.press("ArrowRight")
    own = deck.page.get_by_role("toolbar", name="Actions for neon_nights")
    expect(own).to_be_visible()
    deck.page.keyboard.press("Tab")
    expect(own.get_by_role("button").first).to_be_focused()
    deck.card("neon_nights").click(modifiers=["Control"])
    deck.hover("film_grain")
    expect(deck.page.get_by_role("toolbar", name=re.compile("Actions for"))).to_have_count(0)
    assert deck.page.evaluate("() => !document.querySelector('lora-deck [role=option] :is(button, a, [tabindex])')")


FOCUSED = """() => { const e = document.activeElement
    return e.closest("[role=option]") ? "card" : e.getAttribute("aria-label") ?? e.textContent.trim() }"""


def test_the_focus_goes_round_and_is_never_lost(deck: DeckPage) -> None:
    page = deck.page
    page.mouse.move(1500, 20)
    deck.reset(fits=True, families=["LoRA"])
    expect(page.locator("lora-deck [role=option]")).not_to_have_count(0)
    page.get_by_role("searchbox", name="Search LoRAs").focus()
    order = []
    while (now := page.evaluate(FOCUSED)) != "card":
        order.append(now)
        page.keyboard.press("Tab")
        assert len(order) < 12, order
    assert order[:3] == ["Search LoRAs", "Filters, 1 on", "View and order"]
    assert order[3].startswith("Fits ") and order[4:] == ["Folder tree", "All", "Order: Name, ascending"]

    # What is pressed is drawn anew and keeps the focus; where it goes away, the focus stays in the deck.
    graph = deck.graph()

    def press(key: str, focused: str) -> None:
        page.keyboard.press(key)
        page.wait_for_timeout(400)
        assert re.match(focused, page.evaluate(FOCUSED)), (key, page.evaluate(FOCUSED))
        assert deck.page.evaluate("() => document.querySelector('lora-deck').contains(document.activeElement)")

    page.get_by_role("button", name=re.compile("^Fits ")).focus()
    press("Enter", "Fits ")
    press("ArrowRight", "LoRA")
    press("Enter", "Fits ")
    press("End", "Fits ")
    page.get_by_role("button", name="Order: Name, ascending").focus()
    press("Enter", "Order: Name, descending")
    press("Enter", "Order: Name, ascending")
    page.get_by_role("button", name="Folder tree").focus()
    press("Enter", "Folder tree")
    press("Enter", "Folder tree")
    card = page.locator("lora-deck [role=option]").first
    card.focus()
    press(" ", "card")
    page.get_by_role("button", name="Clear selection").focus()
    press("Enter", "card")
    page.get_by_role("searchbox", name="Search LoRAs").fill("nothing has this name")
    page.get_by_role("button", name="Clear search and filters").focus()
    press("Enter", "Search LoRAs|card")
    page.keyboard.press("Delete")
    assert deck.graph() == graph
    deck.type_in("parser")
    deck.click("film_grain")
    page.get_by_role("button", name="Undo").focus()
    press("Enter", "card")


def test_folders_first(deck: DeckPage) -> None:
    here = deck.page.get_by_role("group", name="Folders here")
    expect(here).to_have_count(0)
    deck.page.get_by_role("button", name="View and order").click()
    deck.page.get_by_role("menuitemcheckbox", name="Show folders first").click()
    expect(here.get_by_role("button")).to_have_text([re.compile("^characters ?2"), re.compile("^styles ?5")])
    deck.shot("sidebar-folders-first")
    here.get_by_role("button", name=re.compile("styles")).click()
    expect(deck.page.locator("lora-deck [role=option]")).to_have_count(5)
    expect(deck.page.get_by_role("navigation", name="Folder").locator("[aria-current=page]")).to_have_text("styles")
    expect(here).to_have_count(0)


def test_selecting_what_nobody_looked_at(deck: DeckPage, folder: Path, page_host: HostServer) -> None:
    for i in range(130):
        (folder / f"many_{i:03}.safetensors").write_bytes(lora_file(ss_seed=str(i)))
    look(page_host)
    expect(deck.page.locator(".ld-path__n")).to_have_text("138")
    region = deck.page.get_by_role("region", name="Selection")
    first = deck.page.locator("lora-deck [role=option]").first
    first.focus()
    deck.page.keyboard.press("Control+a")
    expect(region).to_contain_text("138 selected")
    deck.page.keyboard.press("Escape")
    expect(region).to_have_count(0)
    first.focus()
    deck.page.keyboard.press("ArrowRight")
    deck.page.keyboard.press("Shift+End")
    expect(region).to_contain_text("137 selected")
    assert deck.page.evaluate("() => document.querySelector('lora-deck').deck.list.pages.size") < 3
    region.get_by_role("button", name="More for the selection").click()
    deck.page.get_by_role("menuitem", name="Mark as favourite").click()
    deck.page.keyboard.press("Escape")
    deck.page.wait_for_function(
        "() => fetch('/lora-deck/loras/counts').then(a => a.json()).then(c => c.favourite === 137)"
    )
    ids = page_host.get("/lora-deck/loras/ids")["ids"]
    page_host.post("/lora-deck/favourite", {"ids": ids, "favourite": False})


def test_the_host_s_own_combos_know_new_files(deck: DeckPage, folder: Path, page_host: HostServer) -> None:
    chosen = "styles/ink_wash_v2.safetensors"
    deck.build({"loader": ("LoraLoader", (700, 200), (300, 130), {"lora_name": chosen, "strength_model": 0.4})}, [])
    before = deck.saved()
    (folder / "just_made.safetensors").write_bytes(lora_file())
    look(page_host)
    deck.page.wait_for_function("""() => {
        const { options } = app.graph.nodes[0].widgets.find(w => w.name === "lora_name")
        const values = typeof options.values === "function" ? options.values() : options.values
        return values.includes("states/just_made.safetensors")
    }""")
    assert deck.saved() == before
    names = page_host.get("/object_info/LoraLoader")["LoraLoader"]["input"]["required"]["lora_name"]
    assert "states/just_made.safetensors" in json.dumps(names)
