"""Infotext for the browser: what a dropped picture says, and what that means here."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from ..sharing.read_here import read_here, read_picture_here
from .route import Asked, Refused, Route


def read(asked: Asked) -> dict[str, Any]:
    """Reads `text`, or the bytes of a `picture`; sampler, scheduler and model as values of the lists given."""
    body = asked.body
    if "picture" in body:
        try:
            content = base64.b64decode(body["picture"], validate=True)
        except (binascii.Error, ValueError):
            raise Refused(400, "picture is no base64.") from None
        found = read_picture_here(content, asked.deck.library)
    elif "text" in body:
        found = read_here(body["text"], asked.deck.library)
    else:
        raise Refused(400, "text or picture is missing.")
    sampler, scheduler = found.sampling(body.get("samplers", ()), body.get("schedulers", ()))
    return {
        **found.to_json(),
        "sampler": sampler,
        "scheduler": scheduler,
        "model": found.model(body.get("models", ())),
    }


_TEXTS = {"type": "array", "items": {"type": "string"}}
ROUTES = (
    Route("POST", "/lora-deck/infotext", read, "What an infotext says, and what it means here", "Infotext",
          body={"text": {"type": "string"},
                "picture": {"type": "string", "description": "The picture's bytes in base64."},
                "samplers": {**_TEXTS, "description": "Samplers to choose from."},
                "schedulers": {**_TEXTS, "description": "Schedulers to choose from."},
                "models": {**_TEXTS, "description": "Checkpoints to choose from."}},
          refusals=(400,)),
)  # fmt: skip
