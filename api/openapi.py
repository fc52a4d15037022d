"""The description of the API in OpenAPI's form, generated from the routes."""

from __future__ import annotations

import re
from typing import Any

from ..library.fields import FIELDS
from . import a1111, blocks, changes, infotext_routes, loras, pictures, sharing_routes
from .route import Param, Route

ROUTES: tuple[Route, ...] = (*loras.ROUTES, *changes.ROUTES, *pictures.ROUTES, *sharing_routes.ROUTES,
                              *infotext_routes.ROUTES, *blocks.ROUTES)  # fmt: skip

_STRING: dict[str, Any] = {"type": "string"}
_INTEGER: dict[str, Any] = {"type": "integer"}
_NUMBER: dict[str, Any] = {"type": "number"}
_BOOLEAN: dict[str, Any] = {"type": "boolean"}
_MAYBE_STRING = {"type": ["string", "null"]}
_MAYBE_NUMBER = {"type": ["number", "null"]}
_STRINGS = {"type": "array", "items": _STRING}
_COUNTS = {"type": "object", "additionalProperties": _INTEGER}
_PAIRS = {"type": "array", "items": {"type": "array", "prefixItems": [_STRING, _INTEGER]}}
_KINDS: dict[str, dict[str, Any]] = {"number": _NUMBER, "list": _STRINGS}


def _object(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), **more}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


_CARD = {
    "id": _INTEGER, "name": _STRING, "folder": _STRING, "root": _STRING, "insert": _STRING, "size": _INTEGER,
    "modified": _NUMBER, "added": _NUMBER, "version": _STRING,
    "state": {"type": "string", "enum": ["present", "away", "missing"]}, "reading": _BOOLEAN,
    "autov2": _MAYBE_STRING, "autov3": _MAYBE_STRING, "favourite": _BOOLEAN, "uses": _INTEGER, "used": _MAYBE_NUMBER,
    "aliases": _STRINGS, "preview_kind": _STRING, "problems": {"type": "array", "items": _ref("Problem")},
    "fields": _ref("FieldValues"),
}  # fmt: skip
_SCAN = _object({"phase": {"type": "string", "enum": ["idle", "listing", "reading"]}, "done": _INTEGER,
                 "total": _INTEGER, "unreachable": {"type": "object", "additionalProperties": _STRING}})  # fmt: skip
_HASHING = _object({
    "running": _BOOLEAN, "paused": _BOOLEAN, "off": _BOOLEAN, "done": _INTEGER, "total": _INTEGER, "bytes": _INTEGER,
    "total_bytes": _INTEGER, "bytes_per_second": _NUMBER, "seconds_left": _MAYBE_NUMBER})  # fmt: skip
