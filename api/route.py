"""One route as a value: what aiohttp serves, what it checks, and what the OpenAPI file says of it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from ..library.edits import ConflictError, EditError
from ..library.pictures import PreviewError, PreviewExistsError
from ..library.thumbnails import ThumbnailError
from ..stack.errors import AmbiguousLoraError, LoraNotFoundError
from .deck import Deck

logger = logging.getLogger("lora_deck")

Kind = Literal["string", "integer", "boolean", "strings", "integers"]


@dataclass(frozen=True, slots=True)
class Param:
    """One query parameter."""

    name: str
    kind: Kind
    text: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, checked and taken apart."""

    deck: Deck
    id: int
    """From the path; 0 where the path has none."""
    query: Mapping[str, Any]
    body: Mapping[str, Any]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Content:
    """An answer that is no JSON."""

    kind: str
    body: bytes | None
    """`None`: the file at `path`."""
    path: str = ""
    etag: str = ""
    lasting: bool = False
    """Whether the address names this version, so that a browser may keep it for good."""


@dataclass(frozen=True, slots=True)
class Route:
    """`call` blocks; it runs in a thread."""

    method: Literal["GET", "POST"]
    path: str
    call: Callable[[Asked], Any]
    summary: str
    answer: str
    """Name of the answer's schema in `openapi.SCHEMAS`, or a media type."""
    query: tuple[Param, ...] = ()
    body: Mapping[str, Any] = field(default_factory=dict)
    """JSON schema of the body's properties; every POST takes a JSON object."""
    required: tuple[str, ...] = ()
    refusals: tuple[int, ...] = ()
    """Status codes beside 200."""


class Refused(Exception):
    """The request cannot be served."""

    def __init__(self, status: int, message: str, **more: Any) -> None:
        self.status = status
        self.content = {"error": message, **more}
        super().__init__(message)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def handler(route: Route, deck: Deck, pool: ThreadPoolExecutor) -> Handler:
    """The coroutine that aiohttp calls."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            asked = Asked(
                deck, _id(request), _query(route, request), await _body(route, request), dict(request.headers)
            )
            answer = await asyncio.get_running_loop().run_in_executor(pool, route.call, asked)
        except Refused as error:
            return _json(error.content, error.status)
        except Exception as error:
            status, content = _refusal(error)
            if status == 500:
                raise
            return _json(content, status)
        return _content(request, answer) if isinstance(answer, Content) else _json(answer, 200)

    return handle


def _refusal(error: Exception) -> tuple[int, dict[str, Any]]:
    """(status, body) for what the library refuses; 500 for anything that it does not."""
    message = str(error)
    if isinstance(error, ConflictError):
        return 409, {"error": message, "yours": error.yours, "theirs": error.theirs, "version": error.version,
                     "saved_at": error.saved_at}
    if isinstance(error, PreviewExistsError):
        return 409, {"error": message, "exists": error.name}
    if isinstance(error, AmbiguousLoraError):
        return 409, {"error": message, "candidates": list(error.candidates)}
    if isinstance(error, LoraNotFoundError):
        return 404, {"error": message, "suggestions": list(error.suggestions), "last_seen": list(error.last_seen)}
    if isinstance(error, KeyError):
        return 404, {"error": f"There is no LoRA with the id {error.args[0]}."}
    if isinstance(error, FileNotFoundError):
        return 404, {"error": f"There is no file {message}."}
    if isinstance(error, EditError | PreviewError):
        return 422, {"error": message}
    if isinstance(error, ThumbnailError):
        return 415, {"error": message}
    return 500, {}


def _id(request: web.Request) -> int:
    text = request.match_info.get("id", "0")
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Refused(404, f"There is no LoRA with the id {text:.40}.")
    return int(text)


def _query(route: Route, request: web.Request) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for param in route.query:
        given = request.query.getall(param.name, [])
        if not given:
            continue
        if param.choices and any(value not in param.choices for value in given):
            raise Refused(400, f"{param.name} must be one of {', '.join(param.choices)}.")
        try:
            values[param.name] = _value(param.kind, given)
        except ValueError:
            raise Refused(400, f"{param.name} must be {param.kind}, not {given[-1]!r:.80}.") from None
    return values


def _value(kind: Kind, given: list[str]) -> Any:
    if kind == "strings":
        return tuple(given)
    if kind == "integers":
        return tuple(_integer(part) for value in given for part in value.split(",") if part)
    if kind == "integer":
        return _integer(given[-1])
    if kind == "boolean":
        return {"true": True, "1": True, "false": False, "0": False}[given[-1].lower()] if given[-1].lower() in (
            "true", "1", "false", "0") else _fail()  # fmt: skip
    return given[-1]


def _integer(text: str) -> int:
    value = int(text)
    return value if abs(value) < 1 << 62 else _fail()


def _fail() -> Any:
    raise ValueError


async def _body(route: Route, request: web.Request) -> dict[str, Any]:
    if route.method != "POST":
        return {}
    # A form that any web page can send to this machine has another type than JSON.
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        # Hosts before the check of their own let a page elsewhere through.
        raise Refused(403, "This request comes from a page elsewhere.")
    if request.content_type != "application/json":
        raise Refused(415, "Send JSON, with the content type application/json.")
    try:
        body = json.loads(await request.read() or b"{}")
    except (ValueError, RecursionError):
        raise Refused(400, "The body is no JSON.") from None
    if not isinstance(body, dict):
        raise Refused(400, "The body must be a JSON object.")
    for name in route.required:
        if name not in body:
            raise Refused(400, f"{name} is missing.")
    for name, value in body.items():
        if name not in route.body:
            raise Refused(400, f"{name!r:.80} is unknown here.")
        if not _fits(value, route.body[name]):
            raise Refused(400, f"{name} must be {route.body[name]['type']}, not {value!r:.80}.")
    return body


_TYPES: Mapping[str, tuple[type[Any], ...]] = {
    "string": (str,), "integer": (int,), "boolean": (bool,), "array": (list,), "object": (dict,),
}  # fmt: skip


def _fits(value: Any, schema: Mapping[str, Any]) -> bool:
    kind = schema["type"]
    of_type: bool = isinstance(value, _TYPES[kind])
    if not of_type or (isinstance(value, bool) and kind != "boolean"):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "items" in schema:
        return all(_fits(item, schema["items"]) for item in value)
    inner = schema.get("properties", {})
    return not inner or all(name in inner and _fits(part, inner[name]) for name, part in value.items())


def _json(content: Any, status: int) -> web.Response:
    return web.Response(
        body=json.dumps(content).encode(), status=status, content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )  # fmt: skip


def _content(request: web.Request, content: Content) -> web.StreamResponse:
    headers = {
        "ETag": content.etag,
        # Set here, because the host keeps pictures for a day whatever became of them.
        "Cache-Control": "private, max-age=31536000, immutable" if content.lasting else "private, no-cache",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if request.headers.get("If-None-Match") == content.etag:
        return web.Response(status=304, headers=headers)
    if content.body is None:
        return web.FileResponse(content.path, headers={**headers, "Content-Type": content.kind})
    return web.Response(body=content.body, content_type=content.kind, headers=headers)
