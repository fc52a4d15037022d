"""`LoraStackRows` in the real front end: what hands do to its rows, in both ways of drawing."""

from __future__ import annotations

import json

from playwright.sync_api import expect

from .canvas_page import (
    GRAIN,
    INK,
    NEON,
    centre,
    depth,
    drag,
    forget_steps,
    names,
    one_step,
    prompt,
    row,
    rows,
    rows_value,
    settle,
    value,
    with_stack,
    workflow,
)
from .deck_page import PARSED_LINKS, PARSED_NODES, DeckPage
from .harness import HostServer


def build(deck: DeckPage, *given: dict[str, object]) -> None:
    nodes, links = with_stack(*given)
    deck.build(nodes, links)
    forget_steps(deck)


def test_rows_say_what_they_are(deck: DeckPage) -> None:
    build(deck, INK, GRAIN, NEON)
    grid = deck.page.get_by_role("grid", name="LoRAs of this stack")
    expect(grid.get_by_role("row")).to_have_count(3)
    expect(deck.page.get_by_role("group", name="LoRA stack, 3 LoRAs")).to_contain_text("2 on")
    for name in ("ink_wash_v2, 0.8", "film_grain, te 0.3, unet 0.7, blocks OUTALL, rank 8", "neon_nights, off, 1.2"):
        expect(grid.get_by_role("row", name=name, exact=True)).to_be_visible()
    deck.shot(f"rows-{deck.mode}")


def test_a_weight_is_dragged_and_typed(deck: DeckPage) -> None:
    build(deck, INK, GRAIN)
    before = deck.graph()
    field = deck.page.get_by_role("spinbutton", name="weight of ink_wash_v2")
    x, y = centre(field)
    drag(deck, (x, y), (x + 16, y))
    assert [rows(deck)[0][k] for k in ("te", "unet")] == [1, 1]
    one_step(deck, before, 0)
    deck.page.mouse.move(x, y)
    deck.page.mouse.wheel(0, 200)
    deck.page.get_by_role("spinbutton", name="unet of film_grain").click()
    deck.page.keyboard.type("-0,35")
    deck.page.keyboard.press("Enter")
    settle(deck)
    assert rows(deck)[1] == {**GRAIN, "unet": -0.35} and rows(deck)[0]["te"] == 1
    assert deck.page.evaluate("() => document.activeElement.dataset.at") == "1/row"
    deck.page.mouse.move(x, y)
    deck.page.mouse.down()
    deck.page.mouse.move(x - 40, y, steps=5)
    deck.page.keyboard.press("Escape")
    deck.page.mouse.up()
    settle(deck)
    assert rows(deck)[0]["te"] == 1


def test_link_opens_and_joins(deck: DeckPage) -> None:
    build(deck, INK)
    link = deck.page.get_by_role("button", name="te and unet of ink_wash_v2 together")
    expect(link).to_have_attribute("aria-pressed", "true")
    link.click()
    te = deck.page.get_by_role("spinbutton", name="te of ink_wash_v2")
    expect(te).to_be_visible()
    te.click()
    deck.page.keyboard.type("0.3")
    deck.page.keyboard.press("Tab")
    settle(deck)
    assert rows(deck)[0] == {**INK, "te": 0.3}
    before = deck.graph()
    steps = depth(deck)
    link.click()
    settle(deck)
    assert rows(deck)[0] == INK
    one_step(deck, before, steps)


def test_keys_on_a_row(deck: DeckPage) -> None:
    build(deck, INK, GRAIN, NEON)
    graph = [n for n in deck.graph()["nodes"] if n[0] != "rows"]
    row(deck, "film_grain").focus()
    press = deck.page.keyboard.press
    for key, want in [
        ("ArrowRight", {"te": 0.35, "unet": 0.75}),
        ("Shift+ArrowLeft", {"te": 0.34, "unet": 0.74}),
        ("Space", {"on": False}),
    ]:
        press(key)
        settle(deck, 150)
        assert {k: rows(deck)[1][k] for k in want} == want, key
    press("Alt+ArrowUp")
    settle(deck, 150)
    assert names(deck) == ["film_grain", "ink_wash_v2", "neon_nights"]
    press("ArrowDown")
    press("Delete")
    settle(deck, 150)
    assert names(deck) == ["film_grain", "neon_nights"]
    assert deck.page.evaluate("() => document.activeElement.dataset.at") == "1/row"
    press("0")
    deck.page.keyboard.type(".5")
    press("Enter")
    settle(deck)
    assert rows(deck)[1]["te"] == rows(deck)[1]["unet"] == 0.5
    for _ in range(2):
        press("Delete")
        settle(deck, 150)
    assert names(deck) == [] and [n for n in deck.graph()["nodes"] if n[0] != "rows"] == graph
    assert deck.page.evaluate("() => document.activeElement.dataset.at") == "add"
    for _ in range(8):
        deck.undo()
    assert rows(deck) == [INK, GRAIN, NEON]


