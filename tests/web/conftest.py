"""Chromium for the tests of `web/`: one browser per run."""

from __future__ import annotations

import mimetypes
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

WEB = Path(__file__).resolve().parents[2] / "web"
ORIGIN = "http://web.invalid"
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = next((p for name in ("chromium", "google-chrome", "chrome") if (p := shutil.which(name))), None)
    if path is None:
        pytest.fail("The browser tests need Chromium (`apt-get install chromium`, or Chrome) on the PATH.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A blank page that can import the modules of `web/` from `/`."""

    def serve(route: Route) -> None:
        path = WEB / route.request.url.removeprefix(ORIGIN + "/")
        if path.is_file():
            kind = "text/javascript" if path.suffix == ".mjs" else mimetypes.guess_type(path.name)[0]
            route.fulfill(body=path.read_bytes(), content_type=kind)
        else:
            route.fulfill(body="<!doctype html>", content_type="text/html")

    page = browser.new_page()
    page.route(f"{ORIGIN}/**", serve)
    page.goto(ORIGIN)
    yield page
    page.close()
