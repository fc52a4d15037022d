"""A workflow that leaves one browser with a lock and finds its LoRAs in another one, under other names."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from .deck_page import PARSED_LINKS, PARSED_NODES, DeckPage
from .elsewhere import GRAIN, INK, MIRA, THERE
from .test_sharing import hashed

if TYPE_CHECKING:
    from .harness import HostServer

TEXT = f"a boat <lora:{INK}:0.5:0.75>, <lora:{GRAIN}:0.80>"
FOUND = "a boat <lora:brush 07:0.5:0.75>, <lora:korn:0.80>"
NODES = {**PARSED_NODES, "parser": (*PARSED_NODES["parser"][:3], {"text": TEXT})}
OPEN = "workflow => app.loadGraphData(workflow)"
DROP = """data => app.handleFile(new File([Uint8Array.from(atob(data), c => c.charCodeAt(0))], "shared.png",
    { type: "image/png" }))"""
STATES = """() => { const t = app.extensionManager.workflow.activeWorkflow.changeTracker
    return [...t.undoQueue, t.activeState] }"""
BADGES = """title => (app.graph._nodes.find(n => n.title === title).badges ?? [])
    .map(b => (typeof b === "function" ? b() : b).text).filter(text => text.includes("LoRA"))"""


@pytest.fixture(scope="module")
def shared(browser: Browser, host: HostServer) -> tuple[bytes, dict[str, Any]]:
    """A picture made on the first machine, as a file, and its text chunks."""
    deck = DeckPage(browser, hashed(host), **{"Comfy.VueNodes.Enabled": False})
    try:
        deck.build(NODES, PARSED_LINKS)
        picture = deck.run_file()
        chunks = {k: json.loads(v) for k, v in Image.open(io.BytesIO(picture)).text.items()}  # type: ignore[attr-defined]
        # The lock is no step of its own in the undo history.
        assert all(lock_in(state) == lock_in(chunks["workflow"]) for state in deck.page.evaluate(STATES))
        assert deck.errors == []
        return picture, chunks
    finally:
        deck.close()


@pytest.fixture(params=[False, True], ids=["classic", "vue"])
def there(browser: Browser, elsewhere: HostServer, request: pytest.FixtureRequest) -> Iterator[DeckPage]:
    deck = DeckPage(browser, elsewhere, **{"Comfy.VueNodes.Enabled": request.param})
    yield deck
    deck.close()
    assert deck.errors == []


def lock_in(workflow: dict[str, Any]) -> dict[str, Any]:
    apply = next(node for node in workflow["nodes"] if node["type"] == "LoraStackApply")
    lock: dict[str, Any] = json.loads(apply["widgets_values"][2])
    return lock


def test_both_chunks_of_the_picture_carry_the_lock(shared: tuple[bytes, dict[str, Any]]) -> None:
    _, chunks = shared
    lock = lock_in(chunks["workflow"])
    assert [entry["name"] for entry in lock["entries"]] == [INK, GRAIN]
    assert all(entry["autov2"] and entry["autov3"] for entry in lock["entries"])
    (apply,) = (node for node in chunks["prompt"].values() if node["class_type"] == "LoraStackApply")
    assert json.loads(apply["inputs"]["lock"]) == lock


def test_a_saved_workflow_carries_the_lock(browser: Browser, host: HostServer) -> None:
    deck = DeckPage(browser, hashed(host), **{"Comfy.VueNodes.Enabled": False})
    try:
        deck.build(NODES, PARSED_LINKS)
        saving = deck.page.evaluate_handle("""() => ({ done: app.extensionManager.workflow.activeWorkflow
            && app.extensionManager.command.execute("Comfy.SaveWorkflowAs") })""")
        field = deck.page.locator("[role=dialog] input").first
        field.fill("locked")
        field.press("Enter")
        deck.page.evaluate("saving => saving.done", saving)
        saved = json.loads(host.request("GET", "/api/userdata/workflows%2Flocked.json").body)
        assert [entry["name"] for entry in lock_in(saved)["entries"]] == [INK, GRAIN]
        assert deck.errors == []
    finally:
        deck.close()


def test_a_dropped_picture_finds_its_loras_and_gives_the_same_picture(
    there: DeckPage, shared: tuple[bytes, dict[str, Any]]
) -> None:
    picture, _ = shared
    there.page.evaluate(DROP, base64.b64encode(picture).decode())
    expect(there.page.get_by_text("2 LoRAs were found under other names").first).to_be_visible()
    assert there.text("parser") == FOUND
    assert there.page.locator("[role=dialog]").count() == 0
    again = there.run_file()
    pixels = [np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in (picture, again)]
    assert np.array_equal(*pixels)
    text = json.loads(Image.open(io.BytesIO(again)).text["workflow"])  # type: ignore[attr-defined]
    assert [entry["name"] for entry in lock_in(text)["entries"]] == ["brush 07", "korn"]


@pytest.fixture(scope="module")
def nested(browser: Browser, host: HostServer) -> bytes:
    """A picture of a graph whose stack lies in a subgraph, behind a loader of the host's own."""
    deck = DeckPage(browser, hashed(host), **{"Comfy.VueNodes.Enabled": False})
    try:
        loader = ("LoraLoaderModelOnly", (420, 300), (300, 100), {"lora_name": "neon_nights.safetensors"})
        links = [link for link in PARSED_LINKS if link[0] != "checkpoint" or link[3] != "model"]
        links += [("checkpoint", 0, "loader", "model"), ("loader", 0, "apply", "model")]
        deck.build({**NODES, "loader": loader}, links)
        deck.page.evaluate("""() => app.graph.convertToSubgraph(
            new Set(app.graph._nodes.filter(n => ["parser", "apply"].includes(n.title))))""")
        return deck.run_file()
    finally:
        deck.close()