SCHEMAS: dict[str, dict[str, Any]] = {
    "Problem": _object({"part": {"type": "string", "enum": ["file", "sidecar", "preview"]}, "code": _STRING,
                        "reason": _STRING}),
    "FieldValues": {"type": "object", "properties": {f.key: _KINDS.get(f.kind, _STRING) for f in FIELDS}},
    "Card": {"type": "object", "required": list(_CARD), "properties": {
        **_CARD, "architecture": _MAYBE_STRING, "family": _STRING, "adult": _BOOLEAN, "preview": _STRING,
        "preview_version": _STRING, "ranks": {"type": ["array", "null"], "items": _INTEGER},
        "civitai_base_model": _STRING, "title": _STRING}},
    "FullCard": {"allOf": [_ref("Card"), _object({
        "path": _STRING, "sidecar": _object({"name": _STRING, "version": _STRING, "saved": _STRINGS}),
        "hashes": {"type": ["object", "null"]}, "claims": _STRINGS, "training_tags": _PAIRS, "resolutions": _PAIRS,
        "training": {"type": "object", "additionalProperties": _STRING}, "tensors": _INTEGER})]},
    "Page": _object({"total": _INTEGER, "offset": _INTEGER, "revision": _INTEGER,
                     "items": {"type": "array", "items": _ref("Card")}}),
    "Ids": _object({"ids": {"type": "array", "items": _INTEGER}, "revision": _INTEGER}),
    "Counts": _object({"total": _INTEGER, "architecture": _COUNTS, "family": _COUNTS, "folder": _COUNTS,
                       "tag": _COUNTS, "favourite": _INTEGER, "used": _INTEGER, "no_preview": _INTEGER,
                       "missing": _INTEGER, "problem": _INTEGER}),
    "Header": _object({"metadata": {"type": "object", "additionalProperties": _STRING}, "tensors": {"type": "object"}}),
    "Resolved": _object({"card": _ref("Card"), "hides": _STRINGS}),
    "Fields": _object({"fields": {"type": "array", "items": _object({
        "key": _STRING, "sidecar": _STRING, "type": _STRING, "label": _STRING, "editable": _BOOLEAN,
        "searchable": _BOOLEAN, "choices": _STRINGS})}}),
    "Architecture": _object({"name": _STRING, "architecture": _MAYBE_STRING}),
    "Hashing": _HASHING,
    "Status": _object({"revision": _INTEGER, "scan": _SCAN, "hash": _ref("Hashing"), "folders": _STRINGS}),
    "Edited": _object({"saved": _STRING, "version": _STRING, "card": _ref("FullCard")}),
    "PreviewSaved": _object({"saved": _STRING, "card": _ref("FullCard")}),
    "Marked": _object({"marked": _INTEGER}),
    "Refreshed": _object({"scan": _SCAN, "revision": _INTEGER}),
    "Logging": _object({"detailed": _BOOLEAN}),
    "Locks": _object({"locks": {"type": "object", "additionalProperties": _STRING}, "lock": _STRING,
                      "problems": {"type": "object", "additionalProperties": _STRING}}),
    "NamedLora": _object({
        "name": _STRING, "path": _STRING, "autov2": _MAYBE_STRING, "autov3": _MAYBE_STRING,
        "size": {"type": ["integer", "null"]}, "base_model": _MAYBE_STRING, "weights": _STRING, "file": _MAYBE_STRING,
        "own": {"type": ["object", "null"]}, "closest": _STRING, "used_by": {"type": "array", "items": _object({
            "graph": _STRING, "node": _STRING, "type": _STRING, "title": _STRING, "kind": _STRING})}}),
    "Relinked": _object({
        "locked": _BOOLEAN, "total": _INTEGER, "problems": _STRINGS,
        "changes": {"type": "array", "items": _object({
            "graph": _STRING, "node": _STRING, "index": {"type": ["integer", "string"]}, "value": {}})},
        **{key: {"type": "array", "items": _ref("NamedLora")} for key in ("found", "missing", "differing")}}),
    "Infotext": _object({
        "text": _STRING, "workflow": _BOOLEAN, "note": _STRING, "program": _STRING,
        "hires_weights": _BOOLEAN, "prompt": _STRING, "clean_prompt": _STRING,
        "negative": _STRING, "fields": {"type": "object"}, "stack": {"type": "object"}, "repeats": _BOOLEAN,
        "steps": {"type": ["integer", "null"]}, "cfg": _MAYBE_NUMBER, "seed": {"type": ["integer", "null"]},
        "size": {"type": ["array", "null"], "items": _INTEGER}, "sampler": _MAYBE_STRING, "scheduler": _MAYBE_STRING,
        "model": _MAYBE_STRING,
        "loras": {"type": "array", "items": {"type": "object", "required": ["name", "found"], "properties": {
            "name": _MAYBE_STRING, "written": _MAYBE_STRING, "file": _MAYBE_STRING, "te": _MAYBE_NUMBER,
            "unet": _MAYBE_NUMBER, "hash": _STRING, "note": _STRING,
            "found": {"type": "string", "enum": ["hash", "name", "missing"]}}}}}),
    "BlockValues": _object({"blocks": {"type": "object", "additionalProperties": _NUMBER}}),
    "PresetNames": _object({"built_in": _STRINGS, "own": _STRINGS}),
    "OwnPresets": _object({"own": _STRINGS}),
    "BlocksOf": _object({"name": _STRING, "ids": _STRINGS}),
    "Refusal": {"type": "object", "required": ["error"], "properties": {"error": _STRING}},
    "A1111Lora": _object({"name": _STRING, "alias": _STRING, "path": _STRING, "metadata": {"type": "object"}}),
}  # fmt: skip
_REFUSALS = {400: "Not understood", 404: "Not there", 409: "Conflict: nothing was changed",
             415: "Wrong type of content", 422: "Cannot be saved: nothing was changed"}  # fmt: skip


def document() -> dict[str, Any]:
    """The whole description, as JSON."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    paths[a1111.LIST] = {"get": {"summary": "All LoRAs, as A1111 lists them", "responses": {"200": _answer(
        {"type": "array", "items": _ref("A1111Lora")})}}}  # fmt: skip
    paths[a1111.REFRESH] = {"post": {"summary": "Looks for new files, as A1111 does; any body or none",
                                     "responses": {"200": _answer({"type": "null"})}}}  # fmt: skip
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "LoRA Deck", "version": "1",
            "description": "Served by the host at / and below /api. Events come by the host's websocket: "
            "lora-deck.scan, lora-deck.hash, lora-deck.changed, lora-deck.lock.",
        },
        "paths": paths,
        "components": {"schemas": SCHEMAS},
    }  # fmt: skip


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": route.summary}
    parameters = [{"name": name, "in": "path", "required": True, "schema": _INTEGER}
                  for name in re.findall(r"\{(\w+)\}", route.path)]  # fmt: skip
    parameters += [_parameter(param) for param in route.query]
    if parameters:
        operation["parameters"] = parameters
    if route.method == "POST":
        schema = {"type": "object", "properties": dict(route.body), "required": list(route.required),
                  "additionalProperties": False}  # fmt: skip
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    good = ({"description": "OK", "content": {route.answer: {}}} if "/" in route.answer
            else _answer(_ref(route.answer)))  # fmt: skip
    operation["responses"] = {"200": good, **{
        str(status): {"description": _REFUSALS[status], "content": {"application/json": {"schema": _ref("Refusal")}}}
        for status in route.refusals}}  # fmt: skip
    return operation


def _parameter(param: Param) -> dict[str, Any]:
    schemas: dict[str, dict[str, Any]] = {
        "string": _STRING, "integer": _INTEGER, "boolean": _BOOLEAN, "strings": _STRINGS,
        "integers": {"type": "array", "items": _INTEGER},
    }  # fmt: skip
    schema = dict(schemas[param.kind])
    if param.choices:
        schema["enum"] = list(param.choices)
    shown: dict[str, Any] = {"name": param.name, "in": "query", "description": param.text, "schema": schema}
    if param.kind == "integers":
        shown |= {"style": "form", "explode": False}
    return shown


def _answer(schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": "OK", "content": {"application/json": {"schema": schema}}}
