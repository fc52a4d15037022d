"""How long the sidebar works per frame while 50,000 cards are scrolled.

    LORA_DECK_HOST=… LORA_DECK_DEMO=… python benchmarks/sidebar.py [cards]

The list's answers are made up here, so that the browser alone is measured. Printed: script, style and layout time per
scrolled frame (Chromium's own counters), the time between frames, and the most card elements that were alive.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from PIL import Image
from playwright.sync_api import Route, sync_playwright

from tests.browser import QUIET
from tests.host.deck_page import DeckPage
from tests.host.harness import HostServer

FRAMES = 240
SPEEDS = {"one row in two frames": 100, "a page in two frames": 400, "flung": 2500}
SCROLL = """async ([frames, step]) => {
    const list = document.querySelector("lora-deck .ld-list")
    list.scrollTop = 0
    const times = []
    let most = 0
    let last = performance.now()
    for (let i = 0; i < frames; i++) {
        list.scrollTop += step
        const now = await new Promise(requestAnimationFrame)
        times.push(now - last)
        last = now
        most = Math.max(most, document.querySelectorAll("lora-deck [role=option]").length)
    }
    times.sort((a, b) => a - b)
    return { most, median: times[frames >> 1], p95: times[Math.floor(frames * 0.95)] }
}"""
LISTS = {"medium": 312, "small": 900}
WIDEN = """width => {
    document.querySelector("lora-deck").closest(".p-splitterpanel").style.flexBasis = `${width}px`
}"""
WIDTH = "() => document.querySelector('lora-deck .ld-list').clientWidth"
COUNTERS = ("ScriptDuration", "LayoutDuration", "RecalcStyleDuration")


def card(i: int) -> dict[str, Any]:
    return {
        "id": i + 1, "name": f"folder_{i % 40}/lora_with_a_name_{i:05}.safetensors", "folder": f"folder_{i % 40}",
        "root": "/", "insert": f"lora_with_a_name_{i:05}", "size": 200_000_000 + i, "modified": 0, "added": 0,
        "version": "1", "state": "present", "reading": False, "autov2": None, "autov3": None,
        "favourite": i % 20 == 0, "uses": 0, "used": None, "architecture": ("SDXL", "SD1", "Flux")[i % 3],
        "family": "LoRA", "ranks": [16, 16], "aliases": [], "civitai_base_model": "", "title": "", "adult": False,
        "preview": "x.png" if i % 4 else "", "preview_kind": "image/png" if i % 4 else "",
        "preview_version": str(i) if i % 4 else "", "problems": [], "fields": {"preferred_weight": 0.8, "tags": []},
    }  # fmt: skip


def serve(route: Route, total: int, picture: bytes) -> None:
    url = urlparse(route.request.url)
    if url.path.endswith("/thumbnail"):
        return route.fulfill(body=picture, content_type="image/webp")
    if url.path.endswith("/counts"):
        counts = {"architecture": {"SDXL": total}, "family": {"LoRA": total}, "folder": {"": total}, "tag": {}}
        zero = dict.fromkeys(("favourite", "used", "no_preview", "missing", "problem"), 0)
        return route.fulfill(json={"total": total, **counts, **zero})
    query = parse_qs(url.query)
    offset, limit = int(query["offset"][0]), int(query["limit"][0])
    items = [card(i) for i in range(offset, min(total, offset + limit))]
    return route.fulfill(body=json.dumps({"total": total, "offset": offset, "revision": 1, "items": items}))


def main(total: int) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((256, 256), 90).convert("RGB").save(buffer, "webp")
    with tempfile.TemporaryDirectory() as base, HostServer(Path(base)) as host, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        deck = DeckPage(browser, host)
        deck.page.route("**/lora-deck/loras**", lambda route: serve(route, total, buffer.getvalue()))
        deck.page.evaluate("() => app.graph.clear()")
        deck.open()
        session = deck.context.new_cdp_session(deck.page)
        session.send("Performance.enable")

        def counters() -> dict[str, float]:
            found = session.send("Performance.getMetrics")["metrics"]
            return {m["name"]: m["value"] for m in found if m["name"] in COUNTERS}

        for size, width in LISTS.items():
            deck.reset(size=size)
            deck.page.evaluate(WIDEN, width)
            deck.page.wait_for_timeout(1000)
            print(f"{total:,} cards, {FRAMES} frames each, {size} cards in a list {deck.page.evaluate(WIDTH)} px wide")
            for name, step in SPEEDS.items():
                before = counters()
                shown = deck.page.evaluate(SCROLL, [FRAMES, step])
                after = counters()
                script, layout, style = ((after[c] - before[c]) * 1000 / FRAMES for c in COUNTERS)
                print(
                    f"{name:22} script {script:5.2f} + layout {layout:5.2f} = {script + layout:5.2f} ms per frame, "
                    f"style {style:5.2f}; between frames: median {shown['median']:.1f}, 95 % {shown['p95']:.1f} ms; "
                    f"at most {shown['most']} card elements"
                )
        browser.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
