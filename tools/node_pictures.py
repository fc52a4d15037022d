#!/usr/bin/env python3
"""Makes the picture on each node's help page, in the front end of a real host.

    LORA_DECK_HOST=… LORA_DECK_DEMO=… .dev/hosts/0.30.0/venv/bin/python tools/node_pictures.py [NodeId …]

Each page under ``web/docs`` shows ``<NodeId>.png``. Look at the pictures before committing them.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser import QUIET
from tests.host.deck_page import DeckPage
from tests.host.harness import HostServer

DOCS = Path(__file__).resolve().parent.parent / "web" / "docs"
MARGIN = 12
TEXT = "a lighthouse above the sea, <lora:ink_wash_v2:0.8> ink wash, rice paper"
VALUES: dict[str, dict[str, Any]] = {
    "PromptLoraParser": {"text": TEXT},
    "LoraTextEncode": {"text": TEXT},
    "LoraStackAdd": {"lora_name": "ink_wash_v2", "te_weight": 0.8, "unet_weight": 0.8},
    "BlockWeight": {"blocks": "MIDD"},
    "LoraStackRows": {
        "rows": {
            "lora_deck": 1,
            "on": True,
            "rows": [
                {"on": True, "name": "ink_wash_v2", "te": 0.8, "unet": 0.8},
                {"on": True, "name": "film_grain", "te": 0.3, "unet": 0.7, "lbw": "OUTALL"},
                {"on": False, "name": "neon_nights", "te": 0.5, "unet": 0.5},
            ],
        }
    },
    "LoraSchedule": {"weights": "0@0,1@0.5"},
    "LoraStackSave": {"filename": "merged/ink_and_neon"},
    "ReadInfotext": {"text": f"{TEXT}\nNegative prompt: photo\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1"},
}
"""What stands in a node's widgets on its picture; the defaults for those that are not named."""
PLACE = """async ([type, values]) => {
    app.graph.clear()
    // Widgets of an earlier node of this number would lend it their values.
    app.graph.last_node_id = window.pictured = (window.pictured ?? 0) + 100
    const add = (type, x, y) => {
        const made = LiteGraph.createNode(type)
        app.canvas.graph.add(made)
        made.pos = [x, y]
        return made
    }
    const node = add(type, 460, 140)
    if (type === "BlockWeight") {
        const [apply, checkpoint] = [add("LoraStackApply", 2000, 140), add("CheckpointLoaderSimple", 2000, 600)]
        node.connect(0, apply, "stack")
        checkpoint.connect(0, apply, "model")
    }
    for (const [name, value] of Object.entries(values)) {
        const widget = node.widgets.find(w => w.name === name)
        widget.value = value
        widget.callback?.(value)
    }
    const [width, height] = node.computeSize()
    node.setSize([Math.max(360, width), Math.max(height, node.size[1])])
    app.canvas.ds.scale = 1
    app.canvas.ds.offset = [0, 0]
    app.canvas.deselectAll?.()
    app.canvas.setDirty(true, true)
    await new Promise(done => setTimeout(done, 600))
    const at = app.canvas.canvas.getBoundingClientRect()
    const title = LiteGraph.NODE_TITLE_HEIGHT
    return [at.left + 460, at.top + 140 - title, node.size[0], node.size[1] + title]
}"""


def main(wanted: list[str]) -> None:
    with tempfile.TemporaryDirectory() as base, HostServer(Path(base)) as host, sync_playwright() as pw:
        known = host.get("/object_info").items()
        nodes = [name for name, node in known if str(node["category"]) == "LoRA Deck"]
        browser = pw.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        plain = {"Comfy.VueNodes.Enabled": False, "Comfy.NodeBadge.NodeSourceBadgeMode": "None"}
        deck = DeckPage(browser, host, **plain)
        for name in wanted or nodes:
            x, y, width, height = deck.page.evaluate(PLACE, [name, VALUES.get(name, {})])
            clip = {"x": x - MARGIN, "y": y - MARGIN, "width": width + 2 * MARGIN, "height": height + 2 * MARGIN}
            picture = Image.open(io.BytesIO(deck.page.screenshot(clip=clip))).convert("RGB")
            picture.quantize(128).save(DOCS / f"{name}.png", optimize=True)
            print(f"{name}: {picture.width} × {picture.height}")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
