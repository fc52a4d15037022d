"""The routes on a server of their own, over a library in a temporary folder."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from lora_deck.api.deck import Deck
from lora_deck.api.library_routes import route_table
from lora_deck.library import Library
from lora_deck.library.roots import Roots


@dataclass
class Answer:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Served:
    """A running server; `get` and `post` block."""

    def __init__(self, deck: Deck, base: Path) -> None:
        self.deck = deck
        self.base = base
        self.loras = base / "loras"
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.threads: set[int] = set()
        deck.library.listen(lambda event, data: self.events.append((event, data)))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._run(self._start())

    async def _start(self) -> None:
        app = web.Application(client_max_size=200 << 20)
        app.add_routes(route_table(self.deck))
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.address = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"

    def get(self, path: str, **params: Any) -> Answer:
        headers = params.pop("headers", {})
        flat = [(k, str(v)) for k, value in params.items() for v in (value if isinstance(value, list) else [value])]
        return self._run(self._ask("GET", path, params=flat, headers=headers))

    def post(self, path: str, body: Any = None, **how: Any) -> Answer:
        return self._run(self._ask("POST", path, **(how or {"json": body})))

    async def _ask(self, method: str, path: str, **how: Any) -> Answer:
        async with aiohttp.ClientSession() as session, session.request(method, self.address + path, **how) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    def id_of(self, name: str) -> int:
        return self.get("/lora-deck/resolve", name=name).json["card"]["id"]

    def close(self) -> None:
        self._run(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self.deck.hasher.stop()
        self.deck.library.stop()

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)


@pytest.fixture
def make_served(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    running: list[Served] = []

    def make(**how: Any) -> Served:
        (tmp_path / "loras").mkdir(exist_ok=True)
        (tmp_path / "output").mkdir(exist_ok=True)
        roots = Roots((str(tmp_path / "loras"),), (("checkpoints", str(tmp_path / "checkpoints")),))
        folders = {"output": str(tmp_path / "output")}
        deck = Deck.over(Library(tmp_path / "index", lambda: roots), folders.get, **how)
        deck.library.scan()
        running.append(Served(deck, tmp_path))
        return running[-1]

    yield make
    for served in running:
        served.close()


@pytest.fixture
def served(make_served: Callable[..., Served]) -> Served:
    return make_served()
