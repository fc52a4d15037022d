#!/usr/bin/env python3
"""Makes `example_workflows/` and the README's picture in the front end of a running host.

    python tools/dev.py demo --port 8288          (in another terminal)
    .dev/hosts/0.30.0/venv/bin/python tools/example_workflow.py http://127.0.0.1:8288 [name …]

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

Nodes = dict[str, tuple[str, tuple[int, int], tuple[int, int], dict[str, Any]]]
"""id → (class, position, size, widget values by name)"""
Links = list[tuple[str, int, str, str]]
"""(from, output slot, to, input name)"""

SAMPLING = {"seed": 11, "steps": 8, "cfg": 7.0, "sampler_name": "euler"}
CHECKPOINT = {"ckpt_name": "lora_deck_demo.safetensors"}
NEGATIVE = {"text": "photo, glossy"}

TAGS: Nodes = {
    "checkpoint": ("CheckpointLoaderSimple", (20, 60), (300, 120), CHECKPOINT),
    "parser": ("PromptLoraParser", (20, 240), (400, 240), {
        "text": "a small boat on a quiet lake, ink wash, rice paper\n<lora:ink_wash_v2:0.8> <lora:film_grain:0.4:0.6>",
    }),
    "apply": ("LoraStackApply", (470, 60), (340, 210), {}),
    "report": ("PreviewAny", (470, 640), (400, 200), {}),
    "positive": ("CLIPTextEncode", (470, 330), (340, 90), {}),
    "negative": ("CLIPTextEncode", (470, 470), (340, 110), NEGATIVE),
    "latent": ("EmptyLatentImage", (20, 540), (300, 130), {"width": 256, "height": 256}),
    "sampler": ("KSampler", (860, 60), (300, 290), SAMPLING),
    "decode": ("VAEDecode", (860, 410), (220, 60), {}),
    "image": ("SaveImage", (1210, 60), (340, 420), {"filename_prefix": "lora_deck"}),
}  # fmt: skip
TAGS_LINKS: Links = [
    ("checkpoint", 0, "apply", "model"), ("checkpoint", 1, "apply", "clip"), ("parser", 1, "apply", "stack"),
    ("parser", 0, "positive", "text"), ("apply", 1, "positive", "clip"), ("apply", 1, "negative", "clip"),
    ("apply", 0, "sampler", "model"), ("positive", 0, "sampler", "positive"), ("negative", 0, "sampler", "negative"),
    ("latent", 0, "sampler", "latent_image"), ("sampler", 0, "decode", "samples"), ("checkpoint", 2, "decode", "vae"),
    ("decode", 0, "image", "images"), ("apply", 2, "report", "source"),
]  # fmt: skip

HIRES: Nodes = {
    "checkpoint": ("CheckpointLoaderSimple", (20, 60), (300, 120), CHECKPOINT),
    "parser": ("PromptLoraParser", (20, 240), (400, 240), {
        "text": "a small boat on a quiet lake, ink wash, rice paper\n<lora:ink_wash_v2:0.8:hr=0.3>",
    }),
    "latent": ("EmptyLatentImage", (20, 540), (300, 130), {"width": 192, "height": 192}),
    "first": ("LoraStackApply", (470, 60), (320, 190), {"sampling_pass": "first"}),
    "positive": ("CLIPTextEncode", (470, 310), (320, 90), {}),
    "negative": ("CLIPTextEncode", (470, 450), (320, 110), NEGATIVE),
    "sampler": ("KSampler", (830, 60), (280, 290), SAMPLING),
    "upscale": ("LatentUpscaleBy", (830, 410), (280, 110), {"scale_by": 1.5}),
    "hires": ("LoraStackApply", (470, 630), (320, 190), {"sampling_pass": "hires"}),
    "hires_positive": ("CLIPTextEncode", (830, 580), (300, 90), {}),
    "hires_negative": ("CLIPTextEncode", (830, 720), (300, 110), NEGATIVE),
    "hires_sampler": ("KSampler", (1160, 60), (280, 290), {**SAMPLING, "denoise": 0.5}),
    "decode": ("VAEDecode", (1160, 410), (220, 60), {}),
    "image": ("SaveImage", (1160, 530), (320, 330), {"filename_prefix": "lora_deck_hires"}),
}  # fmt: skip
HIRES_LINKS: Links = [
    ("checkpoint", 0, "first", "model"), ("checkpoint", 1, "first", "clip"), ("parser", 1, "first", "stack"),
    ("checkpoint", 0, "hires", "model"), ("checkpoint", 1, "hires", "clip"), ("parser", 1, "hires", "stack"),
    ("parser", 0, "positive", "text"), ("first", 1, "positive", "clip"), ("first", 1, "negative", "clip"),
    ("parser", 0, "hires_positive", "text"), ("hires", 1, "hires_positive", "clip"),
    ("hires", 1, "hires_negative", "clip"), ("first", 0, "sampler", "model"),
    ("positive", 0, "sampler", "positive"), ("negative", 0, "sampler", "negative"),
    ("latent", 0, "sampler", "latent_image"), ("sampler", 0, "upscale", "samples"),
    ("hires", 0, "hires_sampler", "model"), ("hires_positive", 0, "hires_sampler", "positive"),
    ("hires_negative", 0, "hires_sampler", "negative"), ("upscale", 0, "hires_sampler", "latent_image"),
    ("hires_sampler", 0, "decode", "samples"), ("checkpoint", 2, "decode", "vae"), ("decode", 0, "image", "images"),
]  # fmt: skip

FADE: Nodes = {
    "checkpoint": ("CheckpointLoaderSimple", (20, 60), (300, 120), CHECKPOINT),
    "parser": ("PromptLoraParser", (20, 240), (400, 220), {
        "text": "a small boat on a quiet lake, ink wash, rice paper\n<lora:ink_wash_v2:0.8:0@0,1@0.5>",
    }),
    "latent": ("EmptyLatentImage", (20, 520), (300, 130), {"width": 192, "height": 192}),
    "apply": ("LoraStackApply", (470, 60), (320, 260), {}),
    "positive": ("CLIPTextEncode", (470, 380), (320, 90), {}),
    "negative": ("CLIPTextEncode", (470, 530), (320, 110), NEGATIVE),
    "sampler": ("KSampler", (840, 60), (280, 290), SAMPLING),
    "decode": ("VAEDecode", (840, 410), (220, 60), {}),
    "image": ("SaveImage", (1160, 60), (320, 330), {"filename_prefix": "lora_deck_fade"}),
}  # fmt: skip
FADE_LINKS: Links = [
    ("checkpoint", 0, "apply", "model"), ("checkpoint", 1, "apply", "clip"), ("parser", 1, "apply", "stack"),
    ("parser", 0, "positive", "text"), ("apply", 1, "positive", "clip"), ("apply", 1, "negative", "clip"),
    ("apply", 0, "sampler", "model"), ("positive", 0, "sampler", "positive"), ("negative", 0, "sampler", "negative"),
    ("latent", 0, "sampler", "latent_image"), ("sampler", 0, "decode", "samples"),
    ("checkpoint", 2, "decode", "vae"), ("decode", 0, "image", "images"),
]  # fmt: skip

REGIONS: Nodes = {
    "checkpoint": ("CheckpointLoaderSimple", (20, 60), (300, 120), CHECKPOINT),
    "apply": ("LoraStackApply", (20, 240), (300, 240), {}),
    "latent": ("EmptyLatentImage", (20, 700), (300, 130), {"width": 256, "height": 192}),
    "left": ("LoraTextEncode", (370, 60), (380, 260), {
        "text": "a small boat on a quiet lake, ink wash\n<lora:ink_wash_v2:0.8>", "scope": "sub-prompt",
    }),
    "right": ("LoraTextEncode", (370, 380), (380, 260), {
        "text": "a lighthouse keeper, mira\n<lora:mira_lighthouse:0.9>", "scope": "sub-prompt",
    }),
    "negative": ("CLIPTextEncode", (370, 700), (380, 110), NEGATIVE),
    "left_area": ("ConditioningSetArea", (790, 60), (280, 180), {"width": 128, "height": 192, "x": 0}),
    "right_area": ("ConditioningSetArea", (790, 380), (280, 180), {"width": 128, "height": 192, "x": 128}),
    "both": ("ConditioningCombine", (790, 620), (280, 60), {}),
    "sampler": ("KSampler", (1110, 60), (280, 290), SAMPLING),
    "decode": ("VAEDecode", (1110, 410), (220, 60), {}),
    "image": ("SaveImage", (1110, 530), (320, 330), {"filename_prefix": "lora_deck_regions"}),
}  # fmt: skip
REGIONS_LINKS: Links = [
    ("checkpoint", 0, "apply", "model"), ("left", 1, "apply", "stack"),
    ("checkpoint", 1, "left", "clip"), ("checkpoint", 1, "right", "clip"), ("checkpoint", 1, "negative", "clip"),
    ("left", 0, "left_area", "conditioning"), ("right", 0, "right_area", "conditioning"),
    ("left_area", 0, "both", "conditioning_1"), ("right_area", 0, "both", "conditioning_2"),
    ("apply", 0, "sampler", "model"), ("both", 0, "sampler", "positive"), ("negative", 0, "sampler", "negative"),
    ("latent", 0, "sampler", "latent_image"), ("sampler", 0, "decode", "samples"),
    ("checkpoint", 2, "decode", "vae"), ("decode", 0, "image", "images"),
]  # fmt: skip

FP8: Nodes = {
    "model": ("UNETLoader", (20, 60), (340, 100), {"unet_name": "lora_deck_demo_fp8.safetensors"}),
    "checkpoint": ("CheckpointLoaderSimple", (20, 210), (340, 120), CHECKPOINT),
    "parser": ("PromptLoraParser", (20, 390), (400, 240), {
        "text": "a lighthouse keeper in a small boat, mira, ink wash\n"
        "<lora:ink_wash_v2:0.8> <lora:mira_lighthouse:0.7> <lora:film_grain:0.4>",
    }),
    "latent": ("EmptyLatentImage", (20, 690), (300, 130), {"width": 256, "height": 192}),
    "apply": ("LoraStackApply", (470, 60), (320, 260), {}),
    "positive": ("CLIPTextEncode", (470, 520), (320, 90), {}),
    "negative": ("CLIPTextEncode", (470, 670), (320, 110), NEGATIVE),
    "report": ("PreviewAny", (840, 540), (480, 270), {}),
    "sampler": ("KSampler", (840, 60), (280, 290), SAMPLING),
    "decode": ("VAEDecode", (840, 440), (220, 60), {}),
    "image": ("SaveImage", (1170, 60), (340, 330), {"filename_prefix": "lora_deck_fp8"}),
}  # fmt: skip
FP8_LINKS: Links = [
    ("model", 0, "apply", "model"), ("checkpoint", 1, "apply", "clip"), ("parser", 1, "apply", "stack"),
    ("parser", 0, "positive", "text"), ("apply", 1, "positive", "clip"), ("apply", 1, "negative", "clip"),
    ("apply", 0, "sampler", "model"), ("positive", 0, "sampler", "positive"), ("negative", 0, "sampler", "negative"),
    ("latent", 0, "sampler", "latent_image"), ("sampler", 0, "decode", "samples"),
    ("checkpoint", 2, "decode", "vae"), ("decode", 0, "image", "images"), ("apply", 2, "report", "source"),
]  # fmt: skip

EXAMPLES: dict[str, tuple[Nodes, Links]] = {
    "LoRA_Deck_prompt_with_tags": (TAGS, TAGS_LINKS),
    "LoRA_Deck_two_passes": (HIRES, HIRES_LINKS),
    "LoRA_Deck_fading_in": (FADE, FADE_LINKS),
    "LoRA_Deck_two_regions": (REGIONS, REGIONS_LINKS),
    "LoRA_Deck_fp8_model": (FP8, FP8_LINKS),
}
README_PICTURE = "LoRA_Deck_prompt_with_tags"

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


def make(page: Page, name: str) -> None:
    """Builds, runs and saves one example with its picture."""
    workflow = json.loads(page.evaluate(BUILD, EXAMPLES[name]))
    page.evaluate(RUN)
    page.wait_for_timeout(1500)
    page.evaluate(
        "() => { app.canvas.ds.offset = [100, 70]; app.canvas.deselectAll?.(); app.canvas.setDirty(true, true) }"
    )
    page.wait_for_timeout(500)
    picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
    target = ROOT / "example_workflows"
    for folder in (target, ROOT / "docs"):
        folder.mkdir(exist_ok=True)
    (target / f"{name}.json").write_text(json.dumps(workflow, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    graph = picture.crop((150, 96, picture.width - 10, 1400))
    if name == README_PICTURE:
        graph.resize((graph.width * 2 // 3, graph.height * 2 // 3), Image.Resampling.LANCZOS).save(
            ROOT / "docs" / "graph.png", optimize=True
        )
    graph.resize((768, round(768 * graph.height / graph.width)), Image.Resampling.LANCZOS).save(
        target / f"{name}.jpg", quality=88
    )


def main(address: str, names: list[str]) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(viewport={"width": 1680, "height": 980}, device_scale_factor=1.5)
        open_page(page, address)
        for name in names or EXAMPLES:
            make(page, name)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