def test_the_handle_moves_a_row(deck: DeckPage) -> None:
    build(deck, INK, GRAIN, NEON)
    before = deck.graph()
    handle = row(deck, "ink_wash_v2").locator(".ld-rw__g")
    last = row(deck, "neon_nights").bounding_box()
    assert last is not None
    start = centre(handle)
    deck.page.mouse.move(*start)
    deck.page.mouse.down()
    deck.page.mouse.move(start[0], last["y"] + last["height"] - 4, steps=6)
    expect(deck.page.locator(".ld-ins")).to_have_count(1)
    deck.page.mouse.up()
    settle(deck)
    assert names(deck) == ["film_grain", "neon_nights", "ink_wash_v2"]
    expect(deck.page.locator(".ld-ins")).to_have_count(0)
    one_step(deck, before, 0)


def test_escape_puts_a_lifted_row_back(deck: DeckPage) -> None:
    build(deck, INK, GRAIN, NEON)
    before = deck.graph()
    x, y = centre(row(deck, "ink_wash_v2").locator(".ld-rw__g"))
    deck.page.mouse.move(x, y)
    deck.page.mouse.down()
    deck.page.mouse.move(x, y + 70, steps=6)
    expect(deck.page.locator(".ld-ins")).to_have_count(1)
    deck.page.keyboard.press("Escape")
    expect(deck.page.locator(".ld-ins, .is-lifted")).to_have_count(0)
    deck.page.mouse.move(x, y + 40, steps=3)
    expect(deck.page.locator(".ld-ins")).to_have_count(0)
    deck.page.mouse.up()
    settle(deck)
    assert deck.graph() == before and depth(deck) == 0


def test_switches_and_the_whole_stack(deck: DeckPage) -> None:
    build(deck, INK, NEON)
    deck.page.get_by_role("switch", name="neon_nights on").click()
    deck.page.get_by_role("switch", name="Whole stack on").click()
    settle(deck)
    assert value(deck, "rows") == rows_value(INK, {**NEON, "on": True}, on=False)
    expect(deck.page.get_by_role("group", name="LoRA stack, 2 LoRAs")).to_contain_text("stack is off")
    assert depth(deck) == 2


def test_the_menu_of_a_row(deck: DeckPage) -> None:
    build(deck, INK)
    before = deck.graph()

    def choose(name: str) -> None:
        deck.page.get_by_role("button", name="More for ink_wash_v2").first.click()
        deck.page.get_by_role("menu", name="Actions for ink_wash_v2").get_by_role("menuitem", name=name).click()

    choose("Rank…")
    expect(deck.page.get_by_role("textbox", name="Rank at most")).to_have_css("text-align", "end")
    deck.page.get_by_role("textbox", name="Rank at most").fill("eight")
    deck.page.keyboard.press("Enter")
    expect(deck.page.get_by_role("textbox", name="Rank at most")).to_be_focused()
    deck.page.get_by_role("textbox", name="Rank at most").fill("8")
    deck.page.keyboard.press("Enter")
    settle(deck)
    assert rows(deck) == [{**INK, "dyn": 8}]
    one_step(deck, before, 0)
    choose("Hires weight…")
    deck.page.get_by_role("textbox", name="unet").fill("0.4")
    deck.page.get_by_role("button", name="Set", exact=True).click()
    settle(deck)
    assert rows(deck) == [{**INK, "dyn": 8, "hr_unet": 0.4}]
    choose("Duplicate")
    settle(deck)
    assert rows(deck) == [{**INK, "dyn": 8, "hr_unet": 0.4}] * 2
    choose("Remove")
    settle(deck)
    deck.page.get_by_role("button", name="rank 8").click()
    deck.page.get_by_role("button", name="Clear").click()
    settle(deck)
    assert rows(deck) == [{**INK, "hr_unet": 0.4}]


