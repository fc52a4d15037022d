"""What a shared workflow does in a browser, in a later front end than the host's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from . import test_sharing_page as pages
from .deck_page import DeckPage
from .elsewhere import Elsewhere
from .harness import HostServer
from .next_frontend import front_end

shared = pages.shared


@pytest.fixture(scope="module")
def elsewhere_next(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostServer]:
    folder = tmp_path_factory.mktemp("elsewhere_next")
    with Elsewhere(folder, "--cache-lru", "64", "--front-end-root", str(front_end())) as host:
        yield host


@pytest.fixture(params=[False, True], ids=["classic", "vue"])
def there(browser: Browser, elsewhere_next: HostServer, request: pytest.FixtureRequest) -> Iterator[DeckPage]:
    deck = DeckPage(browser, elsewhere_next, **{"Comfy.VueNodes.Enabled": request.param})
    yield deck
    deck.close()
    assert deck.errors == []


def test_a_dropped_picture(there: DeckPage, shared: tuple[bytes, dict[str, Any]]) -> None:
    pages.test_a_dropped_picture_finds_its_loras_and_gives_the_same_picture(there, shared)


def test_what_needs_a_person(there: DeckPage, shared: tuple[bytes, dict[str, Any]]) -> None:
    pages.test_what_needs_a_person(there, shared)
