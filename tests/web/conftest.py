"""Pages for the tests of `web/` without a host."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route

WEB = Path(__file__).resolve().parents[2] / "web"
ORIGIN = "http://web.invalid"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A blank page that can import the modules of `web/` from `/`."""

    def serve(route: Route) -> None:
        path = WEB / route.request.url.removeprefix(ORIGIN + "/").partition("?")[0]
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
