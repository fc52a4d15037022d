"""How long the page is held while a card with 10,000 training tags and a header of 5 MB is opened and used.

    LORA_DECK_HOST=… LORA_DECK_DEMO=… python benchmarks/dialog.py

Printed: the longest task of the page's main thread for each gesture (Chromium's long-task entries; below 50 ms a task
is not reported, so 0 means shorter), and how long the gesture took until it was drawn.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from playwright.sync_api import Locator, expect, sync_playwright
from safetensors import safe_open
from safetensors.torch import save_file

from tests.browser import QUIET
from tests.host.deck_page import DeckPage
from tests.host.harness import HostServer

TAGS = 10_000
HEADER = 5_000_000
WATCH = """() => { window.longTasks = []
    new PerformanceObserver(list => longTasks.push(...list.getEntries().map(e => e.duration)))
        .observe({ type: "longtask" }) }"""


def write(path: Path, source: Path) -> None:
    with safe_open(source, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.offset_keys()}
    tags = json.dumps({"set": {f"tag {i}": TAGS - i for i in range(TAGS)}})
    rest = {f"note_{i:03}": "some words about the training " * 1000 for i in range((HEADER - len(tags)) // 30_000)}
    save_file(tensors, path, {"ss_tag_frequency": tags, **rest})


def main() -> None:
    with tempfile.TemporaryDirectory() as base, HostServer(Path(base)) as host, sync_playwright() as playwright:
        write(host.loras / "heavy_header.safetensors", host.loras / "styles" / "ink_wash_v2.safetensors")
        host.post("/lora-deck/refresh", {"wait": True})
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        deck = DeckPage(browser, host)
        deck.page.evaluate(WATCH)
        deck.open()
        deck.reset(fits=False, text="heavy_header")
        deck.card("heavy_header").focus()
        dialog: Locator = deck.page.get_by_role("dialog", name="heavy_header")

        def gesture(name: str, act: Any, drawn: Any) -> None:
            deck.page.wait_for_timeout(500)
            deck.page.evaluate("() => { longTasks.length = 0; window.began = performance.now() }")
            act()
            drawn()
            took = deck.page.evaluate("() => new Promise(requestAnimationFrame).then(() => performance.now() - began)")
            deck.page.wait_for_timeout(200)
            longest = deck.page.evaluate("() => Math.max(0, ...longTasks)")
            print(f"{name:34} longest task {longest:5.0f} ms   until drawn {took:6.0f} ms")

        print(f"{TAGS:,} training tags, header of {HEADER / 1e6:.0f} MB")
        gesture("open", lambda: deck.page.keyboard.press("F2"), lambda: expect(dialog).to_be_visible())
        text = dialog.get_by_role("textbox", name="Activation text")
        gesture("type ten letters", lambda: text.press_sequentially("some words"),
                lambda: expect(text).to_have_value("some words"))  # fmt: skip
        gesture("toggle a tag", lambda: dialog.locator(".ld-pool button").first.click(),
                lambda: expect(text).to_have_value("some words, tag 0"))  # fmt: skip
        pool = dialog.get_by_role("group", name="All training tags")
        gesture("training tab", lambda: dialog.get_by_role("tab", name="Training").click(),
                lambda: expect(pool).to_be_visible())  # fmt: skip
        gesture("search 10,000 tags", lambda: dialog.get_by_role("searchbox", name="Search training tags").fill("999"),
                lambda: expect(pool.get_by_role("button")).to_have_count(19))  # fmt: skip
        gesture("another random prompt", lambda: dialog.get_by_role("button", name="Again").click(), lambda: None)
        gesture("header tab", lambda: dialog.get_by_role("tab", name="File header").click(),
                lambda: expect(dialog.locator(".ld-kv tr")).to_have_count(100))  # fmt: skip
        search = dialog.get_by_role("searchbox", name="Search file header")
        gesture("search the header", lambda: search.fill("about the"),
                lambda: expect(dialog.locator(".ld-kv mark").first).to_be_visible())  # fmt: skip
        gesture("show a whole value", lambda: dialog.locator(".ld-kv .ld-link").first.click(),
                lambda: expect(dialog.locator(".ld-kv__piece").first).to_be_visible())  # fmt: skip
        browser.close()


if __name__ == "__main__":
    main()
