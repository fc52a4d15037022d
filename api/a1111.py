"""The two routes of A1111's API that tools use to list LoRAs: `GET /sdapi/v1/loras`, `POST /sdapi/v1/refresh-loras`.

Nothing else of that API is served: its other routes are how tools recognise A1111 itself.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp import web

from ..library.header import HeaderError, read_header
from ..library.search import Query
from .deck import Deck

LIST = "/sdapi/v1/loras"
REFRESH = "/sdapi/v1/refresh-loras"
_FIRST = ("ss_sd_model_name", "ss_resolution", "ss_clip_skip", "ss_num_train_images", "ss_tag_frequency")
_CHUNK = 64


def routes(deck: Deck, pool: ThreadPoolExecutor) -> list[web.RouteDef]:
    async def list_loras(request: web.Request) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        ids = await loop.run_in_executor(pool, lambda: deck.search.ids(Query()))
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Cache-Control": "no-store"})
        await response.prepare(request)
        await response.write(b"[")
        started = False
        # Written as it is read: the headers of a large library do not fit into memory at once.
        for at in range(0, len(ids), _CHUNK):
            items = await loop.run_in_executor(pool, _items, deck, ids[at : at + _CHUNK])
            if items:
                await response.write((b", " if started else b"") + b", ".join(items))
                started = True
        await response.write(b"]")
        await response.write_eof()
        return response

    async def refresh(request: web.Request) -> web.Response:
        await asyncio.get_running_loop().run_in_executor(pool, deck.library.scan)
        return web.json_response(None)

    return [web.get(LIST, list_loras), web.post(REFRESH, refresh)]


def item(name: str, path: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    """One entry of A1111's list. Metadata that are JSON objects are decoded, other values stay strings."""
    alias = metadata.get("ss_output_name") or name
    ordered = sorted(metadata, key=lambda key: _FIRST.index(key) if key in _FIRST else len(_FIRST))
    return {"name": name, "alias": alias, "path": path, "metadata": {k: _decoded(metadata[k]) for k in ordered}}


def _items(deck: Deck, ids: list[int]) -> list[bytes]:
    items = []
    for card in deck.search.cards(ids):
        if card["state"] != "present":
            continue
        path = os.path.join(card["root"], *card["name"].split("/"))
        try:
            metadata: Mapping[str, str] = read_header(path).metadata if _has_header(path) else {}
        except HeaderError:
            metadata = {}
        items.append(json.dumps(item(card["insert"], path, metadata)).encode())
    return items


def _has_header(path: str) -> bool:
    return path.lower().endswith((".safetensors", ".sft"))


def _decoded(value: str) -> Any:
    if value.startswith("{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value
