"""Nodes of the deck in a real front end: graphs to work on, and what a hand sees of them."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Locator

from .deck_page import LINKS, NODES, DeckPage

INK = {"on": True, "name": "ink_wash_v2", "te": 0.8, "unet": 0.8}
GRAIN = {"on": True, "name": "film_grain", "te": 0.3, "unet": 0.7, "dyn": 8, "lbw": "OUTALL"}
NEON = {"on": False, "name": "neon_nights", "te": 1.2, "unet": 1.2}


def rows_value(*rows: dict[str, Any], on: bool = True) -> dict[str, Any]:
    return {"lora_deck": 1, "on": on, "rows": list(rows)}


def with_stack(*rows: dict[str, Any], height: int = 330) -> tuple[dict[str, Any], list[Any]]:
    """A workflow that makes a picture, with a `LoraStackRows` and an Apply."""
    nodes = {
        **NODES,
        "rows": ("LoraStackRows", (420, 290), (340, height), {"rows": rows_value(*rows)}),
        "apply": ("LoraStackApply", (800, 80), (300, 140), {}),
    }
    links = [
        ("checkpoint", 0, "apply", "model"), ("checkpoint", 1, "apply", "clip"), ("rows", 0, "apply", "stack"),
        ("apply", 1, "positive", "clip"), ("apply", 1, "negative", "clip"), ("apply", 0, "sampler", "model"),
        *LINKS[3:],
    ]  # fmt: skip
    return nodes, links


VALUE = """([title, name]) => {
    const root = app.rootGraph ?? app.graph, all = [root, ...(root.subgraphs?.values() ?? [])]
    return all.flatMap(g => g._nodes).find(n => n.title === title)?.widgets?.find(w => w.name === name)?.value }"""
DEPTH = "() => app.extensionManager.workflow.activeWorkflow.changeTracker.undoQueue.length"


def value(deck: DeckPage, title: str, name: str = "rows") -> Any:
    return deck.page.evaluate(VALUE, [title, name])


def rows(deck: DeckPage, title: str = "rows") -> list[dict[str, Any]]:
    return list(value(deck, title)["rows"])


def names(deck: DeckPage, title: str = "rows") -> list[str]:
    return [row["name"] for row in rows(deck, title)]


def depth(deck: DeckPage) -> int:
    return int(deck.page.evaluate(DEPTH))


def settle(deck: DeckPage, ms: int = 350) -> None:
    """Waits for the drawing that follows a gesture."""
    deck.page.wait_for_timeout(ms)


def row(deck: DeckPage, name: str) -> Locator:
    return deck.page.get_by_role("row", name=name)


def drag(deck: DeckPage, start: tuple[float, float], end: tuple[float, float], steps: int = 8) -> None:
    mouse = deck.page.mouse
    mouse.move(*start)
    mouse.down()
    mouse.move(*end, steps=steps)
    deck.page.wait_for_timeout(60)
    mouse.up()
    settle(deck)


def centre(locator: Locator) -> tuple[float, float]:
    box = locator.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def prompt(deck: DeckPage) -> dict[str, Any]:
    """What Run would send."""
    sent = deck.page.evaluate("async () => JSON.stringify((await app.graphToPrompt()).output)")
    return dict(json.loads(sent))


def workflow(deck: DeckPage) -> Any:
    """What Save would write, sizes and all."""
    return json.loads(deck.page.evaluate("() => JSON.stringify((app.rootGraph ?? app.graph).serialize())"))


def one_step(deck: DeckPage, before: Any, depth_before: int) -> None:
    """What was done is one step: one undo gives `before`, one redo gives what there was.

    The host itself counts sizes that it measured, and the order of a run, as a step before it.
    """
    after = deck.graph()
    assert after != before
    assert depth(deck) > depth_before
    deck.undo()
    assert deck.graph() == before
    deck.redo()
    assert deck.graph() == after
    settle(deck)


def start(deck: DeckPage, nodes: Any, links: Any) -> None:
    """A workflow beside the open deck, with nothing to undo."""
    deck.build(nodes, links)
    deck.open()
    deck.reset()
    forget_steps(deck)


def forget_steps(deck: DeckPage) -> None:
    """Empties the undo history once the host has measured what was drawn."""
    settle(deck, 900)
    deck.page.evaluate("""() => { const t = app.extensionManager.workflow.activeWorkflow.changeTracker
        ;(t.captureCanvasState ?? t.checkState).call(t); t.undoQueue.length = t.redoQueue.length = 0 }""")


def place(deck: DeckPage, title: str, dx: float, dy: float) -> tuple[float, float]:
    """A place in a node, in the window."""
    x, y = deck.page.evaluate(
        """([title, dx, dy]) => { const n = app.canvas.graph._nodes.find(n => n.title === title)
        const { scale, offset } = app.canvas.ds
        const c = app.canvas.canvas.getBoundingClientRect()
        return [c.x + (n.pos[0] + offset[0] + dx) * scale, c.y + (n.pos[1] + offset[1] + dy) * scale] }""",
        [title, dx, dy],
    )
    return x, y


def slot(deck: DeckPage, title: str, name: str = "", output: int = -1) -> tuple[float, float]:
    """A node's input by its name, or an output, in the window."""
    x, y = deck.page.evaluate(
        """([title, name, output]) => { const n = app.canvas.graph._nodes.find(n => n.title === title)
        const at = output < 0 ? n.getInputPos(n.inputs.findIndex(i => i.name === name)) : n.getOutputPos(output)
        const { scale, offset } = app.canvas.ds
        const c = app.canvas.canvas.getBoundingClientRect()
        return [c.x + (at[0] + offset[0]) * scale, c.y + (at[1] + offset[1]) * scale] }""",
        [title, name, output],
    )
    return x, y


def drag_card(deck: DeckPage, card: str, to: tuple[float, float]) -> list[str]:
    """Drags a card; what the target said meanwhile."""
    mouse, option = deck.page.mouse, deck.card(card)
    option.scroll_into_view_if_needed()
    box = option.bounding_box()
    assert box is not None
    # Below the action bar, which lies over the card's upper edge.
    mouse.move(box["x"] + 60, box["y"] + 100)
    mouse.down()
    mouse.move(box["x"] + 80, box["y"] + 120, steps=3)
    mouse.move(to[0] - 15, to[1] - 10, steps=4)
    mouse.move(*to, steps=4)
    deck.page.wait_for_timeout(300)
    said = deck.page.locator(".ld-drop__t").all_text_contents()
    mouse.up()
    settle(deck, 600)
    # A step that adds nodes ends when their sizes are known.
    deck.page.wait_for_function("() => !app.extensionManager.workflow.activeWorkflow.changeTracker.changeCount")
    settle(deck, 100)
    assert deck.page.locator(".ld-drop__t").count() == 0
    return said
