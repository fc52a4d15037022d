"""The colours of the deck's panels in a later front end than the host's own."""

from __future__ import annotations

import pytest

from .deck_page import DeckPage
from .harness import HostServer
from .test_canvas_colours import assert_colours
from .test_canvas_colours import deck as deck


@pytest.fixture(scope="module")
def page_host(next_host: HostServer) -> HostServer:
    return next_host


def test_panels_have_the_colours_of_the_hosts_widgets(deck: DeckPage) -> None:
    assert_colours(deck)
