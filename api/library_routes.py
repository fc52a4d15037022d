"""Joins the library to the host's server: routes, events, the start of the scan, the host's own lists of names."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp import web

from ..library.library import Library
from ..library.resolve import current
from ..library.roots import LORAS, host_paths
from . import a1111, pictures
from .deck import Deck
from .openapi import ROUTES
from .route import handler

WORKERS = 4
EVENT = "lora-deck."


def route_table(deck: Deck) -> list[web.RouteDef]:
    """Every route, ready for an aiohttp application. Pictures have threads of their own, so that lists do not wait."""
    pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="lora-deck api")
    slow = ThreadPoolExecutor(2, thread_name_prefix="lora-deck pictures")
    table = [web.route(route.method, route.path, handler(route, deck, slow if route in pictures.ROUTES else pool))
             for route in ROUTES]  # fmt: skip
    return [*table, *a1111.routes(deck, pool)]


def register_library(server: Any) -> None:
    """`server`: the host's `PromptServer`. Opens no index and scans nothing: that begins when it serves."""
    library = current()
    deck = Deck.over(library, host_paths().get_directory_by_type, lambda: bool(server.prompt_queue.currently_running))
    library.listen(lambda event, data: _tell(server, library, event, data))
    for route in route_table(deck):
        server.routes.route(route.method, route.path)(route.handler)

    async def start(_app: web.Application) -> None:
        library.start()

    server.app.on_startup.append(start)


def _tell(server: Any, library: Library, event: str, data: dict[str, Any]) -> None:
    if event == "changed" and (data["added"] or data["removed"]):
        # The host looks at its folders' times, which a quick change within one tick does not move.
        host_paths().filename_list_cache.pop(LORAS, None)
    server.send_sync(EVENT + event, data)
