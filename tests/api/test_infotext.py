"""Infotext over HTTP: what a text or a picture says, and what that means here."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lora_deck.library.hashing import hash_file
from lora_deck.library.sums import verified_hash

from ..library.make import write_lora
from ..sharing import texts
from .conftest import Served

CHOICES = {
    "samplers": ["euler", "dpmpp_2m"], "schedulers": ["normal", "karras"], "models": ["sub/harbour_v2.safetensors"],
}  # fmt: skip


@pytest.fixture
def deck(make_served: Callable[..., Served], tmp_path: Path) -> Served:
    write_lora(tmp_path / "loras" / "styles" / "here.safetensors", fill=b"\x05")
    write_lora(tmp_path / "loras" / "grain.safetensors", fill=b"\x06")
    write_lora(tmp_path / "loras" / "claims.safetensors", {"sshs_model_hash": "c0ffee00c0ffee"}, fill=b"\x07")
    served = make_served()
    for name in ("here", "grain"):
        verified_hash(served.deck.library.store, served.id_of(name))
    return served


def ask(deck: Served, content: bytes | str, **more: Any) -> dict[str, Any]:
    given = {"text": content} if isinstance(content, str) else {"picture": base64.b64encode(content).decode()}
    answer = deck.post("/lora-deck/infotext", {**CHOICES, **given, **more})
    assert answer.status == 200, answer.body
    return dict(answer.json)


def digits(deck: Served, name: str) -> str:
    return hash_file(deck.loras / name).infotext


def text(tags: str, hashes: str = "") -> str:
    return f'x {tags}\nSteps: 1, Sampler: Euler, Seed: 1, Size: 8x8, Lora hashes: "{hashes}"'


def test_a_picture_with_its_files_found_by_hash(deck: Served) -> None:
    written = texts.A1111.replace("0123456789ab", digits(deck, "styles/here.safetensors"))
    found = ask(deck, texts.png(parameters=written))
    assert (found["sampler"], found["scheduler"], found["model"]) == (
        "dpmpp_2m",
        "karras",
        "sub/harbour_v2.safetensors",
    )
    assert (found["steps"], found["cfg"], found["seed"], found["size"]) == (28, 6.5, 123456789012, [832, 1216])
    ink, grain = found["loras"]
    assert (ink["name"], ink["written"], ink["found"]) == ("here", "inkwash final", "hash")
    assert (grain["name"], grain["found"]) == ("grain", "name") and "not the one" in grain["note"]
    assert found["prompt"] == "a harbour at dawn, (mist:1.2) <lora:here:0.8:0.6> <lora:grain:0.4>\nsecond line"
    assert found["stack"]["entries"][0] == {"name": "here", "te": 0.8, "unet": 0.6}
    assert ask(deck, written)["prompt"] == found["prompt"]


@pytest.mark.parametrize("tag", ["<lora:gone>", "<lyco:gone:1>", "<lora:gone:te=1>", "<LORA: gone :0.5:0.5:lbw=ALL>"])
def test_every_form_of_tag_is_renamed(deck: Served, tag: str) -> None:
    found = ask(deck, text(f"{tag}, <lora:grain:1>", f"gone: {digits(deck, 'styles/here.safetensors')}"))
    assert [x["name"] for x in found["loras"]] == ["here", "grain"]
    assert "gone" not in found["prompt"] and "<lora:grain:1>" in found["prompt"]


def test_a_local_name_whose_hash_matches_is_never_replaced(deck: Served) -> None:
    own = digits(deck, "grain.safetensors")
    write_lora(deck.loras / "another" / "copy.safetensors", fill=b"\x06")
    deck.deck.library.scan()
    for written in (own, own.upper(), own[:8], hash_file(deck.loras / "grain.safetensors").sha256[:10]):
        found = ask(deck, text("<lora:grain:1>", f"grain: {written}"))
        assert (found["loras"][0]["name"], found["loras"][0]["found"]) == ("grain", "hash")


def test_a_hash_that_the_header_claims_counts_for_its_own_name(deck: Served) -> None:
    found = ask(deck, text("<lora:claims:1>", "claims: c0ffee00c0ff"))
    assert (found["loras"][0]["name"], found["loras"][0]["found"]) == ("claims", "hash")


def test_the_hash_of_nothing_finds_nothing(deck: Served) -> None:
    nothing = hashlib.sha256(b"").hexdigest()[:12]
    found = ask(deck, text("<lora:gone:1>", f"gone: {nothing}"))
    assert (found["loras"][0]["name"], found["loras"][0]["found"]) == ("gone", "missing")


def test_repeats_and_what_stands_in_fields_are_told(deck: Served) -> None:
    assert ask(deck, "<lora:grain:1><lora:grain:0.5>\nSteps: 1, Seed: 1, Size: 8x8")["repeats"]
    found = ask(deck, texts.NETWORKS)
    assert found["prompt"] == "a road <lora:dust:0.3:0.7>" and not found["repeats"]


def test_nothing_to_read_is_said(deck: Served) -> None:
    assert "no infotext" in ask(deck, texts.png())["note"]
    assert "no picture" in ask(deck, b"text")["note"]
    assert ask(deck, texts.png(prompt="{}"))["workflow"]
    assert deck.post("/lora-deck/infotext", {}).status == 400
    assert deck.post("/lora-deck/infotext", {"picture": "§"}).status == 400
    assert deck.post("/lora-deck/infotext", {"picture": 5}).status == 400
