"""Pictures: the small one of a card, and the preview itself."""

from __future__ import annotations

from ..library.entries import indexed
from ..library.pictures import Preview, preview_of
from .route import Asked, Content, Param, Refused, Route

_VERSION = Param("v", "string", "The picture's version, as in the card: the answer may then be kept for good.")


def thumbnail(asked: Asked) -> Content:
    file, preview = indexed(asked.deck.library.store, asked.id), _preview(asked)
    side = min(max(asked.query.get("side", 256), 1), 4096)
    body = asked.deck.thumbnails.get(file.path, preview, side)
    return Content("image/webp", body, "", f'"{preview.version}-{side}"', asked.query.get("v") == preview.version)


def whole(asked: Asked) -> Content:
    preview = _preview(asked)
    path = str(preview.path) if preview.path else ""
    return Content(preview.kind, preview.content, path, f'"{preview.version}"', asked.query.get("v") == preview.version)


def _preview(asked: Asked) -> Preview:
    preview = preview_of(indexed(asked.deck.library.store, asked.id))
    if preview is None:
        raise Refused(404, "There is no preview.")
    return preview


ROUTES = (
    Route("GET", "/lora-deck/loras/{id}/thumbnail", thumbnail, "The preview, scaled down", "image/webp",
          (Param("side", "integer", "Pixels of the longer side; rounded up to 128, 256, 512 or 1024."), _VERSION),
          refusals=(400, 404, 415)),
    Route("GET", "/lora-deck/loras/{id}/preview", whole, "The preview as it is on disk", "*/*", (_VERSION,),
          refusals=(404,)),
)  # fmt: skip
