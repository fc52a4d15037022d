"""Fixtures for tests on a real ComfyUI.

``host``         the host with the pack, started once per run; drive it over HTTP (``harness.HostServer``)
``start_host``   ``start_host("--cache-classic")``: another host with further arguments, also one per run
``comfy_host``   the host's modules in this process, without a server: after it ``import comfy.sd``,
                 ``import folder_paths`` and the like work, with a base directory that holds the demo's models
``deck``         the deck in a page of the front end, once with nodes on the canvas and once with Nodes 2.0
                 (``deck_page.DeckPage``); a module whose page needs another host has a ``page_host`` of its own

Every test below this folder carries the mark ``host``. Without a prepared host they fail; they are never skipped.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from .deck_page import DeckPage
from .elsewhere import Elsewhere
from .harness import HOST_FOLDER, HostServer, environment_folder, link_demo_models, prepare_base
from .next_frontend import front_end

StartHost = Callable[..., HostServer]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.host)


@pytest.fixture(scope="session")
def start_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartHost]:
    running: dict[tuple[str, ...], HostServer] = {}
    with ExitStack() as stack:

        def start(*arguments: str) -> HostServer:
            if arguments not in running:
                base = tmp_path_factory.mktemp("host")
                running[arguments] = stack.enter_context(HostServer(base, *arguments))
            return running[arguments]

        yield start


@pytest.fixture(scope="session")
def host(start_host: StartHost) -> HostServer:
    return start_host()


@pytest.fixture(scope="session")
def tidy_host(start_host: StartHost) -> HostServer:
    """A host of its own for tests that count what the library shows: the others add and remove files."""
    return start_host("--verbose", "INFO")


@pytest.fixture(scope="session")
def next_host(start_host: StartHost) -> HostServer:
    """A host with the later front end that ``next_frontend.txt`` pins."""
    return start_host("--front-end-root", str(front_end()))


@pytest.fixture(scope="module")
def page_host(tidy_host: HostServer) -> HostServer:
    """The host whose front end a module's pages show."""
    return tidy_host


@pytest.fixture(scope="module", params=["classic", "nodes2"])
def open_page(request: pytest.FixtureRequest, browser: Browser, page_host: HostServer) -> Iterator[DeckPage]:
    """A page for all tests of a module, in both ways of drawing nodes."""
    page = DeckPage(browser, page_host, **{"Comfy.VueNodes.Enabled": request.param == "nodes2"})
    yield page
    page.close()


@pytest.fixture
def deck(open_page: DeckPage) -> Iterator[DeckPage]:
    """The page for one test, which fails when the page's scripts threw or asked with a window of the browser."""
    open_page.forget_errors()
    yield open_page
    open_page.assert_no_errors()


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostServer]:
    """Another machine with the same LoRAs under other names."""
    with Elsewhere(tmp_path_factory.mktemp("elsewhere"), "--cache-lru", "64") as host:
        yield host


@pytest.fixture(scope="session")
def comfy_host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Makes the host importable here; returns its base directory (``models/loras`` and so on)."""
    base = tmp_path_factory.mktemp("comfy")
    prepare_base(base)
    link_demo_models(base / "models")
    sys.path.insert(0, str(environment_folder(HOST_FOLDER)))

    from comfy.cli_args import args

    args.cpu = True
    args.base_directory = str(base)
    import folder_paths

    assert Path(folder_paths.base_path) == base, "folder_paths was imported before its base directory was set"
    return base
