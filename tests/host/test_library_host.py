"""The library on a real host: its routes, its events, the host's own lists, and A1111's clients."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ..library.make import write_lora
from .conftest import StartHost
from .harness import HostServer


def settled(host: HostServer) -> None:
    wait_for(lambda: host.get("/lora-deck/status")["scan"]["phase"] == "idle")


def wait_for(true: Callable[[], Any], seconds: float = 30) -> Any:
    end = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)
    return value


@contextmanager
def listening(host: HostServer) -> Iterator[list[dict[str, Any]]]:
    """The messages of the host's websocket while the block runs."""
    heard: list[dict[str, Any]] = []
    ready, done = threading.Event(), threading.Event()

    async def listen() -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(host.address + "/ws?clientId=ears") as socket:
            ready.set()
            while not done.is_set():
                try:
                    message = await socket.receive(timeout=0.2)
                except asyncio.TimeoutError:
                    continue
                if message.type == aiohttp.WSMsgType.TEXT:
                    heard.append(json.loads(message.data))

    thread = threading.Thread(target=lambda: asyncio.run(listen()))
    thread.start()
    assert ready.wait(10)
    try:
        yield heard
    finally:
        done.set()
        thread.join()


def names(host: HostServer, **query: str) -> set[str]:
    return {c["name"] for c in host.get("/lora-deck/loras?limit=500&" + urllib.parse.urlencode(query))["items"]}


def test_all_files_are_there_also_below_api(host: HostServer) -> None:
    settled(host)
    on_disk = {p.relative_to(host.loras).as_posix() for p in host.loras.rglob("*.safetensors")}
    assert on_disk and names(host) >= on_disk
    assert host.get("/api/lora-deck/loras")["total"] == host.get("/lora-deck/loras")["total"]


def test_a_file_that_appears_is_told_and_is_in_the_hosts_combo(host: HostServer) -> None:
    settled(host)
    with listening(host) as heard:
        write_lora(host.loras / "sub" / "late arrival.safetensors")
        wait_for(lambda: "sub/late arrival.safetensors" in names(host))
        wait_for(lambda: any(m["type"] == "lora-deck.changed" and m["data"]["added"] for m in heard))
    combo = host.object_info("LoraLoader")["input"]["required"]["lora_name"]
    assert "sub/late arrival.safetensors" in [name.replace("\\", "/") for name in _options(combo)]
    with listening(host) as heard:
        (host.loras / "sub" / "late arrival.safetensors").unlink()
        wait_for(lambda: "sub/late arrival.safetensors" not in names(host))
        wait_for(lambda: any(m["type"] == "lora-deck.changed" and m["data"]["removed"] for m in heard))
    combo = host.object_info("LoraLoader")["input"]["required"]["lora_name"]
    assert not any("late arrival" in name for name in _options(combo))


def test_hashing_tells_its_progress(host: HostServer) -> None:
    settled(host)
    with listening(host) as heard:
        write_lora(host.loras / "to hash.safetensors", {"x": str(time.time_ns())})
        card = wait_for(lambda: next(
            (c for c in host.get("/lora-deck/loras?text=to+hash")["items"] if c["autov2"]), None))  # fmt: skip
        wait_for(lambda: any(m["type"] == "lora-deck.hash" for m in heard))
    progress = [m["data"] for m in heard if m["type"] == "lora-deck.hash"]
    assert {"done", "total", "bytes_per_second", "seconds_left", "paused"} <= set(progress[-1])
    (host.loras / "to hash.safetensors").unlink()
    assert len(card["autov3"]) == 12


def test_the_index_is_where_the_host_serves_nothing_from(host: HostServer) -> None:
    settled(host)
    assert (host.base / "user" / "__lora_deck" / "index.sqlite3").exists()
    assert host.request("GET", "/userdata/..%2F__lora_deck%2Findex.sqlite3").status in (400, 403, 404)


def test_pictures_do_not_get_the_hosts_day_of_caching(host: HostServer) -> None:
    from PIL import Image

    settled(host)
    lora = write_lora(host.loras / "pictured.safetensors")
    Image.new("RGB", (64, 64), "red").save(lora.with_suffix(".png"))
    host.post("/lora-deck/refresh", {"wait": True})
    (card,) = host.get("/lora-deck/loras?text=pictured")["items"]
    answer = host.request("GET", f"/lora-deck/loras/{card['id']}/thumbnail?side=128")
    assert answer.status == 200 and answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["Content-Type"] == "image/webp"
    for path in (lora, lora.with_suffix(".png")):
        path.unlink()


