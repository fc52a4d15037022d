"""The deck's panels in nodes have the host's own colours there, and every text of theirs can be read."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from .canvas_page import GRAIN, INK, NEON, rows_value, settle, with_stack
from .colours import contrasts, ground
from .deck_page import DeckPage

PANELS = (".ld-rw", ".ld-wid:has(.ld-eq)", ".ld-name1", ".ld-repbox", ".ld-look")
GONE = {"on": True, "name": "nowhere", "te": 1, "unet": 1}


@pytest.fixture
def deck(deck: DeckPage) -> DeckPage:
    """Every panel there is, with something to warn of, beside a prompt of the host."""
    nodes, links = with_stack(INK)
    nodes["rows"] = ("LoraStackRows", (20, 480), (360, 330), {"rows": rows_value(INK, GRAIN, NEON, GONE)})
    nodes["blocks"] = ("BlockWeight", (400, 480), (360, 330), {"blocks": "ALL"})
    nodes["add"] = ("LoraStackAdd", (20, 40), (300, 140), {"lora_name": "neon_nights"})
    nodes["apply"] = ("LoraStackApply", (790, 40), (320, 140), {"missing": "warn"})
    nodes["inspect"] = ("LoraInspect", (1140, 480), (360, 120), {})
    links = [link for link in links if link[0] != "rows"]
    links += [
        ("add", 0, "rows", "stack"), ("rows", 0, "blocks", "stack"), ("blocks", 0, "apply", "stack"),
        ("add", 0, "inspect", "stack"), ("checkpoint", 0, "inspect", "model"),
    ]  # fmt: skip
    deck.build(nodes, links)
    deck.run()
    for panel in PANELS:
        expect(deck.page.locator(panel)).to_be_visible()
    return deck


def assert_colours(deck: DeckPage) -> None:
    for palette in ("light", "solarized", "dark"):
        deck.page.evaluate("name => app.extensionManager.setting.set('Comfy.ColorPalette', name)", palette)
        settle(deck, 700)
        own = ground(deck.page, "[data-node-id] textarea" if deck.mode == "nodes2" else ".dom-widget textarea")
        assert {panel: ground(deck.page, panel) for panel in PANELS} == dict.fromkeys(PANELS, own), palette
        found = contrasts(deck.page, ".ld-wid, .ld-look")
        assert {"te 1 · unet 1", "ink_wash_v2", "0.80", "ALL", "not applied"} <= {text for text, _ in found}
        assert [each for each in found if each[1] < 4.5] == [], palette


def test_panels_have_the_colours_of_the_hosts_widgets(deck: DeckPage) -> None:
    assert_colours(deck)
