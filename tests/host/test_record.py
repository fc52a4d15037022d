"""What was applied is written into the pictures, by whichever node saves them."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import urllib.parse
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from .graphs import Graph, node
from .test_prompt_to_image import INK, tagged

if TYPE_CHECKING:
    from .conftest import StartHost
    from .harness import HostServer, Result


def saved(text: Any, prefix: str = "record", **more: Any) -> Graph:
    graph = tagged(text, **more)
    graph["image"] = node("SaveImage", images=["picture", 0], filename_prefix=prefix)
    return graph


def chunks(host: HostServer, result: Result, which: int = 0) -> dict[str, Any]:
    """The text chunks of the saved picture, as values."""
    assert result.ok, result.message
    item = result.outputs["image"]["images"][which]
    body = host.request("GET", "/view?" + urllib.parse.urlencode(item)).body
    return {key: json.loads(text) for key, text in Image.open(io.BytesIO(body)).text.items()}  # type: ignore[attr-defined]


def applied(host: HostServer, result: Result, which: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = chunks(host, result, which)["lora_deck"]["nodes"]["apply"]
    return found


def test_the_picture_says_what_was_applied(host: HostServer) -> None:
    text = "a boat <lora:ink_wash_v2:0.5:0.75:dyn=4:lbw=MIDD><lora:mira_lighthouse:0.25:hr=0.5>"
    run = applied(host, host.queue(saved(text)))["0"]
    assert (run["pass"], run["left_out"]) == ("first", [])
    ink, mira = run["loras"]
    content = (host.loras / INK).read_bytes()
    assert ink["file"] == INK and ink["size"] == len(content)
    assert ink["sha256"] == hashlib.sha256(content).hexdigest() and ink["autov2"] == ink["sha256"][:10]
    behind = content[8 + int.from_bytes(content[:8], "little") :]
    assert ink["autov3"] == hashlib.sha256(behind).hexdigest()[:12]
    assert (ink["te"], ink["unet"], ink["rank_limit"]) == (0.5, 0.75, 4)
    assert ink["entry"] == {"name": "ink_wash_v2", "te": 0.5, "unet": 0.75, "dyn": 4, "lbw": "MIDD"}
    assert set(ink["blocks"].values()) == {0.0, 1.0} and ink["blocks"]["M00"] == 1.0
    assert mira["entry"]["hr_te"] == 0.5 and mira["te"] == 0.25 and "blocks" not in mira
    assert run["architecture"] == ink["base_model"]


def test_the_hires_pass_records_its_weights(host: HostServer) -> None:
    graph = saved("a boat <lora:ink_wash_v2:0.5:hr=0.25>")
    graph["apply"]["inputs"]["sampling_pass"] = "hires"
    run = applied(host, host.queue(graph))["0"]
    assert run["pass"] == "hires" and run["loras"][0]["te"] == run["loras"][0]["unet"] == 0.25


def test_a_cached_apply_is_recorded_with_a_new_saver_and_its_own_run(start_host: StartHost) -> None:
    host = start_host("--cache-lru", "64")
    for weight in ("0.31", "0.32", "0.33"):
        assert host.queue(saved(f"a boat <lora:ink_wash_v2:{weight}>")).ok
    again = host.queue(saved("a boat <lora:ink_wash_v2:0.31>", prefix="another"))
    assert "image" in again.executed and "apply" in again.cached
    assert applied(host, again)["0"]["loras"][0]["te"] == 0.31


def test_prompts_queued_before_the_first_of_them_ran(host: HostServer) -> None:
    graphs = [saved("a boat <lora:ink_wash_v2:0.41>", prefix=f"batch{n}") for n in range(3)]
    ids = [host.post("/prompt", {"prompt": graph})["prompt_id"] for graph in graphs]
    host.queue(tagged("wait for it"))
    for prompt_id in ids:
        outputs = host.get(f"/history/{prompt_id}")[prompt_id]["outputs"]
        body = host.request("GET", "/view?" + urllib.parse.urlencode(outputs["image"]["images"][0])).body
        text = Image.open(io.BytesIO(body)).text["lora_deck"]  # type: ignore[attr-defined]
        assert json.loads(text)["nodes"]["apply"]["0"]["loras"][0]["te"] == 0.41


def test_linked_text_and_a_list_of_prompts(host: HostServer) -> None:
    texts = [f"a boat <lora:ink_wash_v2:{weight}>" for weight in (0.5, 0.25)]
    graph = saved(["texts", 0], texts=node("ProbeTexts", texts=json.dumps(texts)))
    result = host.queue(graph)
    assert len(result.outputs["image"]["images"]) == 2
    runs = applied(host, result, 1)
    assert [runs[index]["loras"][0]["te"] for index in ("0", "1")] == [0.5, 0.25]


def test_what_is_left_out_is_recorded_with_its_reason(host: HostServer) -> None:
    graph = saved("a boat <lora:no_such:0.5>", missing="warn")
    run = applied(host, host.queue(graph))["0"]
    assert run["loras"] == [] and run["left_out"][0]["entry"]["name"] == "no_such"
    assert "was not found" in run["left_out"][0]["reason"]


def test_a_file_written_over_is_recorded_anew(host: HostServer) -> None:
    path = host.loras / "record_copy.safetensors"
    shutil.copyfile(host.loras / INK, path)
    try:
        graph = saved("a boat <lora:record_copy:0.5>")
        before = applied(host, host.queue(graph))["0"]["loras"][0]["sha256"]
        shutil.copyfile(host.loras / "characters" / "mira_lighthouse.safetensors", path)
        after = applied(host, host.queue(saved("a boat <lora:record_copy:0.5>", prefix="new")))["0"]["loras"][0]
        assert after["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest() != before
    finally:
        path.unlink()


@pytest.mark.parametrize("extra", [{}, {"extra_pnginfo": None}, {"extra_pnginfo": {"workflow": {"nodes": []}}}])
def test_a_workflow_that_came_along_stays(host: HostServer, extra: dict[str, Any]) -> None:
    result = host.queue(saved("a boat <lora:ink_wash_v2:0.6>", prefix=f"extra{len(str(extra))}"), extra_data=extra)
    found = chunks(host, result)
    assert found["lora_deck"]["nodes"]["apply"]["0"]["loras"]
    assert found.get("workflow") == (extra.get("extra_pnginfo") or {}).get("workflow")
