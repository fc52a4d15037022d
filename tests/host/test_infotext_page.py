"""A picture of A1111's, dropped on the real front end, in both ways of drawing nodes."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect

from ..sharing import texts
from .deck_page import PARSED_LINKS, PARSED_NODES, DeckPage
from .harness import HostServer
from .test_prompt_to_image import INK
from .test_save_infotext import addnet, saved

DROP = """([content, name, type, x, y]) => {
    const bytes = Uint8Array.from(atob(content), c => c.charCodeAt(0))
    const data = new DataTransfer()
    data.items.add(new File([bytes], name, { type }))
    const target = document.elementFromPoint(x, y)
    const how = { bubbles: true, cancelable: true, composed: true, dataTransfer: data, clientX: x, clientY: y }
    for (const kind of ["dragenter", "dragover", "drop"]) target.dispatchEvent(new DragEvent(kind, how))
}"""
RAN = "() => app.graph._nodes.map(n => n.type).sort()"
DECK_NODES = [
    "CLIPTextEncode", "CLIPTextEncode", "CheckpointLoaderSimple", "EmptyLatentImage", "KSampler", "LoraStackApply",
    "PromptLoraParser", "SaveImageInfotext", "VAEDecode",
]  # fmt: skip


@pytest.fixture(scope="module")
def page_host(host: HostServer) -> HostServer:
    return host


@pytest.fixture
def deck(deck: DeckPage) -> Iterator[DeckPage]:
    deck.set(A1111Picture="ask", LoraHashes=True)
    deck.build(PARSED_NODES, PARSED_LINKS)
    yield deck
    deck.page.evaluate("() => document.querySelectorAll('.ld-choose').forEach(e => e.parentElement.remove())")


def text(host: HostServer, hires: str = "") -> str:
    own = addnet(host.loras / INK)
    return (
        "a harbour <lora:gone_name:0.5:0.75> dawn\nNegative prompt: fog\n"
        "Steps: 3, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 4.5, Seed: 77, Size: 64x96, "
        f'Model: lora_deck_demo, {hires}Lora hashes: "gone_name: {own}", Version: v1.10.1'
    )


def drop(deck: DeckPage, content: bytes, x: float = 160, y: float = 760, kind: str = "png") -> None:
    encoded = base64.b64encode(content).decode()
    deck.page.evaluate(DROP, [encoded, f"00042-77.{kind}", f"image/{kind}", x, y])


def known(host: HostServer) -> None:
    """The library knows a file's hash once it was used."""
    assert host.queue(saved("x <lora:ink_wash_v2:0.5>", save_filename_prefix="known")).ok


def kinds(deck: DeckPage) -> list[str]:
    return list(deck.page.evaluate(RAN))


def values(deck: DeckPage, kind: str, which: int = -1) -> dict[str, Any]:
    found = deck.page.evaluate(
        "([kind, which]) => { const n = app.graph._nodes.filter(n => n.type === kind).at(which)\n"
        "return JSON.stringify(Object.fromEntries((n.widgets ?? []).map(w => [w.name, w.value]))) }", [kind, which],
    )  # fmt: skip
    return dict(json.loads(found))


def test_the_chooser_asks_before_anything_changes(deck: DeckPage, host: HostServer) -> None:
    known(host)
    before = deck.graph()
    drop(deck, texts.png(parameters=text(host)))
    box = deck.page.get_by_role("dialog", name="A1111 picture")
    expect(box).to_be_visible()
    expect(box.get_by_role("list", name="LoRAs in this picture")).to_contain_text("ink_wash_v2")
    expect(box).to_contain_text("found by hash")
    expect(box).to_contain_text("named gone_name in the picture")
    expect(box).to_contain_text("64 × 96 · 3 steps · DPM++ 2M Karras")
    expect(box.get_by_role("button", name="Open with LoRA Deck")).to_be_focused()
    deck.shot("infotext-drop")
    assert deck.graph() == before
    deck.page.keyboard.press("Escape")
    expect(box).to_have_count(0)
    assert deck.graph() == before


def test_open_with_lora_deck_is_one_step_beside_what_is_there_and_runs(deck: DeckPage, host: HostServer) -> None:
    known(host)
    before = deck.graph()
    drop(deck, texts.with_comment("JPEG", b"UNICODE\0" + text(host).encode("utf-16-be")), kind="jpeg")
    deck.page.get_by_role("button", name="Open with LoRA Deck").click()
    deck.page.wait_for_function("() => app.graph._nodes.some(n => n.type === 'SaveImageInfotext')")
    after = deck.graph()
    assert [kind for kind in kinds(deck) if kind not in [n[1] for n in before["nodes"]]] == ["SaveImageInfotext"]
    assert len(after["nodes"]) == len(before["nodes"]) + len(DECK_NODES)
    assert all(link in after["links"] for link in before["links"])
    assert values(deck, "PromptLoraParser")["text"] == "a harbour <lora:ink_wash_v2:0.5:0.75> dawn"
    sampler = values(deck, "KSampler")
    assert {key: sampler[key] for key in ("seed", "steps", "cfg", "sampler_name", "scheduler", "denoise")} == {
        "seed": 77, "steps": 3, "cfg": 4.5, "sampler_name": "dpmpp_2m", "scheduler": "karras", "denoise": 1,
    }  # fmt: skip
    assert values(deck, "CLIPTextEncode")["text"] == "fog"
    latent = values(deck, "EmptyLatentImage")
    assert (latent["width"], latent["height"]) == (64, 96)
    deck.page.wait_for_timeout(400)
    deck.shot("infotext-opened")
    deck.undo()
    assert deck.graph() == before
    deck.redo()
    assert deck.graph() == after

    deck.page.evaluate(
        "count => app.graph._nodes.slice(0, count).forEach(n => app.graph.remove(n))", len(before["nodes"])
    )
    picture = deck.run_file()
    expected = host.queue(saved("a harbour <lora:ink_wash_v2:0.5:0.75> dawn", seed=77, steps=3) | _sampling())
    shown = np.asarray(_pixels(picture))
    assert np.array_equal(shown, host.images(expected, "image")[0])


