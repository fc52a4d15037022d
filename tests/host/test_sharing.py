"""Two machines with differently laid out libraries give the same picture, with no browser in between."""

from __future__ import annotations

import copy
import io
import json
import re
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from .elsewhere import GRAIN, INK, MIRA, NEON, THERE
from .graphs import Graph, node
from .harness import REPOSITORY
from .test_prompt_to_image import report_of
from .test_record import chunks, saved

if TYPE_CHECKING:
    from .harness import HostServer

TEXT = f"a boat <lora:{INK}:0.5:0.75><lora:{NEON}:0.5> <lora:{GRAIN}:0.8>"


def hashed(host: HostServer) -> HostServer:
    """Waits until the host knows all hashes, as a machine that has run for a while does."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        state = host.get("/lora-deck/status")
        if state["scan"]["phase"] == "idle" and not state["hash"]["running"]:
            return host
        time.sleep(0.2)
    raise TimeoutError("hashing does not end")


@pytest.fixture(scope="module")
def made_here(host: HostServer) -> tuple[Graph, np.ndarray]:
    """The API prompt as the picture of the first machine holds it, and the picture."""
    result = hashed(host).queue(saved(TEXT, prefix="shared"))
    prompt = chunks(host, result)["prompt"]
    (image,) = host.images(result, "image")
    return prompt, image


def lock_of(prompt: Graph) -> dict[str, Any]:
    lock: dict[str, Any] = json.loads(prompt["apply"]["inputs"]["lock"])
    return lock


def test_the_picture_carries_the_lock(made_here: tuple[Graph, np.ndarray]) -> None:
    lock = lock_of(made_here[0])
    assert lock["lora_deck_lock"] == 1 and [entry["name"] for entry in lock["entries"]] == [INK, NEON, GRAIN]
    for entry in lock["entries"]:
        assert entry["path"] == f"{entry['name']}.safetensors" and entry["size"] > 0 and entry["base_model"]
        assert re.fullmatch("[0-9a-f]{10}", entry["autov2"]) and re.fullmatch("[0-9a-f]{12}", entry["autov3"])


def test_the_prompt_gives_the_same_picture_elsewhere(
    elsewhere: HostServer, made_here: tuple[Graph, np.ndarray]
) -> None:
    prompt, image = made_here
    bare = copy.deepcopy(prompt)
    bare["apply"]["inputs"]["lock"] = ""
    assert "was not found" in elsewhere.queue(bare).message

    result = elsewhere.queue(prompt)
    assert result.ok, result.message
    assert np.array_equal(elsewhere.images(result, "image")[0], image)
    for name in (INK, GRAIN):  # the third name is an alias in its file's header
        there = THERE[name]
        assert f"{name}: found by its hash as {there}.safetensors" in report_of(result)
    loras = chunks(elsewhere, result)["lora_deck"]["nodes"]["apply"]["0"]["loras"]
    assert [lora["file"] for lora in loras] == [f"{THERE[name]}.safetensors" for name in (INK, NEON, GRAIN)]

    again = copy.deepcopy(prompt)
    again["image"]["inputs"]["filename_prefix"] = "again"
    result = elsewhere.queue(again)
    assert "apply" in result.cached and "image" in result.executed
    assert chunks(elsewhere, result)["prompt"]["apply"]["inputs"]["lock"] == prompt["apply"]["inputs"]["lock"]


def turned(value: Any) -> Any:
    """Every separator of every text turned, as roughly as a program that forwards prompts may do it."""
    if isinstance(value, dict):
        return {key: turned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [turned(item) for item in value]
    return value.replace("/", "\\") if isinstance(value, str) else value


def test_separators_turned_on_the_way(elsewhere: HostServer, made_here: tuple[Graph, np.ndarray]) -> None:
    prompt, image = made_here
    result = elsewhere.queue(turned(prompt))
    assert result.ok, result.message
    assert np.array_equal(elsewhere.images(result, "image")[0], image)


def test_a_name_in_a_combo(host: HostServer, elsewhere: HostServer) -> None:
    graph = saved("a boat", prefix="combo")
    graph["add"] = node("LoraStackAdd", lora_name=f"{NEON}.safetensors", te_weight=0.5, unet_weight=0.5)
    graph["apply"]["inputs"]["stack"] = ["add", 0]
    first = hashed(host).queue(graph)
    second = elsewhere.queue(chunks(host, first)["prompt"])
    assert second.ok, second.message
    assert np.array_equal(host.images(first, "image")[0], elsewhere.images(second, "image")[0])


def test_a_missing_one_is_named_with_all_that_is_known(host: HostServer, elsewhere: HostServer) -> None:
    prompt = chunks(host, hashed(host).queue(saved(f"a boat <lora:{MIRA}:0.5>", prefix="mira")))["prompt"]
    (entry,) = lock_of(prompt)["entries"]
    name = entry["name"] = "characters/gone"
    prompt["apply"]["inputs"]["lock"] = json.dumps({"lora_deck_lock": 1, "entries": [entry]})
    prompt["parser"]["inputs"]["text"] = f"a boat <lora:{name}:0.5>"
    message = elsewhere.queue(prompt).message
    assert all(part in message for part in (name, entry["autov2"], entry["autov3"], entry["base_model"]))
    prompt["apply"]["inputs"]["missing"] = "warn"
    result = elsewhere.queue(prompt)
    assert entry["autov3"] in report_of(result)


def test_other_content_is_never_silent(host: HostServer, elsewhere: HostServer) -> None:
    prompt = chunks(host, hashed(host).queue(saved(f"a boat <lora:{MIRA}:0.5>", prefix="mira")))["prompt"]
    (entry,) = lock_of(prompt)["entries"]
    since = len(elsewhere.log())
    result = elsewhere.queue(prompt)
    report = report_of(result)
    assert "is another file here" in report and entry["autov2"] in report and "Warning" in report
    assert "is another file here" in elsewhere.log(since)

    result = elsewhere.queue(prompt, extra_data={"lora_deck": {"other_content": "error"}})
    assert result.status == "error" and entry["autov3"] in result.message and MIRA in result.message

    right = elsewhere.loras / "found after all.safetensors"
    right.write_bytes((host.loras / f"{MIRA}.safetensors").read_bytes())
    try:
        result = elsewhere.queue(prompt, extra_data={"lora_deck": {"other_content": "error"}})
        assert "found by its hash as found after all.safetensors" in report_of(result)
        first = host.queue(prompt)
        assert np.array_equal(elsewhere.images(result, "image")[0], host.images(first, "image")[0])
    finally:
        right.unlink()


@pytest.mark.parametrize(
    ("lock", "says"),
    [
        ('{"lora_deck_lock": 2, "entries": []}', "Update LoRA Deck"),
        ('{"lora_deck_lock": 1, "entries": [{"name": "a', "cut short"),
        (json.dumps({"lora_deck_lock": 1, "entries": [{"name": str(n)} for n in range(10_000)]}), "10,000 entries"),
    ],
)
def test_a_bad_lock_is_told_and_names_count(elsewhere: HostServer, lock: str, says: str) -> None:
    graph = saved(f"a boat <lora:{THERE[GRAIN]}:0.5>", prefix="bad")
    graph["apply"]["inputs"]["lock"] = lock
    assert says in report_of(elsewhere.queue(graph))
    graph["parser"]["inputs"]["text"] = f"a boat <lora:{GRAIN}:0.5>"
    message = elsewhere.queue(graph).message
    assert says in message and GRAIN in message


def test_the_documented_program_for_workers(host: HostServer, elsewhere: HostServer, tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "sharing.md").read_text(encoding="utf-8")
    program, workflow = tmp_path / "program.py", tmp_path / "workflow.json"
    program.write_text(page.split("```python\n")[1].split("```")[0], encoding="utf-8")
    graph = saved(TEXT, prefix="workers")
    workflow.write_text(json.dumps(graph), encoding="utf-8")
    command = [sys.executable, program, workflow, "sampler", hashed(host).address, host.address, elsewhere.address]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split()[0] for line in lines] == [host.address, elsewhere.address]
    for seed, (worker, line) in enumerate(zip((host, elsewhere), lines, strict=True)):
        graph["sampler"]["inputs"]["seed"] = seed
        queued = line.split()[1]
        while queued not in (history := worker.get(f"/history/{queued}")):
            time.sleep(0.1)
        item = history[queued]["outputs"]["image"]["images"][0]
        shown = worker.request("GET", "/view?" + urllib.parse.urlencode(item)).body
        image = np.asarray(Image.open(io.BytesIO(shown)).convert("RGB"))
        assert np.array_equal(image, host.images(host.queue(graph), "image")[0])


def test_the_lock_is_an_input_that_nobody_sees(host: HostServer) -> None:
    kind, options = host.object_info("LoraStackApply")["input"]["optional"]["lock"]
    assert kind == "STRING" and options["hidden"] and options["socketless"] and options["default"] == ""
