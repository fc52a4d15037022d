"""The sidebar's parts in the real front end: filters, folders, selection, menus, states, hostile files."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Route, expect

from .deck_page import PARSED_LINKS, PARSED_NODES, DeckPage
from .harness import HostServer

HOSTILE = '<img src=x onerror="alert(1)">'


@pytest.fixture(scope="module")
def library(tidy_host: HostServer) -> Iterator[HostServer]:
    """More files: one cut short, an adult one, one without preview, and one whose every text is an attack."""
    folder = tidy_host.loras / "more"
    folder.mkdir()
    good = (tidy_host.loras / "styles" / "ink_wash_v2.safetensors").read_bytes()

    def add(name: str, content: bytes = good, **sidecar: Any) -> None:
        (folder / f"{name}.safetensors").write_bytes(content)
        if sidecar:
            (folder / f"{name}.json").write_text(json.dumps(sidecar), encoding="utf-8")

    add("cut_short", good[: len(good) // 2])
    add("no_preview_here")
    add("grown_up", tags=["nsfw"])
    shutil.copyfile(tidy_host.loras / "styles" / "ink_wash_v2.png", folder / "grown_up.png")
    text = f"{HOSTILE}</script><script>alert(2)</script>"
    add(HOSTILE.replace("/", ""), description=text, tags=[text, "style"], notes=text, **{"activation text": text})
    tidy_host.post("/lora-deck/refresh", {"wait": True})
    yield tidy_host
    shutil.rmtree(folder)
    tidy_host.post("/lora-deck/refresh", {"wait": True})


@pytest.fixture(scope="module")
def page_host(library: HostServer) -> HostServer:
    return library


@pytest.fixture
def deck(deck: DeckPage) -> DeckPage:
    deck.set(Connect="ask", ActivationText=True, FlyoutDelay=-1, BlurAdult=True)
    deck.build(PARSED_NODES, PARSED_LINKS)
    deck.reset(fits=False)
    deck.open()
    return deck


def test_hostile_texts_are_texts(deck: DeckPage) -> None:
    deck.set(FlyoutDelay=0)
    card = deck.card("onerror")
    deck.hover("onerror")
    expect(deck.page.locator(".ld-fly h3")).to_contain_text("onerror")
    expect(deck.page.locator(".ld-fly script, .ld-fly img[src=x], lora-deck img[src=x]")).to_have_count(0)
    deck.page.keyboard.press("Escape")
    deck.type_in("parser")
    deck.click("onerror")
    assert deck.text("parser").startswith("a small boat on a quiet lake <lora:\\<img src=x onerror=")
    expect(card).to_have_class(re.compile("is-active"))
    card.click(button="right")
    expect(deck.page.get_by_role("menu")).to_be_visible()
    deck.page.keyboard.press("Escape")
    deck.page.locator("lora-deck").get_by_role("button", name="Filters", exact=True).click()
    expect(deck.page.get_by_role("dialog", name="Filters")).to_contain_text("onerror")
    deck.page.keyboard.press("Escape")
    deck.click("onerror")
    assert deck.text("parser") == "a small boat on a quiet lake"


def test_a_file_with_a_problem_says_what_and_is_not_inserted(deck: DeckPage) -> None:
    card = deck.card("cut_short")
    expect(card).to_contain_text("problem:File is cut short")
    expect(card).to_contain_text("Download it again")
    deck.type_in("parser")
    deck.click("cut_short")
    assert deck.text("parser") == "a small boat on a quiet lake"
    expect(deck.page.locator(".ld-strip")).to_contain_text("Download it again")


def test_adult_previews_are_blurred_until_shown(deck: DeckPage) -> None:
    card = deck.card("grown_up")
    expect(card.locator(".ld-pic")).to_have_class(re.compile("ld-blur"))
    expect(card).to_contain_text("preview hidden")
    deck.shot("sidebar-problem-blurred-placeholder")
    deck.set(FlyoutDelay=0)
    deck.hover("grown_up")
    deck.page.get_by_role("button", name="Show preview").click()
    expect(card.locator(".ld-pic")).not_to_have_class(re.compile("ld-blur"))


def test_placeholder_for_what_has_no_preview(deck: DeckPage) -> None:
    expect(deck.card("no_preview_here").locator(".ld-ph b")).to_have_text("NP")


def test_filters_count_and_narrow(deck: DeckPage) -> None:
    shown = deck.page.locator(".ld-path__n")
    expect(shown).to_have_text("12")
    deck.page.get_by_role("button", name="Filters", exact=True).click()
    popover = deck.page.get_by_role("dialog", name="Filters")
    flux = popover.get_by_role("button", name=re.compile("^Flux"))
    expect(flux).to_contain_text("1")
    deck.shot("sidebar-filters")
    flux.click()
    expect(deck.page.locator("lora-deck [role=option]")).to_have_count(1)
    expect(deck.page.get_by_role("button", name="Filters, 1 on")).to_be_visible()
    popover.get_by_role("button", name="Clear all").click()
    popover.get_by_role("button", name=re.compile("No preview")).click()
    expect(deck.card("no_preview_here")).to_be_visible()
    popover.get_by_role("button", name="Clear all").click()
    popover.get_by_role("button", name=re.compile("Has a problem")).click()
    expect(deck.page.locator("lora-deck [role=option]")).to_have_count(1)
    deck.page.keyboard.press("Escape")
    expect(popover).to_have_count(0)
    deck.page.get_by_role("group", name="Active filters").get_by_role(
        "button", name=re.compile("Has a problem")
    ).click()
    expect(shown).to_have_text("12")


def test_a_button_is_pressed_while_counts_come(deck: DeckPage) -> None:
    def press(button: Locator) -> None:
        button.hover()
        deck.page.mouse.down()
        deck.page.evaluate("() => document.querySelector('lora-deck').deck.recount()")
        deck.page.mouse.up()

    press(deck.page.get_by_role("button", name="Order: Name, ascending"))
    expect(deck.page.get_by_role("button", name="Order: Name, descending")).to_be_visible()
    deck.page.get_by_role("button", name="Filters", exact=True).click()
    press(deck.page.get_by_role("dialog", name="Filters").get_by_role("button", name=re.compile("^Flux")))
    expect(deck.page.get_by_role("button", name="Filters, 1 on")).to_be_visible()
    expect(deck.page.locator("lora-deck [role=option]")).to_have_count(1)


def test_in_this_graph(deck: DeckPage) -> None:
    deck.type_in("parser", " <lora:neon_nights:1> <lora:styles/film_grain:0.2>")
    deck.page.get_by_role("button", name="Filters", exact=True).click()
    deck.page.get_by_role("dialog", name="Filters").get_by_role("button", name=re.compile("In this graph")).click()
    expect(deck.page.locator("lora-deck [role=option]")).to_have_count(2)


def test_folders(deck: DeckPage) -> None:
    deck.page.get_by_role("button", name="Folder tree").click()
    tree = deck.page.get_by_role("tree", name="Folders")
    expect(tree.get_by_role("treeitem", name=re.compile("styles"))).to_contain_text("5")
    tree.get_by_role("treeitem", name=re.compile("characters")).click()
    expect(deck.page.locator("lora-deck [role=option]")).to_have_count(2)
    expect(deck.page.get_by_role("navigation", name="Folder").locator("[aria-current=page]")).to_have_text("characters")
    deck.shot("sidebar-tree")
    tree.get_by_role("treeitem", name=re.compile("characters")).focus()
    deck.page.keyboard.press("ArrowUp")
    deck.page.keyboard.press("Enter")
    deck.page.wait_for_timeout(500)
    assert deck.page.locator("lora-deck [role=option]").count() > 2


def test_favourites(deck: DeckPage) -> None:
    deck.card("neon_nights").click(button="right")
    deck.page.get_by_role("menuitem", name="Mark as favourite").click()
    expect(deck.card("neon_nights")).to_contain_text("favourite")
    deck.card("neon_nights").click(button="right")
    deck.page.get_by_role("menuitem", name="Unmark as favourite").click()
    expect(deck.card("neon_nights")).not_to_contain_text("favourite")


def test_several_at_once(deck: DeckPage) -> None:
    deck.type_in("parser")
    deck.set(ActivationText=False)
    with deck.gesture("parser.text"):
        deck.card("film_grain").click(modifiers=["Control"])
        deck.card("neon_nights").click()
        region = deck.page.get_by_role("region", name="Selection")
        expect(region).to_contain_text("2 selected")
        expect(deck.card("film_grain")).to_have_attribute("aria-selected", "true")
        deck.shot("sidebar-selection")
        region.get_by_role("button", name="Insert").click()
        expect(region).to_have_count(0)
        assert deck.text("parser") == "a small boat on a quiet lake <lora:film_grain:0.6> <lora:neon_nights:0.5>"


def test_keyboard_in_the_list(deck: DeckPage) -> None:
    first = deck.page.locator("lora-deck [role=option]").first
    first.focus()
    deck.page.keyboard.press("End")
    assert deck.page.evaluate("() => document.activeElement.getAttribute('aria-posinset')") == "12"
    deck.page.keyboard.press("Home")
    deck.page.keyboard.press("ArrowDown")
    assert deck.page.evaluate("() => document.activeElement.getAttribute('aria-posinset')") == "3"
    deck.page.keyboard.press(" ")
    deck.page.keyboard.press("Shift+ArrowRight")
    expect(deck.page.get_by_role("region", name="Selection")).to_contain_text("2 selected")
    deck.page.keyboard.press("Escape")
    deck.page.keyboard.press("i")
    expect(deck.page.get_by_role("searchbox")).to_have_value("i")
    assert deck.page.evaluate("() => document.activeElement.getAttribute('role')") == "searchbox"
    deck.page.keyboard.press("Escape")
    expect(deck.page.get_by_role("searchbox")).to_have_value("")


def test_the_last_image_becomes_the_preview(deck: DeckPage, library: HostServer) -> None:
    deck.run()
    deck.card("no_preview_here").click(button="right")
    deck.page.get_by_role("menuitem", name="Use last image as preview").click()
    expect(deck.card("no_preview_here").locator("img")).to_have_count(1)
    (picture,) = (library.loras / "more").glob("no_preview_here.*png")
    assert picture.read_bytes()[:4] == b"\x89PNG"
    picture.unlink()
    library.post("/lora-deck/refresh", {"wait": True})
    expect(deck.card("no_preview_here").locator(".ld-ph")).to_have_count(1)


def test_show_in_folder_tree(deck: DeckPage) -> None:
    deck.card("mira_lighthouse").click(button="right")
    deck.page.get_by_role("menuitem", name="Show in folder tree").click()
    tree = deck.page.get_by_role("tree", name="Folders")
    expect(tree.locator("[aria-selected=true]")).to_contain_text("characters")
    expect(deck.page.locator("lora-deck [role=option]")).to_have_count(2)


def test_a_name_is_spelled_so_that_it_means_this_file(deck: DeckPage, library: HostServer) -> None:
    twin = library.loras / "more" / "film_grain.safetensors"
    twin.write_bytes((library.loras / "styles" / "ink_wash_v2.safetensors").read_bytes())
    library.post("/lora-deck/refresh", {"wait": True})
    expect(deck.card("film_grain")).to_have_count(2)
    deck.set(ActivationText=False)
    deck.type_in("parser")
    deck.page.locator('lora-deck [role=option][title="more/film_grain.safetensors"]').click()
    deck.settled()
    assert deck.text("parser").endswith("<lora:more/film_grain:1>")
    marked = deck.page.locator("lora-deck [role=option].is-active")
    expect(marked).to_have_count(1)
    expect(marked).to_have_attribute("title", "more/film_grain.safetensors")
    twin.unlink()
    library.post("/lora-deck/refresh", {"wait": True})
    expect(deck.card("film_grain")).to_have_count(1)


def test_list_and_sizes(deck: DeckPage) -> None:
    for size in ("List", "Small cards", "Large cards"):
        deck.page.get_by_role("button", name="View and order").click()
        deck.page.get_by_role("menuitemradio", name=size).click()
        deck.page.wait_for_timeout(300)
        assert deck.page.locator("lora-deck [role=option]").count() >= 3
        deck.shot(f"sidebar-{size.split()[0].lower()}")
    deck.page.get_by_role("button", name="View and order").click()
    deck.page.get_by_role("menuitemradio", name="Size").click()
    expect(deck.page.get_by_role("button", name="Order: Size, descending")).to_be_visible()


def test_offline_and_back(deck: DeckPage) -> None:
    deck.page.route("**/lora-deck/**", lambda route: route.abort())
    deck.page.get_by_role("searchbox").fill("neon")
    alert = deck.page.get_by_role("alert").filter(has_text="ComfyUI does not answer")
    expect(alert).to_be_visible()
    deck.shot("sidebar-offline")
    deck.page.unroute("**/lora-deck/**")
    alert.get_by_role("button", name="Try now").click()
    expect(alert).to_have_count(0)
    expect(deck.page.locator("lora-deck [role=option]")).to_have_count(1)


def test_empty_and_working(deck: DeckPage) -> None:
    def nothing(route: Route) -> None:
        route.fulfill(json={"total": 0, "offset": 0, "revision": 1, "items": []})

    deck.page.route("**/lora-deck/loras?**", nothing)
    deck.reset(fits=False, order="added")
    expect(deck.page.get_by_text("No LoRAs yet")).to_be_visible()
    expect(deck.page.locator(".ld-paths code").first).to_contain_text("loras")
    deck.shot("sidebar-empty")
    work = {"running": True, "paused": False, "off": False, "done": 312, "total": 1284, "bytes": 1, "total_bytes": 9}
    tell = "hash => window.comfyAPI.api.api.dispatchCustomEvent('lora-deck.hash', hash)"
    deck.page.evaluate(tell, {**work, "bytes_per_second": 4.12e8, "seconds_left": 170})
    bar = deck.page.get_by_role("progressbar", name="Hashing")
    expect(bar).to_have_attribute("aria-valuenow", "312")
    expect(bar).to_have_attribute("aria-valuetext", re.compile("312 of 1,284 · 412 MB/s · 3 min left"))
    deck.page.evaluate(tell, {"running": False})
    scan = "scan => window.comfyAPI.api.api.dispatchCustomEvent('lora-deck.scan', scan)"
    deck.page.evaluate(scan, {"phase": "reading", "done": 1000, "total": 9000})
    deck.page.wait_for_timeout(1500)
    deck.page.evaluate(scan, {"phase": "reading", "done": 2000, "total": 9000})
    bar = deck.page.get_by_role("progressbar", name="Looking for LoRAs")
    expect(bar).to_have_attribute("aria-valuetext", re.compile(r"2,000 of 9,000.* · 1\d s left"))
    deck.page.unroute("**/lora-deck/loras?**")
    deck.page.evaluate(scan, {"phase": "idle", "done": 0, "total": 0})


def test_a_new_file_appears_by_itself(deck: DeckPage, library: HostServer) -> None:
    new = library.loras / "more" / "just_arrived.safetensors"
    shutil.copyfile(library.loras / "styles" / "film_grain.safetensors", new)
    deck.page.get_by_role("button", name="Look for new files").click()
    expect(deck.card("just_arrived")).to_be_visible(timeout=15000)
    new.unlink()
    deck.page.get_by_role("button", name="Look for new files").click()
    expect(deck.card("just_arrived")).to_have_count(0, timeout=15000)