def _sampling() -> dict[str, Any]:
    graph = saved("a harbour <lora:ink_wash_v2:0.5:0.75> dawn", seed=77, steps=3)
    graph["sampler"]["inputs"] |= {"cfg": 4.5, "sampler_name": "dpmpp_2m", "scheduler": "karras"}
    graph["negative"]["inputs"]["text"] = "fog"
    graph["negative"]["inputs"]["clip"] = ["apply", 1]
    graph["latent"]["inputs"] |= {"width": 64, "height": 96}
    return {key: graph[key] for key in ("sampler", "negative", "latent")}


def _pixels(content: bytes) -> Any:
    import io

    from PIL import Image

    return Image.open(io.BytesIO(content)).convert("RGB")


def test_a_hires_pass_becomes_a_second_sampler(deck: DeckPage, host: HostServer) -> None:
    known(host)
    deck.set(A1111Picture="deck")
    more = "Denoising strength: 0.4, Hires upscale: 2, Hires steps: 2, Hires upscaler: Latent, "
    more += 'Hires prompt: "a harbour <lora:gone_name:0.25> dawn", '
    drop(deck, texts.png(parameters=text(host, more)))
    deck.page.wait_for_function("() => app.graph._nodes.some(n => n.type === 'SaveImageInfotext')")
    assert kinds(deck).count("LoraStackApply") == 3 and kinds(deck).count("LatentUpscale") == 1
    assert values(deck, "LatentUpscale")["width"] == 128
    second = values(deck, "KSampler")
    assert (second["steps"], second["denoise"]) == (2, 0.4)
    assert values(deck, "LoraStackApply")["sampling_pass"] == "hires"
    assert "hr=0.25" in values(deck, "PromptLoraParser")["text"]


def test_dropped_on_a_parser_it_fills_that_node_in_one_step(deck: DeckPage, host: HostServer) -> None:
    known(host)
    before = deck.graph()
    drop(deck, texts.png(parameters=text(host).replace("dawn", "dawn <lora:gone_name:0.1>")), 900, 400)
    deck.page.wait_for_function(
        "() => app.graph._nodes.some(n => n.widgets?.some(w => String(w.value).includes('harbour')))"
    )
    assert deck.text("parser") == "a harbour <lora:ink_wash_v2:0.5:0.75> dawn <lora:ink_wash_v2:0.1>"
    filled = values(deck, "PromptLoraParser")
    assert (filled["weight_order"], filled["repeats"]) == ("a1111", "a1111")
    assert deck.links() == before["links"] and deck.page.locator(".ld-choose").count() == 0
    deck.page.wait_for_timeout(300)
    deck.undo()
    assert deck.graph() == before


@pytest.mark.parametrize("way", ["chosen", "setting"])
def test_as_comfyui_does_is_left_to_it_whole(deck: DeckPage, host: HostServer, way: str) -> None:
    deck.set(A1111Picture="comfy" if way == "setting" else "ask")
    drop(deck, texts.png(parameters=text(host)))
    if way == "chosen":
        deck.page.get_by_role("button", name="Open as ComfyUI does").click()
    deck.page.wait_for_function("() => !app.graph._nodes.some(n => n.type === 'PromptLoraParser')")
    assert "KSampler" in kinds(deck)


def test_other_pictures_are_the_hosts(deck: DeckPage, host: HostServer) -> None:
    workflow = {"nodes": [], "links": [], "version": 0.4, "last_node_id": 0, "last_link_id": 0}
    drop(deck, texts.png(workflow=json.dumps(workflow), parameters=text(host)))
    deck.page.wait_for_function("() => app.graph._nodes.length === 0")
    assert deck.page.locator(".ld-choose").count() == 0


def test_the_setting_is_the_default_of_new_savers(deck: DeckPage) -> None:
    deck.set(LoraHashes=False)
    made = "() => LiteGraph.createNode('SaveImageInfotext').widgets.find(w => w.name === 'lora_hashes').value"
    assert deck.page.evaluate(made) is False
    deck.set(LoraHashes=True)
    assert deck.page.evaluate(made) is True
