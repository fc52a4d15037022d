#!/usr/bin/env python3
"""Makes the README's pictures of the sidebar in the front end of a real host.

    LORA_DECK_HOST=… LORA_DECK_DEMO=… .dev/hosts/0.30.0/venv/bin/python tools/sidebar_pictures.py

Look at the pictures before committing them.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser import QUIET
from tests.host.deck_page import PARSED_LINKS, PARSED_NODES, DeckPage
from tests.host.harness import HostServer

ROOT = Path(__file__).resolve().parent.parent
SIZE = {"width": 1280, "height": 820}
SHIFT = "() => { app.canvas.ds.offset = [60, 60]; app.canvas.setDirty(true, true) }"


def save(deck: DeckPage, name: str) -> None:
    deck.page.wait_for_timeout(700)
    picture = Image.open(io.BytesIO(deck.page.screenshot())).convert("RGB")
    picture.save(ROOT / "docs" / f"{name}.png", optimize=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as base, HostServer(Path(base)) as host, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        deck = DeckPage(browser, host, **{"Comfy.VueNodes.Enabled": False})
        deck.page.set_viewport_size(SIZE)
        deck.build(PARSED_NODES, PARSED_LINKS)
        deck.page.evaluate(SHIFT)
        deck.open()
        deck.type_in("parser")
        deck.click("ink_wash_v2")
        deck.set(FlyoutDelay=0)
        deck.page.mouse.move(1500, 40)
        deck.hover("ink_wash_v2")
        save(deck, "sidebar")
        deck.set(FlyoutDelay=-1)
        deck.build()
        deck.page.evaluate(SHIFT)
        deck.type_in("positive")
        deck.click("neon_nights")
        deck.page.get_by_role("button", name="Insert and connect").hover()
        save(deck, "sidebar-connect")
        browser.close()


if __name__ == "__main__":
    main()
