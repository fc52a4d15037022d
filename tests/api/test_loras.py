"""Lists, cards, names, pictures over HTTP."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from ..library.make import write_lora
from .conftest import Served


@pytest.fixture
def deck(make_served: Callable[..., Served], tmp_path: Path) -> Served:
    loras = tmp_path / "loras"
    header = {"ss_output_name": "Inkwash", "modelspec.description": "like a Styled brush"}
    write_lora(loras / "ink_wash.safetensors", header)
    write_lora(loras / "styles" / "水墨画.safetensors", fill=b"\x02")
    write_lora(loras / "styles" / "v10.safetensors", fill=b"\x03")
    write_lora(loras / "styles" / "v9.safetensors", fill=b"\x04")
    (loras / "styles" / "v9.json").write_text(json.dumps({"tags": ["line art", "nsfw"], "activation text": "qq"}))
    write_lora(loras / "flux.safetensors", shapes={"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": (4, 8)})
    (loras / "broken.safetensors").write_bytes(b"\x10")
    return make_served()


def names(deck: Served, **query: object) -> list[str]:
    answer = deck.get("/lora-deck/loras", **query)
    assert answer.status == 200, answer.body
    assert answer.json["total"] == len(answer.json["items"])
    return [item["name"] for item in answer.json["items"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"text": "tyl"}, ["ink_wash.safetensors", "styles/v9.safetensors", "styles/v10.safetensors",
                           "styles/水墨画.safetensors"]),
        ({"text": "墨"}, ["styles/水墨画.safetensors"]),
        ({"text": "水墨画"}, ["styles/水墨画.safetensors"]),
        ({"text": "INKWASH"}, ["ink_wash.safetensors"]),
        ({"text": "qq"}, ["styles/v9.safetensors"]),
        ({"text": "line v9"}, ["styles/v9.safetensors"]),
        ({"text": 'a"b%_\''}, []),
        ({"text": "%"}, []),
        ({"text": "styles/v"}, ["styles/v9.safetensors", "styles/v10.safetensors"]),
        ({"folder": "styles"}, ["styles/v9.safetensors", "styles/v10.safetensors", "styles/水墨画.safetensors"]),
        ({"folder": "sty"}, []),
        ({"tag": ["line art"]}, ["styles/v9.safetensors"]),
        ({"adult": "true"}, ["styles/v9.safetensors"]),
        ({"architecture": ["Flux"]}, ["flux.safetensors"]),
        ({"architecture": ["Flux", ""], "problem": "true"}, ["broken.safetensors"]),
        ({"problem": "true"}, ["broken.safetensors"]),
        ({"missing": "true"}, []),
        ({"favourite": "true"}, []),
    ],
)  # fmt: skip
def test_search_and_filters(deck: Served, query: dict[str, object], found: list[str]) -> None:
    assert sorted(names(deck, **query)) == sorted(found)


def test_natural_order_and_both_ways(deck: Served) -> None:
    order = names(deck, folder="styles")
    assert order.index("styles/v9.safetensors") < order.index("styles/v10.safetensors")
    assert names(deck, folder="styles", descending="true") == order[::-1]
    for key in ("path", "added", "modified", "size", "most_used", "recently_used"):
        assert sorted(names(deck, order=key)) == sorted(names(deck))


def test_pages_join_to_the_whole(deck: Served) -> None:
    pages = [deck.get("/lora-deck/loras", offset=at, limit=2).json for at in (0, 2, 4, 6)]
    assert [c["name"] for page in pages for c in page["items"]] == names(deck)
    assert {page["total"] for page in pages} == {6}
    assert deck.get("/lora-deck/loras", offset=10**9).json["items"] == []


def test_search_by_hash_prefix(deck: Served) -> None:
    deck.deck.hasher.start()
    deck.deck.hasher.wait()
    card = deck.get("/lora-deck/loras", text="ink_wash").json["items"][0]
    assert len(card["autov2"]) == 10 and len(card["autov3"]) == 12
    for digits in (card["autov2"], card["autov3"].upper(), card["autov2"][:8]):
        assert names(deck, text=digits) == ["ink_wash.safetensors"]


def test_counts(deck: Served) -> None:
    counts = deck.get("/lora-deck/loras/counts").json
    assert counts["total"] == 6
    assert counts["architecture"] == {"SD1": 4, "Flux": 1, "": 1}
    assert counts["folder"] == {"": 3, "styles": 3}
    assert counts["tag"] == {"line art": 1, "nsfw": 1}
    assert counts["no_preview"] == 6 and counts["problem"] == 1
    chosen = deck.get("/lora-deck/loras/counts", architecture="Flux").json
    assert chosen["total"] == 1 and chosen["architecture"] == counts["architecture"]


def test_bad_queries_are_refused(deck: Served) -> None:
    for query in ({"order": "colour"}, {"offset": "x"}, {"adult": "maybe"}, {"ids": "1,a"}, {"offset": 10**30}):
        assert deck.get("/lora-deck/loras", **query).status == 400


def test_one_card_and_its_header(deck: Served) -> None:
    file_id = deck.id_of("Inkwash")
    card = deck.get(f"/lora-deck/loras/{file_id}").json
    assert card["insert"] == "ink_wash" and card["architecture"] == "SD1" and card["family"] == "LoRA"
    assert card["fields"]["alias"] == "Inkwash"
    assert card["sidecar"] == {"name": "ink_wash.json", "version": "", "saved": []}
    header = deck.get(f"/lora-deck/loras/{file_id}/header").json
    assert header["metadata"]["ss_output_name"] == "Inkwash" and len(header["tensors"]) == 3
    for path in ("/lora-deck/loras/99999", "/lora-deck/loras/-1", "/lora-deck/loras/x", "/lora-deck/loras/1%2f..%2f2",
                 "/lora-deck/loras/99999/thumbnail", "/lora-deck/loras/" + "9" * 40):  # fmt: skip
        assert deck.get(path).status == 404


def test_resolve_follows_the_same_rules(deck: Served) -> None:
    write_lora(deck.loras / "a" / "twice.safetensors", fill=b"\x11")
    write_lora(deck.loras / "b" / "twice.safetensors", fill=b"\x12")
    both = deck.get("/lora-deck/resolve", name="twice")
    assert both.status == 409 and both.json["candidates"] == ["a/twice.safetensors", "b/twice.safetensors"]
    assert deck.get("/lora-deck/resolve", name="b\\twice").json["card"]["insert"] == "b/twice"
    none = deck.get("/lora-deck/resolve", name="ink_wsh")
    assert none.status == 404 and "ink_wash" in none.json["suggestions"]
    assert deck.get("/lora-deck/resolve").status == 400


def test_a_removed_file_leaves_the_list_and_is_found_as_missing(deck: Served) -> None:
    (deck.loras / "flux.safetensors").unlink()
    deck.post("/lora-deck/refresh", {"wait": True})
    assert "flux.safetensors" not in names(deck)
    assert names(deck, missing="true") == ["flux.safetensors"]


def test_thumbnail_headers_and_cache(deck: Served) -> None:
    Image.new("RGB", (1000, 500), "red").save(deck.loras / "ink_wash.png")
    deck.post("/lora-deck/refresh", {"wait": True})
    file_id = deck.id_of("ink_wash")
    card = deck.get(f"/lora-deck/loras/{file_id}").json
    path = f"/lora-deck/loras/{file_id}/thumbnail"
    first = deck.get(path, side=200)
    with Image.open(io.BytesIO(first.body)) as picture:
        assert picture.format == "WEBP" and picture.size == (256, 128)
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert deck.get(path, side=200, headers={"If-None-Match": first.headers["ETag"]}).status == 304
    lasting = deck.get(path, side=200, v=card["preview_version"])
    assert "immutable" in lasting.headers["Cache-Control"]
    Image.new("RGB", (10, 10), "blue").save(deck.loras / "ink_wash.png")
    again = deck.get(path, side=200, headers={"If-None-Match": first.headers["ETag"]})
    assert again.status == 200 and again.body != first.body
    assert deck.get(path, v=card["preview_version"]).headers["Cache-Control"] == "private, no-cache"


def test_a_preview_that_is_a_page_is_never_served(deck: Served) -> None:
    (deck.loras / "ink_wash.preview.png").write_text("<html><script>alert(1)</script>")
    deck.post("/lora-deck/refresh", {"wait": True})
    file_id = deck.id_of("ink_wash")
    assert [p["code"] for p in deck.get(f"/lora-deck/loras/{file_id}").json["problems"]] == ["not_picture"]
    assert deck.get(f"/lora-deck/loras/{file_id}/preview").status == 404
    assert deck.get(f"/lora-deck/loras/{file_id}/thumbnail").status == 404


def test_a_preview_link_out_of_the_folders_is_never_served(deck: Served, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    (deck.loras / "ink_wash.png").symlink_to(tmp_path / "secret.png")
    deck.post("/lora-deck/refresh", {"wait": True})
    assert deck.get(f"/lora-deck/loras/{deck.id_of('ink_wash')}/preview").status == 404


def test_a_wrongly_named_picture_is_served_as_what_it_is(deck: Served) -> None:
    Image.new("RGB", (8, 8)).save(deck.loras / "ink_wash.png", "GIF")
    deck.post("/lora-deck/refresh", {"wait": True})
    answer = deck.get(f"/lora-deck/loras/{deck.id_of('ink_wash')}/preview")
    assert answer.headers["Content-Type"] == "image/gif" and answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]


def test_architecture_of_a_checkpoint(deck: Served, tmp_path: Path) -> None:
    key = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    write_lora(tmp_path / "checkpoints" / "sub" / "base.safetensors", shapes={key: (320, 768)})
    (tmp_path / "checkpoints" / "old.ckpt").write_bytes(b"x")
    ask = "/lora-deck/architecture"
    assert deck.get(ask, name="sub/base.safetensors").json["architecture"] == "SD1"
    assert deck.get(ask, name="sub\\base.safetensors", kind="checkpoints").json["architecture"] == "SD1"
    write_lora(tmp_path / "checkpoints" / "sub" / "base.safetensors", shapes={key: (320, 1024)}, metadata={"a": "b"})
    assert deck.get(ask, name="sub/base.safetensors").json["architecture"] == "SD2"
    assert deck.get(ask, name="old.ckpt").json["architecture"] is None
    for name in ("none.safetensors", "../loras/ink_wash.safetensors", "/etc/passwd", "sub/../../x\x00"):
        assert deck.get(ask, name=name).status == 404
    assert deck.get(ask, name="sub/base.safetensors", kind="diffusion_models").status == 404


def test_fields_and_status(deck: Served) -> None:
    assert {f["key"] for f in deck.get("/lora-deck/fields").json["fields"]} >= {"activation_text", "notes", "alias"}
    status = deck.get("/lora-deck/status").json
    assert status["scan"]["phase"] == "idle" and status["folders"] == [str(deck.loras)]
