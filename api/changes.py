"""Writing: edits, favourites, previews, refresh, hashing. JSON POST only, ids only."""

from __future__ import annotations

import base64
import binascii
import logging
import os
from typing import Any

from ..library.edits import edit
from ..library.entries import indexed
from ..library.personal import set_favourite
from ..library.pictures import MAX_UPLOAD, PreviewError, save_preview
from .loras import one_card
from .route import Asked, Refused, Route


def save_edit(asked: Asked) -> dict[str, Any]:
    saved = edit(asked.deck.library.store, asked.id, asked.body["version"], asked.body["fields"])
    _tell(asked, [asked.id])
    return {"saved": saved.path.name, "version": saved.version, "card": one_card(asked)}


def favourite(asked: Asked) -> dict[str, Any]:
    ids = asked.body["ids"]
    marked = set_favourite(asked.deck.library.store, ids, asked.body["favourite"])
    _tell(asked, ids)
    return {"marked": marked}


def upload_preview(asked: Asked) -> dict[str, Any]:
    store = asked.deck.library.store
    file = indexed(store, asked.id)
    if ("data" in asked.body) == ("image" in asked.body):
        raise Refused(400, "Give either data or image.")
    content = _decoded(asked.body["data"]) if "data" in asked.body else _of_host(asked, asked.body["image"])
    path = save_preview(store, file, content, asked.body.get("replace", False))
    _tell(asked, [asked.id])
    return {"saved": path.name, "card": one_card(asked)}


def refresh(asked: Asked) -> dict[str, Any]:
    library = asked.deck.library
    if asked.body.get("wait", False):
        library.scan()
    else:
        library.refresh()
    return {"scan": library.scan_state, "revision": library.store.revision()}


def hashing(asked: Asked) -> dict[str, Any]:
    hasher = asked.deck.hasher
    if asked.body["action"] == "cancel":
        hasher.cancel()
    else:
        hasher.start(asked.body.get("ids"))
    return hasher.state


def log_level(asked: Asked) -> dict[str, Any]:
    logging.getLogger("lora_deck").setLevel(logging.DEBUG if asked.body["detailed"] else logging.NOTSET)
    return {"detailed": asked.body["detailed"]}


def _decoded(text: str) -> bytes:
    if text.startswith("data:"):
        text = text.partition(",")[2]
    if len(text) > MAX_UPLOAD * 4 // 3 + 4:
        raise PreviewError(f"The picture is too large; up to {MAX_UPLOAD:,} bytes are taken.")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(400, "data is no base64.") from None


def _of_host(asked: Asked, image: dict[str, str]) -> bytes:
    """A picture of the host, named as the host names it: `filename`, `subfolder`, `type`."""
    folder = asked.deck.picture_folder(image.get("type", "output"))
    name = image.get("filename", "")
    if folder is None or not name:
        raise Refused(400, "image must have filename, subfolder and type (output, temp or input).")
    real = os.path.realpath(folder)
    try:
        path = os.path.realpath(os.path.join(real, image.get("subfolder", ""), name))
        inside = os.path.commonpath((path, real)) == real
    except ValueError:
        inside = False
    if not inside or not os.path.isfile(path):
        raise Refused(404, f"There is no picture {name!r:.80}.")
    if os.path.getsize(path) > MAX_UPLOAD:
        raise PreviewError(f"The picture is too large; up to {MAX_UPLOAD:,} bytes are taken.")
    with open(path, "rb") as file:
        return file.read()


def _tell(asked: Asked, ids: list[int]) -> None:
    library = asked.deck.library
    library.tell("changed", {"revision": library.store.revision(), "added": 0, "removed": 0, "changed": len(ids),
                             "ids": ids})  # fmt: skip


_IDS = {"type": "array", "items": {"type": "integer"}}
_STRING = {"type": "string"}
ROUTES = (
    Route("POST", "/lora-deck/loras/{id}/edit", save_edit, "Saves fields into the sidecar", "Edited",
          body={"version": _STRING, "fields": {"type": "object"}}, required=("version", "fields"),
          refusals=(400, 404, 409, 415, 422)),
    Route("POST", "/lora-deck/loras/{id}/preview", upload_preview, "Saves a preview: a file, or a picture of the host",
          "PreviewSaved",
          body={"data": _STRING, "replace": {"type": "boolean"}, "image": {"type": "object", "properties": {
              "filename": _STRING, "subfolder": _STRING, "type": _STRING}}},
          refusals=(400, 404, 409, 415, 422)),
    Route("POST", "/lora-deck/favourite", favourite, "Marks favourites", "Marked",
          body={"ids": _IDS, "favourite": {"type": "boolean"}}, required=("ids", "favourite"), refusals=(400, 415)),
    Route("POST", "/lora-deck/refresh", refresh, "Looks for new files", "Refreshed",
          body={"wait": {"type": "boolean"}}, refusals=(400, 415)),
    Route("POST", "/lora-deck/hash", hashing, "Starts or cancels hashing", "Hashing",
          body={"action": {"type": "string", "enum": ["start", "cancel"]}, "ids": _IDS}, required=("action",),
          refusals=(400, 415)),
    Route("POST", "/lora-deck/logging", log_level, "How much this pack logs until the host ends", "Logging",
          body={"detailed": {"type": "boolean"}}, required=("detailed",), refusals=(400, 415)),
)  # fmt: skip
