"""Everything that changes something: JSON only, ids only, nothing lost."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ..library.make import write_lora
from .conftest import Served

SAVED = {"zeta": [1, 2], "description": "old", "alias": "kürzel", "deep": {"b": 1, "a": None}, "weight": 0.1}


@pytest.fixture
def deck(make_served: Callable[..., Served], tmp_path: Path) -> Served:
    write_lora(tmp_path / "loras" / "ink.safetensors", {"ss_output_name": "Tusche"})
    (tmp_path / "loras" / "ink.json").write_text(json.dumps(SAVED, ensure_ascii=False), encoding="utf-8")
    write_lora(tmp_path / "loras" / "bare.safetensors", fill=b"\x02")
    return make_served()


def edit(deck: Served, name: str, fields: dict[str, Any], version: str | None = None) -> Any:
    file_id = deck.id_of(name)
    if version is None:
        version = deck.get(f"/lora-deck/loras/{file_id}").json["sidecar"]["version"]
    return deck.post(f"/lora-deck/loras/{file_id}/edit", {"version": version, "fields": fields})


def on_disk(deck: Served, name: str) -> dict[str, Any]:
    return json.loads((deck.loras / name).read_text(encoding="utf-8"))


def test_an_edit_keeps_every_other_key_in_order(deck: Served) -> None:
    before = (deck.loras / "ink.json").read_bytes()
    lora = (deck.loras / "ink.safetensors").read_bytes()
    answer = edit(deck, "ink", {"description": "neu ✎", "preferred_weight": 0.8, "tags": ["a", "b"]})
    assert answer.status == 200 and answer.json["saved"] == "ink.json"
    raw = (deck.loras / "ink.json").read_text(encoding="utf-8")
    assert "neu ✎" in raw and '\n    "zeta"' in raw
    expected = {**SAVED, "description": "neu ✎", "preferred weight": 0.8, "tags": ["a", "b"]}
    assert list(json.loads(raw).items()) == list(expected.items())
    assert (deck.loras / "ink.json.bak").read_bytes() == before
    assert (deck.loras / "ink.safetensors").read_bytes() == lora
    assert sorted(p.name for p in deck.loras.iterdir()) == [
        "bare.safetensors", "ink.json", "ink.json.bak", "ink.safetensors"]  # fmt: skip
    edit(deck, "ink", {"description": "third"})
    assert (deck.loras / "ink.json.bak").read_bytes() == before


def test_a_first_edit_makes_the_file_a1111_reads(deck: Served) -> None:
    answer = edit(deck, "bare", {"activation_text": "brush", "negative_text": "photo", "preferred_weight": 1.0,
                                 "sd_version": "SDXL", "notes": "n", "description": ""})  # fmt: skip
    assert answer.status == 200
    assert on_disk(deck, "bare.json") == {
        "activation text": "brush", "negative text": "photo", "preferred weight": 1, "sd version": "SDXL",
        "notes": "n"}  # fmt: skip
    assert not (deck.loras / "bare.json.bak").exists()


def test_saved_is_seen_at_once_in_search_names_and_events(deck: Served) -> None:
    deck.events.clear()
    edit(deck, "bare", {"alias": "Nackt", "tags": ["neu"], "activation_text": "xyzzy"})
    assert [c["name"] for c in deck.get("/lora-deck/loras", text="xyzzy").json["items"]] == ["bare.safetensors"]
    assert [c["name"] for c in deck.get("/lora-deck/loras", tag="neu").json["items"]] == ["bare.safetensors"]
    assert deck.id_of("nackt") == deck.id_of("bare")
    changed = [data for event, data in deck.events if event == "changed"]
    assert changed and changed[-1]["ids"] == [deck.id_of("bare")]


def test_two_files_of_one_base_name_share_their_sidecar(deck: Served) -> None:
    (deck.loras / "bare.pt").write_bytes(b"x")
    deck.post("/lora-deck/refresh", {"wait": True})
    edit(deck, "bare.safetensors", {"description": "shared"})
    cards = {c["name"]: c["fields"]["description"] for c in deck.get("/lora-deck/loras", text="shared").json["items"]}
    assert cards == {"bare.pt": "shared", "bare.safetensors": "shared"}


def test_a_concurrent_edit_gets_both_versions_and_changes_nothing(deck: Served) -> None:
    stale = deck.get(f"/lora-deck/loras/{deck.id_of('ink')}").json["sidecar"]["version"]
    (deck.loras / "ink.json").write_text(json.dumps({**SAVED, "description": "by A1111"}))
    raw = (deck.loras / "ink.json").read_bytes()
    answer = edit(deck, "ink", {"description": "mine", "notes": "n"}, stale)
    assert answer.status == 409
    assert answer.json["yours"] == {"description": "mine", "notes": "n"}
    assert answer.json["theirs"] == {"description": "by A1111", "notes": ""}
    assert (deck.loras / "ink.json").read_bytes() == raw
    assert edit(deck, "ink", {"description": "mine"}, answer.json["version"]).status == 200
    assert edit(deck, "bare", {"description": "x"}, "never read").status == 409


def test_an_emptied_field_stays_empty(deck: Served) -> None:
    edit(deck, "ink", {"alias": ""})
    assert on_disk(deck, "ink.json")["alias"] == ""
    assert deck.get(f"/lora-deck/loras/{deck.id_of('ink')}").json["fields"]["alias"] == ""


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"[1, 2]", "list"), (b"\xff\xfe{", "UTF-8"), (b"{", "JSON"), (b"null", "null"), (b" " * 8_100_000, "MB")],
)
def test_a_sidecar_that_cannot_be_kept_whole_is_not_touched(deck: Served, content: bytes, says: str) -> None:
    (deck.loras / "ink.json").write_bytes(content)
    answer = edit(deck, "ink", {"description": "x"})
    assert answer.status == 422 and says in answer.json["error"] and "Nothing was saved" in answer.json["error"]
    assert (deck.loras / "ink.json").read_bytes() == content


def test_a_read_only_sidecar_and_a_folder_in_its_place(deck: Served) -> None:
    (deck.loras / "ink.json").chmod(0o444)
    assert "read-only" in edit(deck, "ink", {"description": "x"}).json["error"]
    assert on_disk(deck, "ink.json") == SAVED
    (deck.loras / "bare.json").mkdir()
    assert "folder" in edit(deck, "bare", {"description": "x"}).json["error"]


def test_a_full_disk_changes_nothing(deck: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    answer = edit(deck, "ink", {"description": "x"})
    assert answer.status == 422 and "No space left" in answer.json["error"]
    monkeypatch.undo()
    assert on_disk(deck, "ink.json") == SAVED
    assert not list(deck.loras.glob("*.tmp")) and not list(deck.loras.glob(".lora-deck*"))


def test_a_linked_sidecar_stays_a_link_and_never_leads_out(deck: Served, tmp_path: Path) -> None:
    (deck.loras / "real.json").write_text("{}")
    (deck.loras / "bare.json").symlink_to(deck.loras / "real.json")
    assert edit(deck, "bare", {"description": "x"}).status == 200
    assert (deck.loras / "bare.json").is_symlink() and on_disk(deck, "real.json") == {"description": "x"}
    (tmp_path / "outside.json").write_text("{}")
    (deck.loras / "bare.json").unlink()
    (deck.loras / "bare.json").symlink_to(tmp_path / "outside.json")
    assert edit(deck, "bare", {"description": "x"}).status == 422
    assert (tmp_path / "outside.json").read_text() == "{}"


def test_half_a_surrogate_pair_survives(deck: Served) -> None:
    (deck.loras / "ink.json").write_text('{"odd": "\\ud83d", "description": "d"}')
    assert edit(deck, "ink", {"description": "x"}).status == 200
    assert on_disk(deck, "ink.json") == {"odd": "\ud83d", "description": "x"}


@pytest.mark.parametrize("fields", [{"description": 1}, {"tags": "a"}, {"tags": [1]}, {"preferred_weight": "1"},
                                    {"preferred_weight": True}, {"nonsense": ""}, {"sha256": "x"}])  # fmt: skip
def test_wrong_values_are_refused(deck: Served, fields: dict[str, Any]) -> None:
    assert edit(deck, "ink", fields).status == 422
    assert on_disk(deck, "ink.json") == SAVED


@pytest.mark.parametrize("how", [
    {"data": b'{"version": "", "fields": {}}', "headers": {"Content-Type": "text/plain"}},
    {"data": {"version": "", "fields": "{}"}},
    {"data": b"[]", "headers": {"Content-Type": "application/json"}},
    {"data": b"{", "headers": {"Content-Type": "application/json"}},
    {"json": {"version": 1, "fields": {}}},
    {"json": {"fields": {}}},
    {"json": {"version": "", "fields": {}, "path": "/etc"}},
])  # fmt: skip
def test_only_json_of_the_right_shape_is_taken(deck: Served, how: dict[str, Any]) -> None:
    assert deck.post(f"/lora-deck/loras/{deck.id_of('bare')}/edit", **how).status in (400, 415)
    assert not (deck.loras / "bare.json").exists()
    assert deck.get(f"/lora-deck/loras/{deck.id_of('bare')}/edit").status == 405


def test_favourites_outlive_the_index_and_a_rename(deck: Served, tmp_path: Path) -> None:
    assert deck.post("/lora-deck/favourite", {"ids": [deck.id_of("ink"), 777], "favourite": True}).json == {"marked": 1}
    assert not (deck.loras / "ink.json.bak").exists()
    (deck.loras / "ink.safetensors").rename(deck.loras / "tusche.safetensors")
    deck.post("/lora-deck/refresh", {"wait": True})
    found = [c["name"] for c in deck.get("/lora-deck/loras", favourite="true").json["items"]]
    assert found == ["tusche.safetensors"]
    from lora_deck.library import Library
    from lora_deck.library.search import Query, Search

    deck.deck.library.store.close()
    for path in (tmp_path / "index").glob("index.sqlite3*"):
        path.unlink()
    rebuilt = Library(tmp_path / "index", lambda: deck.deck.library.roots)
    rebuilt.scan()
    assert [c["name"] for c in Search(rebuilt).page(Query(favourite=True), 0, 9)] == found
    rebuilt.stop()


def picture(fmt: str = "PNG", color: str = "red") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (16, 16), color).save(out, fmt)
    return out.getvalue()


def upload(deck: Served, content: bytes, **more: Any) -> Any:
    data = base64.b64encode(content).decode()
    return deck.post(f"/lora-deck/loras/{deck.id_of('bare')}/preview", {"data": data, **more})


def test_preview_upload_never_replaces_unasked(deck: Served) -> None:
    assert upload(deck, picture()).json["saved"] == "bare.preview.png"
    assert (deck.loras / "bare.preview.png").read_bytes() == picture()
    refused = upload(deck, picture("WEBP", "blue"))
    assert refused.status == 409 and refused.json["exists"] == "bare.preview.png"
    assert (deck.loras / "bare.preview.png").read_bytes() == picture()
    done = upload(deck, picture("WEBP", "blue"), replace=True)
    assert done.json["saved"] == "bare.preview.webp" and done.json["card"]["preview"] == "bare.preview.webp"
    assert (deck.loras / "bare.preview.png.bak").read_bytes() == picture()
    assert deck.get(f"/lora-deck/loras/{deck.id_of('bare')}/preview").body == picture("WEBP", "blue")


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x89PNG\r\n\x1a\n" + b"x" * 99, b"MZ" * 40])
def test_what_is_no_picture_is_refused(deck: Served, content: bytes) -> None:
    assert upload(deck, content).status == 422
    assert not list(deck.loras.glob("bare.p*"))


def test_preview_from_the_hosts_pictures_stays_inside(deck: Served, tmp_path: Path) -> None:
    (tmp_path / "output" / "day").mkdir()
    (tmp_path / "output" / "day" / "a.png").write_bytes(picture())
    (tmp_path / "secret.png").write_bytes(picture())
    (tmp_path / "output" / "link.png").symlink_to(tmp_path / "secret.png")
    path = f"/lora-deck/loras/{deck.id_of('bare')}/preview"
    for image in ({"filename": "../secret.png"}, {"filename": "secret.png", "subfolder": ".."},
                  {"filename": "link.png"}, {"filename": str(tmp_path / "secret.png")},
                  {"filename": "a.png", "type": "models"},
                  {"filename": "no.png"}, {}, {"filename": "a\x00.png"}):  # fmt: skip
        assert deck.post(path, {"image": image}).status in (400, 404), image
    assert not list(deck.loras.glob("bare.p*"))
    assert deck.post(path, {"image": {"filename": "a.png", "subfolder": "day", "type": "output"}}).status == 200
    assert deck.post(path, {}).status == 400


def test_hashing_is_started_and_cancelled(deck: Served) -> None:
    assert deck.post("/lora-deck/hash", {"action": "cancel"}).json["off"] is True
    state = deck.post("/lora-deck/hash", {"action": "start"}).json
    deck.deck.hasher.wait()
    assert state["off"] is False
    assert deck.get(f"/lora-deck/loras/{deck.id_of('ink')}").json["hashes"]["sha256"]
    assert deck.post("/lora-deck/hash", {"action": "sing"}).status == 400
