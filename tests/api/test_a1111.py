"""A1111's list, in its exact shape."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ..library.make import SD1_KEYS, write_lora, write_raw
from .conftest import Served

KEYS = {"name", "alias", "path", "metadata"}


def listed(served: Served) -> dict[str, dict[str, object]]:
    answer = served.get("/sdapi/v1/loras")
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("application/json")
    assert all(set(item) == KEYS for item in answer.json)
    return {item["name"]: item for item in answer.json}


def test_the_list_has_a1111s_shapes(make_served: Callable[..., Served], tmp_path: Path) -> None:
    loras = tmp_path / "loras"
    frequency = {"img": {"1girl": 3}}
    write_lora(loras / "sub" / "ink.safetensors", {
        "z": "1", "ss_output_name": "Tusche", "ss_tag_frequency": json.dumps(frequency), "ss_sd_model_name": "m",
        "list": "[1, 2]", "broken": "{not json"})  # fmt: skip
    write_lora(loras / "plain.safetensors")
    (loras / "old.pt").write_bytes(b"x")
    (loras / "bad.safetensors").write_bytes(b"")
    items = listed(make_served())
    assert set(items) == {"ink", "plain", "old", "bad"}
    ink = items["ink"]
    assert ink["alias"] == "Tusche" and ink["path"] == str(loras / "sub" / "ink.safetensors")
    assert ink["metadata"]["ss_tag_frequency"] == frequency
    assert ink["metadata"]["list"] == "[1, 2]" and ink["metadata"]["broken"] == "{not json"
    assert list(ink["metadata"])[:2] == ["ss_sd_model_name", "ss_tag_frequency"]
    assert items["plain"] == {
        "name": "plain", "alias": "plain", "path": str(loras / "plain.safetensors"), "metadata": {}}  # fmt: skip
    assert items["bad"]["metadata"] == {} and items["old"]["metadata"] == {}


def test_every_listed_name_resolves_to_its_file(make_served: Callable[..., Served], tmp_path: Path) -> None:
    for number, name in enumerate(("a/x", "b/x", "x2", "b/y.v1")):
        write_lora(tmp_path / "loras" / f"{name}.safetensors", fill=bytes([number]))
    served = make_served()
    items = listed(served)
    assert len(items) == 4
    for name, item in items.items():
        card = served.get("/lora-deck/resolve", name=name).json["card"]
        assert item["path"] == str(tmp_path / "loras" / card["name"])


@pytest.mark.parametrize("how", [{}, {"data": b""}, {"json": {}}, {"data": b'""'}, {"data": b"rubbish"}])
def test_refresh_takes_any_body_and_returns_null(served: Served, how: dict[str, object]) -> None:
    write_lora(served.loras / "late.safetensors")
    answer = served.post("/sdapi/v1/refresh-loras", **(how or {"data": None}))
    assert answer.status == 200 and answer.body == b"null"
    assert "late" in listed(served)


def test_a_thousand_files_come_as_one_json(served: Served) -> None:
    header = json.dumps({k: {"dtype": "F16", "shape": [0, *s[1:]], "data_offsets": [0, 0]}
                         for k, s in SD1_KEYS.items()}).encode()  # fmt: skip
    for number in range(1000):
        write_raw(served.loras / f"{number:04}.safetensors", header, bytes([number % 256, number // 256]))
    served.post("/sdapi/v1/refresh-loras", data=None)
    assert len(listed(served)) == 1000
