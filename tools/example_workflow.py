#!/usr/bin/env python3
"""Makes `example_workflows/` and the README's picture in the front end of a running host.

    python tools/dev.py demo --port 8288          (in another terminal)
    .dev/hosts/0.30.0/venv/bin/python tools/example_workflow.py http://127.0.0.1:8288

Run it again after a node changes, and look at the pictures before committing them.
"""

from __future__ import annotations

import json
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = "/usr/bin/chromium"
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
READY = """() => { const em = window.app?.extensionManager;
    return em && em.spinner === false && em.workflow?.activeWorkflow?.changeTracker && app.canvas?.graph }"""

PROMPT = "a small boat on a quiet lake, ink wash, rice paper\n<lora:ink_wash_v2:0.8> <lora:film_grain:0.4:0.6>"

# id → (class, position, size, widget values by name)
NODES: dict[str, tuple[str, tuple[int, int], tuple[int, int], dict[str, Any]]] = {
    "checkpoint": ("CheckpointLoaderSimple", (20, 60), (300, 120), {"ckpt_name": "lora_deck_demo.safetensors"}),
    "parser": ("PromptLoraParser", (20, 240), (400, 240), {"text": PROMPT}),
    "apply": ("LoraStackApply", (470, 60), (340, 210), {}),
    "report": ("PreviewAny", (470, 640), (400, 200), {}),
    "positive": ("CLIPTextEncode", (470, 330), (340, 90), {}),
    "negative": ("CLIPTextEncode", (470, 470), (340, 110), {"text": "photo, glossy"}),
    "latent": ("EmptyLatentImage", (20, 540), (300, 130), {"width": 256, "height": 256}),
    "sampler": ("KSampler", (860, 60), (300, 290), {"seed": 11, "steps": 8, "cfg": 7.0, "sampler_name": "euler"}),
    "decode": ("VAEDecode", (860, 410), (220, 60), {}),
    "image": ("SaveImage", (1210, 60), (340, 420), {"filename_prefix": "lora_deck"}),
}
LINKS = [
    ("checkpoint", 0, "apply", "model"), ("checkpoint", 1, "apply", "clip"), ("parser", 1, "apply", "stack"),
    ("parser", 0, "positive", "text"), ("apply", 1, "positive", "clip"), ("apply", 1, "negative", "clip"),
    ("apply", 0, "sampler", "model"), ("positive", 0, "sampler", "positive"), ("negative", 0, "sampler", "negative"),
    ("latent", 0, "sampler", "latent_image"), ("sampler", 0, "decode", "samples"), ("checkpoint", 2, "decode", "vae"),
    ("decode", 0, "image", "images"), ("apply", 2, "report", "source"),
]  # fmt: skip

BUILD = """async ([nodes, links]) => {
    app.graph.clear()
    const made = {}
    for (const [id, [type, pos, size, values]] of Object.entries(nodes)) {
        const node = LiteGraph.createNode(type)
        app.canvas.graph.add(node)
        node.pos = pos
        node.setSize(size)
        for (const [name, value] of Object.entries(values)) {
            const widget = node.widgets.find(w => w.name === name)
            widget.value = value
            widget.callback?.(value)
        }
        const fixed = node.widgets?.find(w => w.name === "control_after_generate")
        if (fixed) fixed.value = "fixed"
        made[id] = node
    }
    for (const [from, slot, to, input] of links) made[from].connect(slot, made[to], input)
    app.canvas.ds.scale = 1
    app.canvas.ds.offset = [0, 0]
    app.canvas.setDirty(true, true)
    return JSON.stringify(app.graph.serialize())
}"""

RUN = """() => new Promise((done, failed) => {
    const { api } = window.comfyAPI.api
    api.addEventListener("execution_success", () => done(true))
    api.addEventListener("execution_error", e => failed(new Error(JSON.stringify(e.detail))))
    app.queuePrompt(0, 1)
})"""


def open_page(page: Page, address: str) -> None:
    """Opens the front end without its tour and its panels."""
    settings = {
        "Comfy.TutorialCompleted": True, "Comfy.Notification.ShowVersionUpdates": False,
        "Comfy.Workflow.Persist": False, "Comfy.Minimap.Visible": False, "Comfy.Graph.CanvasInfo": False,
    }  # fmt: skip
    page.request.post(f"{address}/api/settings", data=settings)
    page.goto(address)
    page.wait_for_function(READY)


def main(address: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(viewport={"width": 1680, "height": 980}, device_scale_factor=1.5)
        open_page(page, address)
        workflow = json.loads(page.evaluate(BUILD, [NODES, LINKS]))
        page.evaluate(RUN)
        page.wait_for_timeout(1500)
        page.evaluate(
            "() => { app.canvas.ds.offset = [100, 70]; app.canvas.deselectAll?.(); app.canvas.setDirty(true, true) }"
        )
        page.wait_for_timeout(500)
        picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
        browser.close()
    target = ROOT / "example_workflows"
    for folder in (target, ROOT / "docs"):
        folder.mkdir(exist_ok=True)
    name = "LoRA_Deck_prompt_with_tags"
    (target / f"{name}.json").write_text(json.dumps(workflow, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    graph = picture.crop((150, 96, picture.width - 10, 1330))
    graph.resize((graph.width * 2 // 3, graph.height * 2 // 3), Image.Resampling.LANCZOS).save(
        ROOT / "docs" / "graph.png", optimize=True
    )
    graph.resize((768, round(768 * graph.height / graph.width)), Image.Resampling.LANCZOS).save(
        target / f"{name}.jpg", quality=88
    )


if __name__ == "__main__":
    main(sys.argv[1])