def test_add_searches_the_library(deck: DeckPage) -> None:
    build(deck)
    before = deck.graph()
    deck.page.get_by_role("button", name="Add LoRA").click()
    search = deck.page.get_by_role("combobox", name="Search LoRAs to add")
    expect(search).to_be_focused()
    deck.page.keyboard.type("ink")
    expect(deck.page.get_by_role("dialog", name="Add LoRA").get_by_role("option")).to_have_count(1)
    deck.page.keyboard.press("Enter")
    settle(deck)
    assert rows(deck) == [INK]
    one_step(deck, before, 0)
    deck.page.get_by_role("button", name="Add LoRA").click()
    deck.page.keyboard.type("grain")
    expect(deck.page.get_by_role("dialog").get_by_role("option")).to_have_count(1)
    deck.page.keyboard.press("Shift+Enter")
    deck.page.keyboard.type("neon")
    expect(deck.page.get_by_role("option", name="neon_nights")).to_be_visible()
    deck.page.get_by_role("option", name="neon_nights").click()
    settle(deck)
    assert names(deck) == ["ink_wash_v2", "film_grain", "neon_nights"]
    expect(deck.page.get_by_role("dialog")).to_have_count(0)


def test_enter_takes_what_is_typed_and_not_what_is_listed(deck: DeckPage) -> None:
    build(deck)
    deck.page.get_by_role("button", name="Add LoRA").click()
    expect(deck.page.get_by_role("dialog").get_by_role("option").first).to_be_visible()
    deck.page.get_by_role("combobox", name="Search LoRAs to add").fill("mira")
    deck.page.keyboard.press("Enter")
    expect(row(deck, "mira_lighthouse")).to_be_visible()
    assert names(deck) == ["mira_lighthouse"]


def test_the_picture_is_that_of_the_same_tags(deck: DeckPage) -> None:
    build(deck, INK, {**GRAIN, "lbw": "MIDD"}, NEON)
    stacked = deck.run()
    deck.build(PARSED_NODES, PARSED_LINKS)
    text = "a small boat on a quiet lake<lora:ink_wash_v2:0.8><lora:film_grain:0.3:0.7:8:lbw=MIDD>"
    deck.page.evaluate("t => { app.graph._nodes.find(n => n.title === 'parser').widgets[0].value = t }", text)
    assert deck.run() == stacked
    build(deck, INK, NEON)
    assert deck.run() != stacked


def test_rows_to_tags_and_back(deck: DeckPage) -> None:
    build(deck, INK, GRAIN, NEON)
    menu(deck, "Copy as tags")
    copied = deck.page.evaluate("() => navigator.clipboard.readText()")
    assert copied == "<lora:ink_wash_v2:0.8> <lora:film_grain:0.3:0.7:8:lbw=OUTALL>"
    build(deck)
    before = deck.graph()
    menu(deck, "Add rows from tags…")
    deck.page.get_by_role("textbox", name="Add rows from tags…").fill(f"a cat {copied}, x")
    deck.page.keyboard.press("Control+Enter")
    settle(deck)
    assert rows(deck) == [INK, GRAIN]
    one_step(deck, before, 0)


def test_show_in_sidebar(deck: DeckPage) -> None:
    build(deck, INK)
    menu(deck, "Show in sidebar")
    expect(deck.page.get_by_role("searchbox", name="Search LoRAs")).to_have_value("ink_wash_v2")
    expect(deck.page.locator("lora-deck [role=option]")).to_have_count(1)
    deck.reset()
    deck.page.click('nav button[aria-label^="LoRA Deck"]')


