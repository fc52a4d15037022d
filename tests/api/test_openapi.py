"""The description says what the server does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from lora_deck.api.openapi import SCHEMAS, document

from ..library.make import write_lora
from .conftest import Served

FILE = Path(__file__).parents[2] / "docs" / "openapi.json"
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,),
    "object": (dict,), "null": (type(None),),
}  # fmt: skip


def test_the_file_is_that_of_the_routes() -> None:
    assert json.loads(FILE.read_text(encoding="utf-8")) == document(), "run python tools/write_openapi.py"


def test_routes_and_description_name_the_same(served: Served) -> None:
    registered = set()
    for route in served._runner.app.router.routes():
        if route.method != "HEAD":
            registered.add((route.method.lower(), route.resource.canonical))
    described = {(method, path) for path, methods in document()["paths"].items() for method in methods}
    assert registered == described


def test_all_references_lead_somewhere() -> None:
    used = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(document())))
    assert used <= set(SCHEMAS)


def test_answers_are_as_described(served: Served) -> None:
    write_lora(served.loras / "ink.safetensors")
    (served.loras / "bad.safetensors").write_bytes(b"x")
    served.post("/lora-deck/refresh", {"wait": True})
    file_id = served.id_of("ink")
    for path, item in document()["paths"].items():
        if "get" not in item or "application/json" not in item["get"]["responses"]["200"]["content"]:
            continue
        where = path.replace("{id}", str(file_id))
        # These two read a checkpoint, which no library here has; the page tests read them.
        if "architecture" in path or path.endswith("/blocks/layout"):
            continue
        answer = served.get(where, **({"name": "ink"} if "resolve" in path else {}))
        assert answer.status == 200, path
        check(answer.json, item["get"]["responses"]["200"]["content"]["application/json"]["schema"], path)
    body = {"ids": [file_id], "favourite": True}
    check(served.post("/lora-deck/favourite", body).json, SCHEMAS["Marked"], "favourite")
    edited = served.post(f"/lora-deck/loras/{file_id}/edit", {"version": "", "fields": {"notes": "x"}}).json
    check(edited, SCHEMAS["Edited"], "edit")
    check(served.post("/lora-deck/hash", {"action": "cancel"}).json, SCHEMAS["Hashing"], "hash")


def test_the_check_itself_fails_where_it_should() -> None:
    for wrong in ({}, {"marked": "1"}):
        with pytest.raises(AssertionError):
            check(wrong, SCHEMAS["Marked"], "x")


def check(value: Any, schema: dict[str, Any], where: str) -> None:
    """The part of JSON schema that the description uses."""
    if "$ref" in schema:
        check(value, SCHEMAS[schema["$ref"].rpartition("/")[2]], where)
        return
    for part in schema.get("allOf", ()):
        check(value, part, where)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds:
        allowed = tuple(t for kind in kinds for t in TYPES[kind])
        assert isinstance(value, allowed) and (bool in allowed or not isinstance(value, bool)), f"{where}: {value!r}"
    if "enum" in schema:
        assert value in schema["enum"], where
    if isinstance(value, dict):
        for name in schema.get("required", ()):
            assert name in value, f"{where}.{name} is missing"
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                check(value[name], inner, f"{where}.{name}")
        if isinstance(schema.get("additionalProperties"), dict):
            for name, inner_value in value.items():
                check(inner_value, schema["additionalProperties"], f"{where}.{name}")
    if isinstance(value, list) and "items" in schema:
        for item in value:
            check(item, schema["items"], f"{where}[]")
