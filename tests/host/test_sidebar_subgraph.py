"""Prompts that stand on a subgraph's node: they are connected where the subgraph's own wiring is."""

from __future__ import annotations

import pytest

from .deck_page import DeckPage, differences

PARSER, APPLY = "Prompt → LoRA stack", "Apply LoRA stack"
TEXT = "a small boat on a quiet lake"
GOOD = f"{TEXT} <lora:ink_wash_v2:0.8> ink wash, rice paper"
FOLD = """async titles => {
    const { node } = app.graph.convertToSubgraph(new Set(app.graph.nodes.filter(n => titles.includes(n.title))))
    node.title = "folded"
    node.subgraph.name = "inside"
    node.pos = [760, 330]
    const tracker = app.extensionManager.workflow.activeWorkflow.changeTracker
    const saved = () => JSON.parse(JSON.stringify(app.graph.serialize()))
    for (let before = "", left = 4; left && before !== JSON.stringify(saved()); left--) {
        before = JSON.stringify(saved())
        await app.loadGraphData(saved(), false, false, app.extensionManager.workflow.activeWorkflow)
        app.canvas.ds.scale = 1
        app.canvas.ds.offset = [0, 0]
        for (let i = 0; i < 6; i++) await new Promise(requestAnimationFrame)
    }
    ;(tracker.captureCanvasState ?? tracker.checkState).call(tracker)
    tracker.undoQueue.length = tracker.redoQueue.length = 0
}"""


def fold(deck: DeckPage, *titles: str) -> None:
    """Puts nodes of the usual workflow into a subgraph, whose node shows their prompts, and clicks into the first."""
    deck.build()
    deck.open()
    deck.reset()
    deck.page.evaluate(FOLD, list(titles))
    deck.page.wait_for_function("() => app.graph.nodes.some(n => n.title === 'folded' && n.widgets?.length)")
    for area in deck.page.locator("textarea:visible").all():
        if area.input_value() == TEXT:
            area.click()
            deck.page.keyboard.press("Control+End")
            break
    else:
        raise AssertionError("the subgraph's node shows no prompt")
    deck.frames()


def connect(deck: DeckPage) -> None:
    deck.click("ink_wash_v2")
    question = deck.page.get_by_role("group", name="Connect this prompt")
    question.get_by_role("button", name="Insert and connect").click()
    deck.settled()
    assert not question.count()


def inner_links(deck: DeckPage) -> set[str]:
    return {part for part in deck.saved()[0] if "->" in part and part.startswith("inside/")}


def test_everything_inside(deck: DeckPage) -> None:
    fold(deck, "checkpoint", "positive", "negative", "latent", "sampler", "decode")
    plain = deck.run()
    before = deck.saved()
    connect(deck)
    after = deck.saved()
    assert after[0]["folded.text"] == GOOD and after[0]["folded.text_1"] == "photo (photo, glossy:1)"
    links = inner_links(deck)
    assert {
        f"inside/in 0 -> {PARSER} text", f"inside/{PARSER} 0 -> positive text", f"inside/{PARSER} 1 -> {APPLY} stack",
        f"inside/checkpoint 0 -> {APPLY} model", f"inside/{APPLY} 0 -> sampler model",
        f"inside/checkpoint 1 -> {APPLY} clip", f"inside/{APPLY} 1 -> positive clip",
        f"inside/{APPLY} 1 -> negative clip", "inside/in 1 -> negative text",
    } <= links  # fmt: skip
    deck.page.evaluate("() => document.activeElement?.blur()")
    deck.undo()
    assert differences(before, deck.saved()) == []
    deck.redo()
    assert differences(after, deck.saved()) == []
    assert deck.run() != plain
    with deck.gesture("folded.text", "folded.text_1"):
        deck.click("ink_wash_v2")
        assert deck.saved()[0]["folded.text"] == TEXT and deck.saved()[0]["folded.text_1"] == "photo"


@pytest.mark.parametrize(
    "inside", [["positive", "negative", "latent", "sampler", "decode"], ["positive"]], ids=["samples", "encodes"]
)
def test_loaders_outside(deck: DeckPage, inside: list[str]) -> None:
    fold(deck, *inside)
    plain = deck.run()
    before = deck.saved()
    within = inner_links(deck)
    connect(deck)
    after = deck.saved()
    assert after[0][f"{PARSER}.text"] == GOOD and inner_links(deck) == within
    assert {
        f"{PARSER} 0 -> folded text", f"{PARSER} 1 -> {APPLY} stack", f"checkpoint 0 -> {APPLY} model",
        f"checkpoint 1 -> {APPLY} clip", f"{APPLY} 1 -> folded clip",
        f"{APPLY} 0 -> {'folded' if len(inside) > 1 else 'sampler'} model",
    } <= set(after[0])  # fmt: skip
    deck.page.evaluate("() => document.activeElement?.blur()")
    deck.undo()
    assert differences(before, deck.saved()) == []
    deck.redo()
    assert differences(after, deck.saved()) == []
    assert deck.run() != plain


def test_a_prompt_typed_inside_is_written_where_it_stands(deck: DeckPage) -> None:
    fold(deck, "checkpoint", "positive", "negative", "latent", "sampler", "decode")
    deck.page.evaluate("() => app.canvas.openSubgraph(app.graph.nodes.find(n => n.title === 'folded').subgraph)")
    deck.page.wait_for_function("() => app.canvas.graph.nodes.some(n => n.title === 'positive')")
    deck.page.evaluate(
        """async () => {
        const own = performance.getEntriesByType("resource").map(e => e.name).find(n => n.includes("/target.mjs"))
        const node = app.canvas.graph.nodes.find(n => n.title === "positive")
        ;(await import(own)).aim({ graph: app.canvas.graph, node, widget: node.widgets[0] }) }"""
    )
    connect(deck)
    parts = deck.saved()[0]
    assert parts["folded.text"] == GOOD
    assert f"inside/in 0 -> {PARSER} text" in parts
    deck.page.evaluate("() => app.canvas.setGraph(app.rootGraph)")
