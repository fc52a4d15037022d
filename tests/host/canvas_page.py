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