def test_a_page_elsewhere_cannot_change_anything(host: HostServer) -> None:
    settled(host)
    lora = write_lora(host.loras / "guarded.safetensors")
    host.post("/lora-deck/refresh", {"wait": True})
    (card,) = host.get("/lora-deck/loras?text=guarded")["items"]
    path = f"/lora-deck/loras/{card['id']}/edit"
    body = {"version": "", "fields": {"notes": "x"}}
    # A form is sent without asking the server first; the host lets it pass where no browser says whence it came.
    assert host.request("POST", path, body, {"Content-Type": "text/plain"}).status == 415
    assert host.request("POST", path, body, {"Sec-Fetch-Site": "cross-site"}).status == 403
    assert not lora.with_suffix(".json").exists()
    lora.unlink()


def test_only_the_two_routes_of_a1111_are_served(host: HostServer) -> None:
    for path in ("options", "samplers", "sd-models", "txt2img", "progress"):
        assert host.request("GET", f"/sdapi/v1/{path}").status == 404
    for body in (None, {}, ""):
        answer = host.request("POST", "/sdapi/v1/refresh-loras", body)
        assert answer.status == 200 and answer.body == b"null"


def test_webuiapi_lists_them(host: HostServer) -> None:
    import webuiapi

    client = webuiapi.WebUIApi(baseurl=host.address + "/sdapi/v1")
    listed = client.get_loras()
    assert len(listed) == host.get("/lora-deck/loras")["total"]
    assert all(Path(item["path"]).is_file() and item["alias"] for item in listed)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="sd-backend-client needs Python 3.11")
def test_sd_backend_client_lists_and_refreshes(host: HostServer) -> None:
    from sd_backend_client.api.a1111_webservice import A1111Webservice

    client = A1111Webservice(host.address)
    lora = write_lora(host.loras / "for the client.safetensors", {"ss_output_name": "alias of it",
                                                                 "ss_tag_frequency": '{"a": {"b": 1}}'})  # fmt: skip
    assert client.refresh_loras().json() is None
    (mine,) = [item for item in client.get_loras() if item.name == "for the client"]
    assert mine.alias == "alias of it" and mine.metadata["ss_tag_frequency"] == {"a": {"b": 1}}
    lora.unlink()


def test_a1111s_own_folders_through_extra_model_paths(
    start_host: StartHost, tmp_path_factory: pytest.TempPathFactory
) -> None:
    a1111 = tmp_path_factory.mktemp("webui")
    write_lora(a1111 / "models" / "Lora" / "from a1111.safetensors")
    (a1111 / "models" / "Lora" / "from a1111.json").write_text('{"activation text": "brush", "sd version": "SD1"}')
    write_lora(a1111 / "elsewhere" / "from lora-dir.safetensors")
    listed = a1111 / "paths.yaml"
    folders = f"        models/Lora\n        {a1111 / 'elsewhere'}\n"
    listed.write_text(f"a1111:\n    base_path: {a1111}\n    loras: |\n{folders}")
    host = start_host("--extra-model-paths-config", str(listed))
    settled(host)
    assert {"from a1111.safetensors", "from lora-dir.safetensors"} <= names(host)
    (card,) = host.get("/lora-deck/loras?text=from+a1111")["items"]
    assert card["fields"]["activation_text"] == "brush"
    moved = a1111.with_name("unplugged")
    a1111.rename(moved)
    host.post("/lora-deck/refresh", {"wait": True})
    away = {c["name"]: c["state"] for c in host.get("/lora-deck/loras?missing=true")["items"]}
    assert away["from a1111.safetensors"] == "away"
    moved.rename(a1111)
    host.post("/lora-deck/refresh", {"wait": True})
    (card,) = host.get("/lora-deck/loras?text=from+a1111")["items"]
    assert card["state"] == "present"
    shutil.rmtree(a1111)


def _options(combo: list[Any]) -> list[str]:
    return combo[0] if isinstance(combo[0], list) else combo[1]["options"]