def test_a_subgraph_and_the_hosts_own_loader(there: DeckPage, nested: bytes) -> None:
    there.page.evaluate(DROP, base64.b64encode(nested).decode())
    expect(there.page.get_by_text("3 LoRAs were found under other names").first).to_be_visible()
    found = there.page.evaluate("""() => [app.graph._nodes.find(n => n.title === "loader").widgets[0].value,
        [...app.graph.subgraphs.values()][0]._nodes.find(n => n.title === "parser").widgets[0].value]""")
    assert found == ["Pinsel/nacht (1).safetensors", FOUND]
    again = there.run_file()
    pixels = [np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in (nested, again)]
    assert np.array_equal(*pixels)


PROMPT_LOCK = """async () => { const made = await app.graphToPrompt()
    return Object.values(made.output).find(n => n.class_type === "LoraStackApply").inputs.lock }"""


def test_settings_of_what_leaves(there: DeckPage, host: HostServer) -> None:
    fresh = there.host.loras / f"fresh{there.page.evaluate('() => Number(LiteGraph.vueNodesMode)')}.safetensors"
    fresh.write_bytes((host.loras / f"{MIRA}.safetensors").read_bytes() + b" ")
    there.set(HashAtQueue=False, OtherContent="error")
    try:
        text = f"a boat <lora:{fresh.stem}:0.5>"
        there.build({**PARSED_NODES, "parser": (*PARSED_NODES["parser"][:3], {"text": text})}, PARSED_LINKS)
        lock = json.loads(there.page.evaluate(PROMPT_LOCK))
        assert "autov2" not in lock["entries"][0] and lock["other_content"] == "error"
        there.set(HashAtQueue=True, OtherContent="warn")
        lock = json.loads(there.page.evaluate(PROMPT_LOCK))
        assert lock["entries"][0]["autov2"] and "other_content" not in lock
        there.page.evaluate("""() => window.comfyAPI.api.api.dispatchCustomEvent("lora-deck.lock",
            { bytes: 1e9, total_bytes: 4e9, files: 2 })""")
        bar = there.page.get_by_role("progressbar", name="Hashing LoRAs of this workflow")
        expect(bar).to_have_attribute("aria-valuenow", "25")
        expect(bar).to_contain_text("Hashing 2 LoRAs")
        there.page.evaluate("""() => window.comfyAPI.api.api.dispatchCustomEvent("lora-deck.lock",
            { bytes: 4e9, total_bytes: 4e9, files: 2 })""")
        expect(bar).to_have_count(0)
    finally:
        there.set(HashAtQueue=True, OtherContent="warn")
        fresh.unlink()


