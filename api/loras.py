"""Reading: lists, counts, one card, its header, names, architectures, how far scan and hashing are."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..library.edits import sidecar_path
from ..library.entries import card_of, indexed
from ..library.facts import resolutions, training_tags
from ..library.fields import FIELDS
from ..library.find import find
from ..library.models import architecture_of
from ..library.search import MAX_PAGE, ORDERS, Query
from ..library.sums import stored_hashes
from ..library.training import training
from .route import Asked, Param, Refused, Route

FILTERS = (
    Param("text", "string", "Words that must all occur in name, path, alias, tags, texts, or begin a hash."),
    Param("folder", "string", "Folder below the LoRA folders, with /; its sub-folders are in."),
    Param("architecture", "strings", "Base model, any of those given; empty for unknown."),
    Param("family", "strings", "Family, any of those given."),
    Param("tag", "strings", "Tag, all of those given."),
    Param("favourite", "boolean", "Only favourites."),
    Param("used", "boolean", "Only what was used at least once."),
    Param("no_preview", "boolean", "Only those without a preview."),
    Param("missing", "boolean", "Only removed files and those whose drive is away."),
    Param("problem", "boolean", "Only those with a problem."),
    Param("adult", "boolean", "Only adult ones, or only others."),
    Param("ids", "integers", "Only these ids, joined by commas."),
)
ORDER = (
    Param("order", "string", "What the list is sorted by.", tuple(ORDERS)),
    Param("descending", "boolean", "Last first."),
)


def query_of(asked: Asked) -> Query:
    values = dict(asked.query)
    return Query(
        text=values.get("text", ""), folder=values.get("folder"), architectures=values.get("architecture", ()),
        families=values.get("family", ()), tags=values.get("tag", ()), favourite=values.get("favourite", False),
        used=values.get("used", False), no_preview=values.get("no_preview", False),
        missing=values.get("missing", False), problem=values.get("problem", False), adult=values.get("adult"),
        ids=values.get("ids"), order=values.get("order", "name"), descending=values.get("descending", False),
    )  # fmt: skip


def list_cards(asked: Asked) -> dict[str, Any]:
    query = query_of(asked)
    offset, limit = max(0, asked.query.get("offset", 0)), min(MAX_PAGE, max(0, asked.query.get("limit", 100)))
    ids = asked.deck.search.ids(query)
    return {
        "total": len(ids),
        "offset": offset,
        "revision": asked.deck.library.store.revision(),
        "items": asked.deck.search.cards(ids[offset : offset + limit]),
    }


def list_ids(asked: Asked) -> dict[str, Any]:
    return {"ids": asked.deck.search.ids(query_of(asked)), "revision": asked.deck.library.store.revision()}


def counts(asked: Asked) -> dict[str, Any]:
    return asked.deck.search.counts(query_of(asked))


def one_card(asked: Asked) -> dict[str, Any]:
    library = asked.deck.library
    file = indexed(library.store, asked.id)
    card = card_of(file)
    hashes = stored_hashes(library.store, asked.id)
    shown = asked.deck.search.cards([asked.id])[0]
    return {
        **shown,
        "problems": [p.as_json() for p in card.problems],
        "fields": dict(card.fields),
        "path": file.path,
        "sidecar": {"name": sidecar_path(file).name, "version": card.sidecar.version,
                    "saved": sorted(f.key for f in FIELDS if f.sidecar in card.sidecar.content)},
        "hashes": asdict(hashes) if hashes else None,
        "claims": list(card.claims),
        "training_tags": list(training_tags(card.header.metadata).items()),
        "resolutions": list(resolutions(card.header.metadata).items()),
        "training": training(card.header.metadata),
        "tensors": card.facts.tensors,
    }  # fmt: skip


def header(asked: Asked) -> dict[str, Any]:
    card = card_of(indexed(asked.deck.library.store, asked.id))
    return {"metadata": dict(card.header.metadata), "tensors": {k: list(v) for k, v in card.header.shapes.items()}}


def resolve(asked: Asked) -> dict[str, Any]:
    name = asked.query.get("name")
    if name is None:
        raise Refused(400, "name is missing.")
    file = find(asked.deck.library, name)
    return {"card": asked.deck.search.cards([file.id])[0], "hides": list(file.hides)}


def field_table(asked: Asked) -> dict[str, Any]:
    return {"fields": [
        {"key": f.key, "sidecar": f.sidecar, "type": f.kind, "label": f.label, "editable": f.editable,
         "searchable": f.searchable, "choices": list(f.choices)} for f in FIELDS]}  # fmt: skip


def architecture(asked: Asked) -> dict[str, Any]:
    name, kind = asked.query.get("name"), asked.query.get("kind")
    if not name:
        raise Refused(400, "name is missing.")
    library = asked.deck.library
    folders = [f for f in library.roots.models if kind in (None, f[0])]
    return {"name": name, "architecture": architecture_of(library.store, folders, name)}


def status(asked: Asked) -> dict[str, Any]:
    library = asked.deck.library
    return {
        "revision": library.store.revision(),
        "scan": library.scan_state,
        "hash": asked.deck.hasher.state,
        "folders": list(library.roots.loras),
    }


PAGING = (
    Param("offset", "integer", "Hits to leave out."),
    Param("limit", "integer", f"Cards to give, up to {MAX_PAGE}; 100 if not said."),
)
ROUTES = (
    Route("GET", "/lora-deck/loras", list_cards, "A page of cards", "Page", (*FILTERS, *ORDER, *PAGING),
          refusals=(400,)),
    Route("GET", "/lora-deck/loras/ids", list_ids, "The ids of all hits", "Ids", (*FILTERS, *ORDER), refusals=(400,)),
    Route("GET", "/lora-deck/loras/counts", counts, "How many there are of what", "Counts", FILTERS, refusals=(400,)),
    Route("GET", "/lora-deck/loras/{id}", one_card, "One card, read from disk", "FullCard", refusals=(404,)),
    Route("GET", "/lora-deck/loras/{id}/header", header, "The file's header", "Header", refusals=(404,)),
    Route("GET", "/lora-deck/resolve", resolve, "The file that a name stands for", "Resolved",
          (Param("name", "string", "As in a tag."),), refusals=(400, 404, 409)),
    Route("GET", "/lora-deck/fields", field_table, "The table of sidecar fields", "Fields"),
    Route("GET", "/lora-deck/architecture", architecture, "The architecture of a checkpoint or diffusion model",
          "Architecture", (Param("name", "string", "As in the host's combo."),
                           Param("kind", "string", "Which folders to look in; all if not said.",
                                 ("checkpoints", "diffusion_models"))), refusals=(400, 404)),
    Route("GET", "/lora-deck/status", status, "How far scan and hashing are", "Status"),
)  # fmt: skip