def test_copies_and_files_keep_everything(deck: DeckPage) -> None:
    odd = {**GRAIN, "extra": [["start", "5"]], "later": {"k": [1, 2]}}
    build(deck, INK, odd)
    deck.page.evaluate("""() => { app.canvas.deselectAll?.()
        app.canvas.select(app.graph._nodes.find(n => n.title === "rows")) }""")
    deck.page.locator("#graph-canvas").focus()
    deck.page.keyboard.press("Control+c")
    deck.page.keyboard.press("Control+v")
    settle(deck, 600)
    copies = deck.page.evaluate("""() => app.graph._nodes.filter(n => n.type === "LoraStackRows")
        .map(n => n.widgets[0].value)""")
    assert copies == [rows_value(INK, odd)] * 2
    build(deck, INK, odd)
    load(deck, workflow(deck))
    saved = workflow(deck)
    load(deck, saved)
    assert stable(workflow(deck)) == stable(saved)
    api = prompt(deck)
    (sent,) = [node["inputs"]["rows"] for node in api.values() if node["class_type"] == "LoraStackRows"]
    assert sent == rows_value(INK, odd)


def test_a_row_whose_file_is_gone_is_marked_and_kept(deck: DeckPage, tidy_host: HostServer) -> None:
    source = tidy_host.loras / "styles" / "film_grain.safetensors"
    source = next(p for p in tidy_host.loras.rglob("film_grain*.safetensors")) if not source.exists() else source
    build(deck, INK, {**GRAIN, "name": "short_lived"})
    target = source.with_name("short_lived.safetensors")
    target.write_bytes(source.read_bytes())
    try:
        tidy_host.post("/lora-deck/refresh", {"wait": True})
        expect(row(deck, "short_lived")).not_to_contain_text("Not on this machine")
        expect(row(deck, "short_lived")).to_contain_text("SD1")
    finally:
        target.unlink()
        tidy_host.post("/lora-deck/refresh", {"wait": True})
    saved = workflow(deck)
    expect(row(deck, "short_lived")).to_contain_text("Not on this machine")
    load(deck, saved)
    expect(row(deck, "short_lived")).to_contain_text("Not on this machine")
    assert rows(deck) == [INK, {**GRAIN, "name": "short_lived"}]
    deck.page.get_by_role("button", name="1 needs a look").click()
    row(deck, "short_lived").get_by_role("button", name="Locate…").click()
    deck.page.get_by_role("combobox", name="Search LoRAs to add").fill("neon")
    expect(deck.page.get_by_role("option", name="neon_nights")).to_be_visible()
    deck.page.keyboard.press("Enter")
    settle(deck)
    assert rows(deck) == [INK, {**GRAIN, "name": "neon_nights"}]


def test_what_is_not_understood_stays(deck: DeckPage) -> None:
    later = {"lora_deck": 2, "rows": [{"name": "x"}], "more": True}
    nodes, links = with_stack()
    nodes["rows"] = ("LoraStackRows", (420, 290), (340, 330), {"rows": later})
    deck.build(nodes, links)
    expect(deck.page.locator(".ld-rw__e")).to_contain_text("not understood")
    assert value(deck, "rows") == later


def test_tags_in_a_workflow_are_rows(deck: DeckPage) -> None:
    nodes, links = with_stack()
    nodes["rows"] = ("LoraStackRows", (420, 290), (340, 330), {"rows": "<lora:ink_wash_v2:0.8>"})
    deck.build(nodes, links)
    expect(row(deck, "ink_wash_v2, 0.8")).to_be_visible()
    assert value(deck, "rows") == "<lora:ink_wash_v2:0.8>"


def menu(deck: DeckPage, entry: str) -> None:
    """Chooses an entry of the host's menu of the node with rows, opened at its title."""
    box = deck.page.evaluate("""() => { const n = app.graph._nodes.find(n => n.title === "rows")
        const c = app.canvas.canvas.getBoundingClientRect(), { scale, offset } = app.canvas.ds
        return [c.x + (n.pos[0] + offset[0] + 90) * scale, c.y + (n.pos[1] - 14 + offset[1]) * scale] }""")
    deck.page.mouse.click(*box, button="right")
    settle(deck)
    item = deck.page.get_by_text(entry, exact=True)
    if not item.count():
        deck.page.get_by_text("Extensions", exact=True).last.hover()
    item.last.click()
    settle(deck)


def load(deck: DeckPage, saved: object) -> None:
    deck.page.evaluate("async saved => { await app.loadGraphData(JSON.parse(saved)) }", json.dumps(saved))
    settle(deck, 900)


def stable(saved: dict[str, object]) -> object:
    """A workflow without what counts on with every load."""
    return {**saved, "extra": None, "last_node_id": None, "id": None, "revision": None}
