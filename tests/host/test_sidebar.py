"""The sidebar in the real front end: what a click does to graph, undo history and picture, in both ways of drawing."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from .deck_page import LINKS, NODES, PARSED_LINKS, PARSED_NODES, DeckPage, changed, differences


@pytest.fixture
def deck(deck: DeckPage) -> DeckPage:
    deck.set(Connect="ask", ActivationText=True, Separator=" ", NameInserted="file")
    return deck


def parsed(deck: DeckPage) -> None:
    deck.build(PARSED_NODES, PARSED_LINKS)
    deck.open()
    deck.reset()


def test_cards_say_what_they_are(deck: DeckPage) -> None:
    deck.build()
    deck.open()
    deck.reset(fits=False)
    names = deck.names()
    assert len(names) == 8
    assert any(re.fullmatch(r"ink_wash_v2 ?SD1 ?preferred weight ?0\.8", name) for name in names), names
    expect(deck.page.get_by_role("listbox", name="LoRAs")).to_be_visible()
    deck.shot("sidebar-grid")


def test_click_puts_in_and_takes_out_exactly(deck: DeckPage) -> None:
    parsed(deck)
    deck.type_in("parser")
    before = deck.saved()
    with deck.gesture("parser.text", "negative.text"):
        deck.click("ink_wash_v2")
        assert deck.text("parser") == "a small boat on a quiet lake <lora:ink_wash_v2:0.8> ink wash, rice paper"
        assert deck.text("negative") == "photo (photo, glossy:1)"
        expect(deck.card("ink_wash_v2").locator(".ld-mark--on")).to_contain_text("0.8")
    with deck.gesture("parser.text", "negative.text"):
        deck.click("ink_wash_v2")
        # But for what a run leaves: sizes of nodes that show what it says, and the record of its files.
        assert {p for p in changed(before[0], deck.saved()[0]) if "." in p or "->" in p} <= {"apply.lock"}
    expect(deck.card("ink_wash_v2").locator(".ld-mark--on")).to_have_count(0)


@pytest.mark.parametrize(
    "tag",
    ["<lora:ink_wash_v2:-0.4>", "<lora:ink_wash_v2:0.5:0.3:8>", "<lyco:INK_WASH_V2:lbw=OUTALL:0.2>",
     "<lora:styles/ink_wash_v2:te=0.1:unet=1:hr=0>", "<lora:ink_wash_v2>"],
)  # fmt: skip
def test_a_tag_typed_by_hand_is_seen_and_comes_out_alone(deck: DeckPage, tag: str) -> None:
    parsed(deck)
    deck.type_in("parser", f" {tag} ink wash, rice paper, <lora:film_grain:1> calm")
    expect(deck.card("ink_wash_v2")).to_have_class(re.compile("is-active"))
    deck.click("ink_wash_v2")
    assert deck.text("parser") == "a small boat on a quiet lake, <lora:film_grain:1> calm"


def test_the_caret_counts_and_tags_are_not_torn(deck: DeckPage) -> None:
    parsed(deck)
    deck.type_in("parser")
    for _ in range(len(" on a quiet lake") + 2):
        deck.page.keyboard.press("ArrowLeft")
    deck.set(ActivationText=False)
    deck.click("film_grain")
    assert deck.text("parser") == "a small boat <lora:film_grain:0.6> on a quiet lake"
    deck.click("film_grain")
    assert deck.text("parser") == "a small boat on a quiet lake"


def test_enter_does_what_a_click_does_and_nothing_typed_reaches_the_graph(deck: DeckPage) -> None:
    parsed(deck)
    deck.type_in("parser")
    before = deck.graph()
    deck.page.evaluate("() => app.canvas.selectItems?.(app.graph._nodes)")
    deck.card("ink_wash_v2").focus()
    for key in ("Delete", "Backspace", "Control+a", "r", "Escape", "Escape", "Escape"):
        deck.page.keyboard.press(key)
    deck.reset()
    assert deck.graph() == before
    with deck.gesture("parser.text", "negative.text"):
        deck.card("ink_wash_v2").focus()
        deck.page.keyboard.press("Enter")
        deck.settled()
        assert "<lora:ink_wash_v2:0.8>" in deck.text("parser")
        assert deck.page.evaluate("() => document.activeElement.getAttribute('role')") == "option"


def test_a_click_outlives_a_change_of_the_list(deck: DeckPage) -> None:
    parsed(deck)
    deck.type_in("parser")
    deck.hover("film_grain")
    deck.page.mouse.down()
    deck.page.evaluate("""async () => {
        const { deck } = document.querySelector("lora-deck")
        deck.setMarks(new Map(deck.list.pages.get(0).map(card => [card.id, "9"])))
        deck.list.renew()
        while (deck.list.running.size) await new Promise(requestAnimationFrame)
    }""")
    deck.page.mouse.up()
    deck.settled()
    assert "<lora:film_grain:0.6>" in deck.text("parser")


def test_connecting_the_classic_checkpoint_workflow(deck: DeckPage) -> None:
    deck.build()
    deck.open()
    deck.reset()
    plain = deck.run()
    deck.type_in("positive")
    before = deck.saved()
    deck.click("ink_wash_v2")
    assert deck.saved() == before
    go = deck.page.get_by_role("group", name="Connect this prompt").get_by_role("button", name="Insert and connect")
    go.hover()
    expect(deck.page.locator(".ld-drop--new")).to_have_count(2)
    deck.shot("sidebar-connect-ask")
    go.click()
    deck.settled()
    parser, apply = "Prompt → LoRA stack", "Apply LoRA stack"
    kept = [list(link) for link in LINKS[3:]]
    assert deck.links() == sorted([
        *kept, ["checkpoint", 0, apply, "model"], ["checkpoint", 1, apply, "clip"], [parser, 1, apply, "stack"],
        [parser, 0, "positive", "text"], [apply, 0, "sampler", "model"], [apply, 1, "positive", "clip"],
        [apply, 1, "negative", "clip"]])  # fmt: skip
    assert deck.text(parser) == "a small boat on a quiet lake <lora:ink_wash_v2:0.8> ink wash, rice paper"
    expect(deck.card("ink_wash_v2")).to_have_class(re.compile("is-active"))
    after = deck.saved()
    others = {c for c in changed(before[0], after[0]) if "->" not in c and parser not in c and apply not in c}
    assert others == {"negative.text"}
    deck.shot("sidebar-connected")
    deck.undo()
    assert differences(before, deck.saved()) == []
    deck.redo()
    assert differences(after, deck.saved()) == []
    assert deck.run() != plain
    with deck.gesture(f"{parser}.text", "negative.text"):
        deck.click("neon_nights")
        assert "<lora:neon_nights:0.5>" in deck.text(parser)
    assert not deck.page.get_by_role("group", name="Connect this prompt").count()


def test_connecting_separate_loaders_with_a_model_node_between(deck: DeckPage) -> None:
    deck.page.evaluate("() => app.loadGraphData()")
    deck.page.wait_for_timeout(1200)
    kinds = {n[1] for n in deck.graph()["nodes"]}
    assert {"UNETLoader", "CLIPLoader", "ModelSamplingAuraFlow"} <= kinds
    deck.page.evaluate("""() => { for (const n of app.graph._nodes)
        n.title = n.type + (n.type === "CLIPTextEncode" && n.outputs[0].links.some(
            id => app.graph.getLink(id).target_slot === 2) ? " negative" : "") }""")
    deck.open()
    deck.reset(fits=False)
    before = deck.links()
    deck.type_in("CLIPTextEncode")
    deck.click("ink_wash_v2")
    deck.page.get_by_role("button", name="Insert and connect").click()
    deck.settled()
    parser, apply = "Prompt → LoRA stack", "Apply LoRA stack"
    moved = [["UNETLoader", 0, "ModelSamplingAuraFlow", "model"], ["CLIPLoader", 0, "CLIPTextEncode", "clip"],
             ["CLIPLoader", 0, "CLIPTextEncode negative", "clip"]]  # fmt: skip
    assert all(link in before for link in moved)
    assert deck.links() == sorted([
        *[link for link in before if link not in moved],
        ["UNETLoader", 0, apply, "model"], ["CLIPLoader", 0, apply, "clip"], [parser, 1, apply, "stack"],
        [parser, 0, "CLIPTextEncode", "text"], [apply, 0, "ModelSamplingAuraFlow", "model"],
        [apply, 1, "CLIPTextEncode", "clip"], [apply, 1, "CLIPTextEncode negative", "clip"]])  # fmt: skip
    after = deck.saved()
    deck.undo()
    assert deck.links() == before
    deck.redo()
    assert deck.saved() == after


def test_connecting_without_being_asked(deck: DeckPage) -> None:
    deck.build()
    deck.open()
    deck.reset()
    deck.set(Connect="connect")
    deck.type_in("positive")
    parser, apply = "Prompt → LoRA stack", "Apply LoRA stack"
    new = (parser, apply)
    with deck.gesture(
        "-checkpoint 0 -> sampler model", "-checkpoint 1 -> positive clip", "-checkpoint 1 -> negative clip",
        "+checkpoint 0 -> Apply LoRA stack model", "+checkpoint 1 -> Apply LoRA stack clip",
        f"+{parser} 0 -> positive text", f"+{parser} 1 -> {apply} stack", f"+{apply} 0 -> sampler model",
        f"+{apply} 1 -> positive clip", f"+{apply} 1 -> negative clip", "negative.text", *(f"+{node}" for node in new),
        *(f"+{parser}.{widget}" for widget in ("text", "weight_order", "repeats")),
        *(f"+{apply}.{widget}" for widget in deck.widgets("LoraStackApply")),
    ):  # fmt: skip
        deck.click("film_grain")
        assert deck.text(parser) == "a small boat on a quiet lake <lora:film_grain:0.6> film grain, faded print"
    assert not deck.page.get_by_role("group", name="Connect this prompt").count()


def test_insert_only_and_remembering(deck: DeckPage) -> None:
    deck.build()
    deck.open()
    deck.reset()
    deck.type_in("positive")
    links = deck.links()
    deck.click("film_grain")
    question = deck.page.get_by_role("group", name="Connect this prompt")
    question.get_by_role("checkbox", name="Do the same next time").check()
    question.get_by_role("button", name="Insert only").click()
    deck.settled()
    assert deck.links() == links and "<lora:film_grain:0.6>" in deck.text("positive")
    # Nothing reads it there, which is what was asked for.
    with deck.gesture("positive.text", "negative.text", picture=False):
        deck.click("neon_nights")
    assert not question.count() and "<lora:neon_nights:0.5>" in deck.text("positive")


def test_a_second_prompt_joins_the_apply_that_is_there(deck: DeckPage) -> None:
    deck.build({**PARSED_NODES}, PARSED_LINKS)
    deck.open()
    deck.reset()
    deck.type_in("negative")
    deck.click("film_grain")
    before = deck.saved()
    deck.page.get_by_role("button", name="Insert and connect").click()
    deck.settled()
    after = deck.saved()
    deck.undo()
    assert deck.saved() == before
    deck.redo()
    assert deck.saved() == after
    new = "Prompt → LoRA stack"
    links = deck.links()
    assert ["parser", 1, new, "stack"] in links and [new, 1, "apply", "stack"] in links
    assert [new, 0, "negative", "text"] in links and ["parser", 1, "apply", "stack"] not in links
    assert sum(n[1] == "LoraStackApply" for n in deck.graph()["nodes"]) == 1


def test_a_text_that_comes_from_another_node(deck: DeckPage) -> None:
    deck.build({**NODES, "show": ("PreviewAny", (420, 820), (300, 90), {})},
               [*LINKS, ("checkpoint", 0, "show", "source"), ("show", 0, "positive", "text")])  # fmt: skip
    deck.open()
    deck.reset()
    deck.page.evaluate("() => app.canvas.selectItems?.([app.graph._nodes.find(n => n.title === 'positive')])")
    before = deck.graph()
    deck.click("film_grain")
    assert deck.graph() == before


def test_the_host_s_tabs_have_no_close_button_here(deck: DeckPage) -> None:
    parsed(deck)
    expect(deck.page.get_by_role("button", name="Close sidebar")).to_have_count(0)


def test_search_narrows_as_typed_and_survives_closing(deck: DeckPage) -> None:
    parsed(deck)
    deck.page.get_by_role("searchbox", name="Search LoRAs").click()
    deck.page.keyboard.type("ink")
    expect(deck.page.locator("lora-deck [role=option]")).to_have_count(1)
    deck.page.click('nav button[aria-label^="LoRA Deck"]')
    expect(deck.page.locator("lora-deck")).to_have_count(0)
    deck.page.click('nav button[aria-label^="LoRA Deck"]')
    expect(deck.page.get_by_role("searchbox", name="Search LoRAs")).to_have_value("ink")
    expect(deck.page.locator("lora-deck [role=option]")).to_have_count(1)
    deck.page.get_by_role("searchbox", name="Search LoRAs").fill("inkwsh")
    expect(deck.page.locator(".ld-blank h3")).to_contain_text("inkwsh")
    deck.shot("sidebar-no-hits")
    deck.page.get_by_role("button", name="Clear search and filters").click()
    expect(deck.page.locator("lora-deck [role=option]")).to_have_count(7)


VIEW = """() => { const { grid, tools, list } = document.querySelector("lora-deck").deck
    return [grid.element.scrollTop, grid.size, list.total, tools.tree.childElementCount, tools.path.innerText,
        [...tools.chips.children].map(chip => chip.innerText + chip.getAttribute("aria-pressed"))] }"""


def test_view_filters_and_scroll_survive_closing(deck: DeckPage) -> None:
    parsed(deck)
    deck.reset(fits=False, size="large", families=["LoRA"], order="size", descending=True, tree=True)
    deck.page.evaluate("() => { document.querySelector('lora-deck').deck.grid.element.scrollTop = 600 }")
    deck.page.wait_for_timeout(300)
    before = deck.page.evaluate(VIEW)
    assert before[:2] == [600, "large"] and before[3] == 1 and "LoRAtrue" in before[5]
    for tab in ("lora-deck", "model-library"):
        deck.page.evaluate("tab => app.extensionManager.sidebarTab.toggleSidebarTab(tab)", tab)
        expect(deck.page.locator("lora-deck")).to_have_count(0)
        deck.open()
        deck.page.wait_for_function(f"before => JSON.stringify(({VIEW})()) === before", arg=json.dumps(before,
            separators=(",", ":"), ensure_ascii=False))  # fmt: skip


def test_other_tabs_leave_nothing_of_the_deck_behind(deck: DeckPage) -> None:
    parsed(deck)
    deck.page.evaluate("""() => { if (!window.otherTab) app.extensionManager.registerSidebarTab({
        id: "other", title: "Other", icon: "pi pi-star", type: "custom", render(el) { el.append("other tab") } })
        window.otherTab = true; app.extensionManager.sidebarTab.toggleSidebarTab("other") }""")
    deck.page.wait_for_timeout(300)
    expect(deck.page.locator("lora-deck")).to_have_count(0)
    deck.page.evaluate("() => app.extensionManager.sidebarTab.toggleSidebarTab('model-library')")
    deck.page.wait_for_timeout(300)
    expect(deck.page.locator("lora-deck")).to_have_count(0)
    deck.open()
    expect(deck.page.locator("lora-deck")).to_have_count(1)


def test_fits_the_checkpoint_says_what_it_hides(deck: DeckPage) -> None:
    deck.build()
    deck.open()
    deck.reset()
    chip = deck.page.get_by_role("button", name=re.compile("Fits SD1"))
    expect(chip).to_have_attribute("aria-pressed", "true")
    expect(chip).to_contain_text("1 hidden")
    assert not any("velvet_dusk_flux" in name for name in deck.names())
    deck.page.get_by_role("button", name="Show them").click()
    expect(deck.card("velvet_dusk_flux")).to_be_visible()
    expect(chip).to_have_attribute("aria-pressed", "false")