def test_what_needs_a_person(there: DeckPage, shared: tuple[bytes, dict[str, Any]]) -> None:
    _, chunks = shared
    page = there.page
    lock = lock_in(chunks["workflow"])
    ink, grain = lock["entries"]
    gone = {**ink, "name": "styles/gone", "path": "styles/gone.safetensors", "autov2": "5e81aa0c77",
            "autov3": "91f0c2d4b6aa"}  # fmt: skip
    differing = {**gone, "name": MIRA}
    lock["entries"] = [gone, differing, grain]
    workflow = json.loads(json.dumps(chunks["workflow"]))
    for node in workflow["nodes"]:
        if node["type"] == "LoraStackApply":
            node["widgets_values"][2] = json.dumps(lock)
        if node["type"] == "PromptLoraParser":
            node["widgets_values"][0] = f"a <lora:styles/gone:0.7:0.9:lbw=OUTALL> <lora:{MIRA}:0.3> <lora:{GRAIN}:1>"
    page.evaluate(OPEN, workflow)

    dialog = page.get_by_role("dialog", name="2 of 3 LoRAs need a look")
    expect(dialog).to_be_visible()
    dialog = page.get_by_role("dialog")  # its title counts what is left
    missing = dialog.locator('[data-name="styles/gone"]')
    for part in ("SD1", "te 0.7 · unet 0.9 · blocks OUTALL", "5e81aa0c77", "91f0c2d4b6aa", "the prompt in #"):
        expect(missing).to_contain_text(part)
    there.shot(f"missing-{'vue' if page.evaluate('() => LiteGraph.vueNodesMode') else 'classic'}")
    assert page.evaluate(BADGES, "parser") == ["LoRA not here"]
    if page.evaluate("() => LiteGraph.vueNodesMode"):
        expect(page.locator("[data-node-id]", has_text="LoRA not here")).to_have_count(1)
    missing.get_by_role("button", name="Copy hash of gone").click()
    assert page.evaluate("() => navigator.clipboard.readText()") == "5e81aa0c77"
    link = missing.get_by_role("link")
    assert "5e81aa0c77" in str(link.get_attribute("href")) and link.get_attribute("target") == "_blank"

    missing.get_by_role("button", name="Locate…").click()
    missing.get_by_role("searchbox").fill("brush")
    missing.get_by_role("option", name="brush 07").click()
    expect(missing).to_have_count(0)
    assert there.text("parser").startswith("a <lora:brush 07:0.7:0.9:lbw=OUTALL> <lora:characters/mira")
    assert page.evaluate(BADGES, "parser") == ["LoRA differs"]
    dialog.get_by_role("button", name="Use this one").click()
    expect(page.locator("[role=dialog]")).to_have_count(0)
    assert page.evaluate(BADGES, "parser") == []
    chosen = {e["name"]: e for e in lock_in(page.evaluate("() => app.graph.serialize()"))["entries"]}
    assert set(chosen) == {"brush 07", MIRA, "korn"} and chosen[MIRA]["autov2"] != "5e81aa0c77"

    there.undo()
    there.undo()
    assert there.text("parser").startswith("a <lora:styles/gone:0.7")
    assert page.locator("[role=dialog]").count() == 0


def test_skipped_ones_are_not_asked_about_again(there: DeckPage, shared: tuple[bytes, dict[str, Any]]) -> None:
    _, chunks = shared
    page = there.page
    workflow = json.loads(json.dumps(chunks["workflow"]).replace(INK, "styles/gone"))
    for node in workflow["nodes"]:
        if node["type"] == "LoraStackApply":
            lock = json.loads(node["widgets_values"][2])
            lock["entries"][0] |= {"autov2": "0000000000", "autov3": "000000000000"}
            node["widgets_values"][2] = json.dumps(lock)
    for _ in range(2):
        page.evaluate(OPEN, workflow)
        dialog = page.get_by_role("dialog", name="One of 2 LoRAs needs a look")
        if page.evaluate(BADGES, "parser") == ["LoRA not here"] and dialog.count():
            dialog.get_by_text("Found under another name").click()
            expect(dialog).to_contain_text(THERE[GRAIN])
            dialog.get_by_role("button", name="Skip all").click()
            expect(dialog).to_have_count(0)
    page.wait_for_timeout(500)
    assert page.locator("[role=dialog]").count() == 0 and page.evaluate(BADGES, "parser") == ["LoRA not here"]


def test_a_lock_of_a_newer_version_is_told(there: DeckPage, shared: tuple[bytes, dict[str, Any]]) -> None:
    _, chunks = shared
    workflow = json.loads(json.dumps(chunks["workflow"]))
    for node in workflow["nodes"]:
        if node["type"] == "LoraStackApply":
            node["widgets_values"][2] = '{"lora_deck_lock": 2, "entries": []}'
    there.page.evaluate(OPEN, workflow)
    expect(there.page.get_by_text("Update LoRA Deck to use them").first).to_be_visible()
    assert there.text("parser") == TEXT
