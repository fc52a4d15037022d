"""Broken files of every kind: each a card with a readable reason, none stops a scan."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from lora_deck.library import Library
from lora_deck.library.header import MAX_HEADER, HeaderError, parse_header, read_header
from lora_deck.library.search import Query, Search
from lora_deck.library.thumbnails import ThumbnailError, make

from .conftest import MakeLibrary
from .make import SD1_KEYS, header_of, write_lora, write_raw

SAMPLES = Path(__file__).parent / "samples"


def entry(begin: object, end: object, shape: object = (1,)) -> dict[str, object]:
    return {"dtype": "U8", "shape": shape, "data_offsets": [begin, end]}


def raw(content: object) -> bytes:
    return json.dumps(content).encode()


BROKEN: dict[str, tuple[str, Callable[[Path], object]]] = {
    "zero bytes": ("empty", lambda p: p.write_bytes(b"")),
    "seven bytes": ("truncated", lambda p: p.write_bytes(b"1234567")),
    "header longer than file": ("truncated", lambda p: p.write_bytes(struct.pack("<Q", 1 << 62) + b"{}")),
    "header of 2^64-1": ("truncated", lambda p: p.write_bytes(b"\xff" * 64)),
    "a web page": ("not_safetensors", lambda p: p.write_bytes(b"<!DOCTYPE html>" * 9)),
    "not JSON": ("not_json", lambda p: write_raw(p, b"{nonsense", b"x")),
    "not UTF-8": ("not_json", lambda p: write_raw(p, b"\xff\xfe\xff", b"x")),
    "a list": ("not_json", lambda p: write_raw(p, b"[]", b"x")),
    "nested deep": ("not_json", lambda p: write_raw(p, b"[" * 100_000, b"x")),
    "a number of a million digits": ("not_json", lambda p: write_raw(p, b'{"a": ' + b"9" * 1_000_000 + b"}", b"x")),
    "metadata a list": ("not_json", lambda p: write_raw(p, raw({"__metadata__": []}))),
    "tensor a text": ("not_json", lambda p: write_raw(p, raw({"a": "b"}))),
    "no offsets": ("not_json", lambda p: write_raw(p, raw({"a": {"dtype": "U8", "shape": [1]}}))),
    "three offsets": ("not_json", lambda p: write_raw(p, raw({"a": {**entry(0, 1), "data_offsets": [0, 1, 2]}}))),
    "text offsets": ("not_json", lambda p: write_raw(p, raw({"a": entry("0", 1)}))),
    "shape a number": ("not_json", lambda p: write_raw(p, raw({"a": entry(0, 1, 7)}), b"x")),
    "negative offset": ("offsets", lambda p: write_raw(p, raw({"a": entry(-8, 1)}), b"x")),
    "end before begin": ("offsets", lambda p: write_raw(p, raw({"a": entry(4, 1)}), b"xxxx")),
    "offsets with fractions": ("offsets", lambda p: write_raw(p, raw({"a": entry(0, 1.5)}), b"xx")),
    "data cut short": ("truncated", lambda p: write_raw(p, raw({"a": entry(0, 100, (100,))}), b"x" * 99)),
    "twice": ("duplicate_keys", lambda p: shutil.copy(SAMPLES / "bad-duplicate_keys_in_header.safetensors", p)),
    "header too long": ("truncated", lambda p: shutil.copy(SAMPLES / "bad-header_size_too_big.safetensors", p)),
    "nothing in it": ("no_tensors", lambda p: write_raw(p, b"{}")),
    "a model": ("not_a_lora", lambda p: write_lora(p, shapes={"encoder.conv_in.weight": (4, 4)})),
    "a link to itself": ("unreachable", lambda p: p.symlink_to(p)),
    "a link to nowhere": ("unreachable", lambda p: p.symlink_to(p.with_name("none"))),
    "a pipe": ("unreachable", lambda p: os.mkfifo(p)),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_each_is_a_card_with_its_reason(make_library: MakeLibrary, loras: Path, what: str) -> None:
    code, make_file = BROKEN[what]
    make_file(loras / "broken.safetensors")
    write_lora(loras / "good.safetensors")
    library = make_library(loras)
    library.scan()
    cards = {c["name"]: c for c in Search(library).page(Query(), 0, 10)}
    assert cards["good.safetensors"]["problems"] == []
    (problem,) = cards["broken.safetensors"]["problems"]
    assert (problem["part"], problem["code"]) == ("file", code)
    assert problem["reason"].endswith(".") and len(problem["reason"]) > 15
    assert [c["name"] for c in Search(library).page(Query(problem=True), 0, 10)] == ["broken.safetensors"]


def test_a_header_at_the_limit_is_not_read(loras: Path) -> None:
    path = loras / "huge.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", MAX_HEADER + 1))
        file.truncate(MAX_HEADER + 100)
    with pytest.raises(HeaderError) as caught:
        read_header(path)
    assert caught.value.problem.code == "header_too_large"


def test_every_cut_of_a_good_file_is_named(loras: Path) -> None:
    whole = write_lora(loras / "a.safetensors", {"k": "v"}).read_bytes()
    for length in [*range(0, 600, 7), len(whole) - 1]:
        (loras / "a.safetensors").write_bytes(whole[:length])
        with pytest.raises(HeaderError):
            read_header(loras / "a.safetensors")


def test_odd_but_good_headers_are_read(loras: Path) -> None:
    header, size = header_of(SD1_KEYS, {"number": 5, "list": [1], "none": None, "emoji": "\ud83d", "k" * 10_000: "v"})
    spaced = json.dumps(header, indent=3).encode() + b"   "
    found = read_header(write_raw(loras / "a.safetensors", spaced, b"x" * size))
    assert dict(found.shapes) == SD1_KEYS and found.metadata["number"] == "5" and found.metadata["list"] == "[1]"
    mention = raw({"__metadata__": {"say": '"data_offsets"'}, "x.lora_down.weight": entry(0, 1)})
    assert len(parse_header(mention, 9 + len(mention)).shapes) == 1


BAD_SIDECARS = {
    "a list": b"[1]", "a text": b'"x"', "null": b"null", "not JSON": b"{", "not UTF-8": b"\xff\xfe\x00", "empty": b"",
    "huge": b'{"a": "' + b"x" * 8_000_000 + b'"}', "deep": b'{"a":' * 50_000,
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_SIDECARS)
def test_a_bad_sidecar_is_a_card_with_its_reason(make_library: MakeLibrary, loras: Path, what: str) -> None:
    write_lora(loras / "ink.safetensors", {"ss_output_name": "alias"})
    (loras / "ink.json").write_bytes(BAD_SIDECARS[what])
    card = only_card(make_library(loras))
    assert [p["part"] for p in card["problems"]] == ["sidecar"] and "ink.json" in card["problems"][0]["reason"]
    assert card["fields"]["alias"] == "alias"


def test_folders_and_pipes_where_files_should_be(make_library: MakeLibrary, loras: Path) -> None:
    write_lora(loras / "ink.safetensors")
    os.mkfifo(loras / "ink.json")
    os.mkfifo(loras / "ink.civitai.info")
    os.mkfifo(loras / "ink.txt")
    os.mkfifo(loras / "ink.preview.png")
    card = only_card(make_library(loras))
    assert sorted(p["part"] for p in card["problems"]) == ["preview", "sidecar", "sidecar", "sidecar"]


def test_values_of_the_wrong_type_are_passed_over(make_library: MakeLibrary, loras: Path) -> None:
    write_lora(loras / "ink.safetensors", {"ss_tag_frequency": '{"a": 5, "b": {"t": "x", "u": 2}}'})
    (loras / "ink.json").write_text(json.dumps({
        "tags": {"a": 1}, "preferred weight": "1e999", "activation text": ["a", None, ["b"], 5], "alias": 12,
        "description": None, "notes": True, "sd version": float("nan")}))  # fmt: skip
    fields = only_card(make_library(loras))["fields"]
    assert fields["tags"] == [] and fields["preferred_weight"] == 0 and fields["activation_text"] == "a, 5"
    assert fields["alias"] == "12" and fields["description"] == "" and fields["notes"] == ""


def test_long_and_odd_names(make_library: MakeLibrary, loras: Path) -> None:
    long = "x" * 10_000
    write_lora(loras / "ink.safetensors", {"ss_output_name": long})
    (loras / "ink.json").write_text(json.dumps({"tags": [long], "alias": long, "description": long}))
    write_lora(loras / ("n" * 240 + ".safetensors"), fill=b"\x02")
    whole = (loras / "ink.safetensors").read_bytes()
    Path(os.fsdecode(os.fsencode(loras) + b"/\xff\xfe.safetensors")).write_bytes(whole)
    deep = os.open(loras, os.O_RDONLY)
    for _ in range(30):  # longer than any path may be
        os.mkdir("d" * 200, dir_fd=deep)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = below
    os.close(deep)
    library = make_library(loras)
    library.scan()
    cards = Search(library).page(Query(), 0, 10)
    assert len(cards) == 3
    odd = next(c for c in cards if "\ufffd" in c["name"])
    assert [p["code"] for p in odd["problems"]] == ["name"]
    assert any("too long" in reason for reason in library.scan_state["unreachable"].values())
    shutil.rmtree(loras / ("d" * 200), ignore_errors=True)


def test_loops_of_folders_end(make_library: MakeLibrary, loras: Path) -> None:
    write_lora(loras / "a" / "b" / "ink.safetensors")
    (loras / "a" / "b" / "up").symlink_to(loras)
    (loras / "a" / "self").symlink_to(loras / "a")
    (loras / "elsewhere").symlink_to(loras / "a" / "b")
    library = make_library(loras)
    library.scan()
    assert {c["name"] for c in Search(library).page(Query(), 0, 50)} == {
        "a/b/ink.safetensors", "elsewhere/ink.safetensors"}  # fmt: skip


@pytest.mark.parametrize(("content", "code"), [
    (b"<html>hi</html>", "not_picture"), (b"", "not_picture"), (b"\x00" * 64, "not_picture")])  # fmt: skip
def test_previews_that_are_none(make_library: MakeLibrary, loras: Path, content: bytes, code: str) -> None:
    write_lora(loras / "ink.safetensors")
    (loras / "ink.png").write_bytes(content)
    card = only_card(make_library(loras))
    assert [p["code"] for p in card["problems"]] == [code] and card["preview_kind"] == ""


@pytest.mark.parametrize("fmt", ["PNG", "GIF", "JPEG"])
def test_a_preview_30_000_pixels_wide(make_library: MakeLibrary, loras: Path, fmt: str) -> None:
    from lora_deck.library.entries import indexed
    from lora_deck.library.pictures import preview_of
    from PIL import Image

    write_lora(loras / "ink.safetensors")
    Image.new("RGB", (30_000, 2), "red").save(loras / "ink.png", fmt)
    library = make_library(loras)
    card = only_card(library)
    assert [p["code"] for p in card["problems"]] == ["too_large"]
    assert "30000" in card["problems"][0]["reason"]
    preview = preview_of(indexed(library.store, card["id"]))
    assert preview is not None
    with pytest.raises(ThumbnailError, match="30000"):
        make(preview, 256)


def only_card(library: Library) -> dict[str, object]:
    library.scan()
    (card,) = Search(library).page(Query(), 0, 10)
    return card
