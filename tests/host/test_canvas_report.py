"""What an Apply did, drawn on its node, and what bars show of it, in both ways of drawing."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Error, Locator, expect

from .canvas_page import INK, rows_value, settle, value, with_stack, workflow
from .deck_page import DeckPage

GRAIN = {"on": True, "name": "film_grain", "te": 0.3, "unet": 0.7, "dyn": 4}
GONE = {"on": True, "name": "nowhere", "te": 1, "unet": 1}
SILENT = {"on": True, "name": "neon_nights", "te": 0, "unet": 0}


def build(deck: DeckPage, *given: dict[str, object], missing: str = "error", inspect: bool = False) -> None:
    nodes, links = with_stack(*given)
    nodes["rows"] = ("LoraStackRows", (40, 500), (340, 300), {"rows": rows_value(*given)})
    nodes["blocks"] = ("BlockWeight", (420, 290), (360, 330), {"blocks": "ALL"})
    nodes["apply"] = ("LoraStackApply", (800, 80), (300, 140), {"missing": missing})
    nodes["sampler"] = (nodes["sampler"][0], (1160, 80), *nodes["sampler"][2:])
    links = [link for link in links if link[0] != "rows"]
    links += [("rows", 0, "blocks", "stack"), ("blocks", 0, "apply", "stack")]
    if inspect:
        nodes["inspect"] = ("LoraInspect", (40, 860), (300, 120), {})
        links += [("blocks", 0, "inspect", "stack"), ("checkpoint", 0, "inspect", "model")]
    deck.build(nodes, links)
    settle(deck, 900)


def apply(deck: DeckPage) -> Any:
    """The Apply's node as Save would write it."""
    (found,) = [node for node in workflow(deck)["nodes"] if node["title"] == "apply"]
    return found


def report(deck: DeckPage) -> Locator:
    return deck.page.get_by_role("region", name="Apply report")


def test_every_file_has_its_line(deck: DeckPage) -> None:
    build(deck, INK, GRAIN, SILENT, GONE, missing="warn")
    expect(report(deck)).to_have_count(0)
    deck.run()
    lines = report(deck).locator(".ld-rep > li")
    expect(lines).to_have_count(4)
    expect(lines.nth(0)).to_contain_text("ink_wash_v2")
    expect(lines.nth(0)).to_contain_text("te 0.8 · unet 0.8")
    expect(lines.nth(0)).to_contain_text("120 of 120 modules · LoRA, rank 16")
    expect(lines.nth(1)).to_contain_text("48 of 48 modules")
    expect(lines.nth(2)).to_contain_text("weight 0, not applied")
    expect(lines.nth(3)).to_contain_text("not applied")
    expect(lines.nth(3)).to_contain_text("nowhere")
    expect(report(deck)).to_contain_text("2 of 4 applied")
    expect(report(deck)).to_contain_text("pass: first")
    deck.shot(f"report-{deck.mode}")


def test_a_note_of_no_file_is_shown_whole(deck: DeckPage) -> None:
    build(deck, {**INK, "lbw": "OUTALL"})
    deck.run()
    note = report(deck).locator("li").filter(has_text="Block weight")
    expect(note).to_have_text("Block weight: ink_wash_v2 has 'ALL' instead of its own lbw='OUTALL'.")
    expect(note.locator("b")).to_be_visible()


def test_the_rest_is_folded(deck: DeckPage) -> None:
    build(deck, INK, GRAIN)
    deck.run()
    settle(deck)
    saved = apply(deck)
    detail = report(deck).get_by_text("48 in the model, 72 in the text encoder")
    expect(detail).to_be_hidden()
    report(deck).get_by_text("ink_wash").first.click()
    expect(detail).to_be_visible()
    box, frame = detail.bounding_box(), report(deck).bounding_box()
    assert box and frame and box["y"] + box["height"] < frame["y"] + frame["height"]
    report(deck).get_by_text("ink_wash").first.click()
    expect(detail).to_be_hidden()
    settle(deck)
    assert apply(deck) == saved


def test_it_is_no_part_of_the_workflow_and_survives_undo(deck: DeckPage) -> None:
    build(deck, INK)
    deck.run()
    expect(report(deck)).to_be_visible()
    values = apply(deck)["widgets_values"]
    assert len(values) == len(deck.widgets("LoraStackApply")) and values[:2] == ["first", "error"]
    deck.page.get_by_role("switch", name="ink_wash_v2 on").click()
    settle(deck)
    assert value(deck, "rows")["rows"][0]["on"] is False
    deck.undo()
    settle(deck, 900)
    expect(report(deck)).to_contain_text("ink_wash_v2")
    after = workflow(deck)
    deck.page.mouse.click(900, 800)
    settle(deck)
    assert workflow(deck) == after
    deck.redo()
    settle(deck, 900)
    assert value(deck, "rows")["rows"][0]["on"] is False
    deck.run()
    expect(report(deck)).to_contain_text("nothing was applied")


def test_a_run_that_fails_says_why_in_its_place(deck: DeckPage) -> None:
    build(deck, INK)
    deck.run()
    expect(report(deck)).to_contain_text("1 of 1 applied")
    deck.page.get_by_role("button", name="Add LoRA").click()
    deck.page.get_by_role("combobox", name="Search LoRAs to add").fill("velvet")
    expect(deck.page.get_by_role("dialog").get_by_role("option", name="velvet_dusk_flux")).to_be_visible()
    deck.page.keyboard.press("Enter")
    settle(deck)
    with pytest.raises(Error, match="velvet_dusk_flux"):
        deck.run()
    expect(report(deck)).to_contain_text("Nothing was applied")
    expect(report(deck)).to_contain_text("velvet_dusk_flux")
    expect(report(deck)).not_to_contain_text("1 of 1 applied")


def test_bars_show_what_the_loras_lack_and_where_they_are_strong(deck: DeckPage) -> None:
    build(deck, {**GRAIN, "dyn": None}, inspect=True)
    none = deck.page.locator(".ld-eq .is-none")
    expect(none).to_have_count(0)
    expect(deck.page.locator(".ld-eq")).to_have_class("ld-eq is-plain")
    deck.run()
    expect(none).to_have_count(2)
    lacking = [each.get_attribute("data-id") for each in none.all()]
    assert lacking == ["BASE", "IN00"]
    expect(deck.page.locator(".ld-eq")).to_have_class("ld-eq")
    shares = {
        bar.get_attribute("data-id"): float(bar.evaluate("b => b.style.getPropertyValue('--e')"))
        for bar in deck.page.locator(".ld-eq [role=slider]").all()
    }
    assert max(shares.values()) == 1 and shares["IN00"] == 0 and all(shares[b] > 0 for b in ("IN01", "M00", "OUT00"))
    deck.shot(f"strength-{deck.mode}")
