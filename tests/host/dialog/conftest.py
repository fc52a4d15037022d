"""The deck in one page, as the dialog is the same beside both ways of drawing nodes, and a folder for LoRAs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from ..deck_page import PARSED_LINKS, PARSED_NODES, DeckPage
from ..harness import HostServer


@pytest.fixture(scope="module")
def folder(page_host: HostServer) -> Iterator[Path]:
    made = page_host.loras / "dialogs"
    made.mkdir()
    yield made
    shutil.rmtree(made)
    page_host.post("/lora-deck/refresh", {"wait": True})


@pytest.fixture(scope="module")
def open_page(browser: Browser, page_host: HostServer, folder: Path) -> Iterator[DeckPage]:
    page = DeckPage(browser, page_host)
    page.build(PARSED_NODES, PARSED_LINKS)
    page.open()
    yield page
    page.close()


@pytest.fixture
def deck(deck: DeckPage) -> Iterator[DeckPage]:
    deck.open()
    yield deck
    deck.page.evaluate("() => document.querySelector('.ld-dlg [aria-label=Close]')?.click()")
    if discard := deck.page.locator(".ld-dlg").get_by_role("button", name="Discard").all():
        discard[0].click()
    expect(deck.page.locator(".ld-dlg")).to_have_count(0)
