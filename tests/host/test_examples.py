"""The example workflows as the host's template browser finds them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .harness import PACK

if TYPE_CHECKING:
    from .harness import HostServer

EXAMPLES = sorted(path.stem for path in (Path(__file__).parents[2] / "example_workflows").glob("*.json"))


def test_the_template_browser_lists_them(host: HostServer) -> None:
    assert EXAMPLES and sorted(host.get("/workflow_templates")[PACK]) == EXAMPLES


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_opens_with_its_picture_and_known_nodes(host: HostServer, name: str) -> None:
    workflow = host.get(f"/api/workflow_templates/{PACK}/{name}.json")
    picture = host.request("GET", f"/api/workflow_templates/{PACK}/{name}.jpg")
    assert picture.status == 200 and picture.body[:3] == b"\xff\xd8\xff"
    for spec in workflow["nodes"]:
        info = host.object_info(spec["type"])
        widgets = [w for w in json.loads(json.dumps(spec["inputs"])) if w.get("widget")]
        names = {*info["input"].get("required", {}), *info["input"].get("optional", {})}
        assert {w["name"] for w in widgets} <= names
