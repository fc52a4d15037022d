"""What the files beside a LoRA say, by real files of real programs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from lora_deck.library import Library
from lora_deck.library.beside import HELPERS, PREVIEW_EXTENSIONS, Entry, Folder
from lora_deck.library.card import read_card
from lora_deck.library.entries import card_of, indexed
from lora_deck.library.facts import facts, resolutions, training_tags
from lora_deck.library.fields import BY_KEY, FIELDS, Field
from lora_deck.library.header import Header
from lora_deck.library.search import Query, Search

from .conftest import MakeLibrary
from .make import SD1_KEYS, write_lora

SAMPLES = Path(__file__).parent / "samples"
EXUSIAI = "Robertlu1021_exusiai_the_new_covenant_arknights_v1.0-000010"
WORDS = "exusiai_the_new_covenant_\\(arknights\\), red hair, orange eyes..."


def card(library: Library) -> dict[str, Any]:
    library.scan()
    (found,) = Search(library).page(Query(), 0, 10)
    return found


def metadata(name: str) -> dict[str, str]:
    content = json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in content.items()}


@pytest.mark.parametrize(
    ("sample", "named"),
    [
        ("exusiai.civitai.info", "ink.civitai.info"),
        (f"{EXUSIAI}.metadata.json", "ink.metadata.json"),
        (f"{EXUSIAI}.safetensors.rgthree-info.json", "ink.safetensors.rgthree-info.json"),
        (f"{EXUSIAI}.cminfo.json", "ink.cminfo.json"),
        (f"{EXUSIAI}.cminfo.json", "ink.cm-info.json"),
    ],
)
def test_helpers_of_other_programs(make_library: MakeLibrary, loras: Path, sample: str, named: str) -> None:
    write_lora(loras / "ink.safetensors")
    shutil.copy(SAMPLES / sample, loras / named)
    before = (loras / named).read_bytes()
    found = card(make_library(loras))
    assert found["problems"] == []
    assert found["fields"]["activation_text"] == WORDS
    assert found["civitai_base_model"] == "Illustrious" and not found["adult"]
    if "civitai.info" not in named:
        assert found["title"].startswith("Exusiai The New Covenant")
        assert found["fields"]["tags"] == ["anime", "arknights", "exusiai"]
        assert "Exusiai from Arknights" in found["fields"]["description"] or "rgthree" in named
    assert found["fields"]["preferred_weight"] == 0
    assert (loras / named).read_bytes() == before


def test_the_users_sidecar_wins_over_header_over_helpers(make_library: MakeLibrary, loras: Path) -> None:
    header = {"modelspec.description": "header", "modelspec.trigger_phrase": "header words"}
    write_lora(loras / "ink.safetensors", header)
    shutil.copy(SAMPLES / f"{EXUSIAI}.metadata.json", loras / "ink.metadata.json")
    (loras / "ink.description.txt").write_text("text file")
    library = make_library(loras)
    fields = card(library)["fields"]
    assert fields["description"] == "header" and fields["activation_text"] == "header words"
    assert fields["tags"] == ["anime", "arknights", "exusiai"]
    (loras / "ink.json").write_text(json.dumps({"description": "mine", "activation text": "", "tags": None}))
    fields = card(library)["fields"]
    assert fields["description"] == "mine" and fields["activation_text"] == ""
    assert fields["tags"] == ["anime", "arknights", "exusiai"]


def test_a1111s_files_of_downloaders(make_library: MakeLibrary, loras: Path) -> None:
    write_lora(loras / "ink.safetensors")
    shutil.copy(SAMPLES / f"{EXUSIAI}.json", loras / "ink.json")
    library = make_library(loras)
    fields = card(library)["fields"]
    assert fields["activation_text"].endswith("天使 エクシア") and fields["sd_version"] == "Other"
    shutil.copy(SAMPLES / "arcaneStyleLora_v1.json", loras / "ink.json")
    found = card(library)
    assert found["fields"]["activation_text"] == "arcane style" and found["fields"]["description"] == ""
    claims = card_of(indexed(library.store, found["id"])).claims
    assert claims == ("f15429d21c6b54b32577be32dfeeba7f7ff13cb4585432e59fe20d88d83c1c51",)


def test_claims_without_the_hash_of_nothing() -> None:
    nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    kohya = metadata("metadata-kohya-sdxl-datasets")
    assert facts(Header(kohya, {}, 8)).claims == (kohya["sshs_model_hash"],)
    assert facts(Header(metadata("metadata-musubi-partial"), {}, 8)).claims == ("d62fc392ecb143cfb947b2a801609e8f",)
    for value in (nothing, nothing[:12], nothing.upper(), "0x" + nothing, "", "xyz", "1234567", "g" * 64, "0" * 65):
        assert facts(Header({"sshs_model_hash": value, "modelspec.hash_sha256": value}, {}, 8)).claims == ()
    assert facts(Header({"modelspec.hash_sha256": "0xABCDEF0123"}, {}, 8)).claims == ("abcdef0123",)


def test_training_tags_and_buckets() -> None:
    assert training_tags(metadata("metadata-traintrain")) == {"lighthouse": 12}
    kohya = metadata("metadata-kohya-sdxl-datasets")
    tags = training_tags(kohya)
    assert tags["1girl"] == 96 and next(iter(tags)) == max(tags, key=lambda tag: tags[tag])
    inside = {k: v for k, v in kohya.items() if k != "ss_tag_frequency"}
    assert training_tags(inside)["1girl"] == 96
    sizes = resolutions(kohya)
    assert sizes and all("x" in size and count > 0 for size, count in sizes.items())
    assert training_tags(metadata("metadata-kohya-resized")) == {}
    captions = {"a": {"a long caption of a cat sleeping": 2, "another long caption of a cat": 1}}
    assert training_tags({"ss_tag_frequency": json.dumps(captions)})["cat"] == 3
    summed = {"a": {"x": 1, "y": 5}, "b": {"x": 9}}
    assert training_tags({"ss_tag_frequency": json.dumps(summed)}) == {"x": 10, "y": 5}


def test_the_base_model_is_that_of_the_keys_not_of_the_metadata(make_library: MakeLibrary, loras: Path) -> None:
    flux = {"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": (4, 3072)}
    write_lora(loras / "ink.safetensors", {"ss_base_model_version": "sd_v1", "ss_v2": "False"}, shapes=flux)
    assert card(make_library(loras))["architecture"] == "Flux"


@pytest.mark.parametrize(("keys", "family", "ranks"), [
    (SD1_KEYS, "LoRA", (4, 4)),
    ({"m.lora_A.weight": (8, 2), "m.lora_B.weight": (2, 8), "m.lora_magnitude_vector": (2,)}, "LoRA DoRA", (8, 8)),
    ({"m.lora_down.weight": (8, 2), "n.lora_down.weight": (4, 2), "m.dora_scale": (1,)}, "LoRA DoRA", (4, 8)),
    ({"m.hada_w1_a": (2, 8), "m.hada_w1_b": (8, 2)}, "LoHa", (8, 8)),
    ({"m.lokr_w1": (2, 8), "m.lokr_w2_b": (6, 2), "n.w_norm": (3,)}, "LoKr", (6, 6)),
    ({"m.a1.weight": (8, 2), "m.a2.weight": (2, 8), "m.b1.weight": (2, 8), "m.b2.weight": (8, 2)}, "GLoRA", None),
    ({"m.weight": (3,), "m.on_input": ()}, "IA3", None),
    ({"m.oft_blocks": (4, 8, 8)}, "OFT", None),
    ({"m.oft_blocks": (2, 4, 8, 8)}, "BOFT", None),
    ({"m.w_norm": (3,), "m.b_norm": (3,)}, "Norm", None),
    ({"m.diff": (3, 3)}, "Full", None),
    ({"m.lora_down.weight": (8, 2), "n.diff": (3, 3)}, "LoRA+Full", (8, 8)),
    ({"double_blocks.0.processor.qkv_lora1.down.weight": (16, 3)}, "LoRA", (16, 16)),
    ({"unet:0:up": (3, 4), "unet:0:down": (4, 3)}, "LoRA", (4, 4)),
    ({"unet.a.to_q_lora.down.weight": (4, 3)}, "LoRA", (4, 4)),
    ({"transformer.a.lora_A.default.weight": (4, 3)}, "LoRA", (4, 4)),
    ({"a.lora_linear_layer.down.weight": (4, 3), "a.lora_linear_layer.up.weight": (3, 4)}, "LoRA", (4, 4)),
    ({"model.layers.0.weight": (3, 3)}, "", None),
])  # fmt: skip
def test_families_and_ranks(keys: dict[str, tuple[int, ...]], family: str, ranks: tuple[int, int] | None) -> None:
    known = facts(Header({}, keys, 8))
    assert (known.family, known.ranks) == (family, ranks)


@pytest.mark.parametrize(("text", "adult"), [
    ('{"nsfwLevel": 1}', False), ('{"nsfwLevel": 2}', False), ('{"nsfwLevel": 4}', True), ('{"nsfwLevel": 28}', True),
    ('{"model": {"nsfw": true}}', True), ('{"nsfwLevel": "x"}', False)])  # fmt: skip
def test_adult_by_level_and_by_tag(make_library: MakeLibrary, loras: Path, text: str, adult: bool) -> None:
    write_lora(loras / "ink.safetensors")
    (loras / "ink.civitai.info").write_text(text)
    library = make_library(loras)
    assert card(library)["adult"] is adult
    (loras / "ink.json").write_text('{"tags": ["NSFW"]}')
    assert card(library)["adult"] is True


def test_previews_in_their_fixed_order() -> None:
    endings = [f".preview.{e}" for e in PREVIEW_EXTENSIONS] + [f".{e}" for e in PREVIEW_EXTENSIONS]
    entries = [Entry(f"ink{ending}", 1, 1) for ending in endings]
    while entries:
        preview = Folder(reversed(entries)).beside("ink.safetensors").preview
        assert preview is not None and preview.name == entries.pop(0).name
    assert Folder([Entry("INK.PNG", 1, 1)]).beside("ink.safetensors").preview
    assert Folder([Entry("ink2.png", 1, 1), Entry("ink.v1.png", 1, 1)]).beside("ink.safetensors").preview is None
    assert Folder([Entry("ink.v1.png", 1, 1)]).beside("ink.v1.safetensors").preview


def test_pictures_inside_the_header(make_library: MakeLibrary, loras: Path) -> None:
    import base64
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (4, 4)).save(out, "JPEG")
    picture = base64.b64encode(out.getvalue()).decode()
    for key, value in (("ssmd_cover_images", json.dumps([picture])),
                       ("modelspec.thumbnail", "data:image/jpeg;base64," + picture)):  # fmt: skip
        write_lora(loras / "ink.safetensors", {key: value})
        found = card(make_library(loras, index=key))
        assert found["preview"] == "embedded" and found["preview_version"].startswith("h")
    for value in ("[", "[1]", "[]", json.dumps(["%%"]), json.dumps([base64.b64encode(b"<html>").decode()]), "data:x"):
        write_lora(loras / "ink.safetensors", {"ssmd_cover_images": value, "modelspec.thumbnail": value})
        assert card(make_library(loras, index="bad"))["preview"] == ""


def test_a_new_field_is_one_row(monkeypatch: pytest.MonkeyPatch, loras: Path, make_library: MakeLibrary) -> None:
    """Scan, search, list, edit and API follow the table."""
    from lora_deck.api.loras import field_table
    from lora_deck.library import edits, scan, sidecar

    row = Field("artist", "artist", "text", searchable=True, header=("modelspec.author",))
    for module in (scan, sidecar):
        monkeypatch.setattr(module, "FIELDS", (*FIELDS, row))
    monkeypatch.setattr(edits, "BY_KEY", {**BY_KEY, "artist": row})
    monkeypatch.setattr("lora_deck.api.loras.FIELDS", (*FIELDS, row))
    write_lora(loras / "ink.safetensors", {"modelspec.author": "somebody"})
    library = make_library(loras)
    found = card(library)
    assert found["fields"]["artist"] == "somebody"
    edits.edit(library.store, found["id"], "", {"artist": "hokusai"})
    assert json.loads((loras / "ink.json").read_text()) == {"artist": "hokusai"}
    assert Search(library).ids(Query(text="okusa")) == [found["id"]]
    assert field_table(None)["fields"][-1]["label"] == "lora_deck.fields.artist"  # type: ignore[arg-type]


def test_every_field_has_its_words() -> None:
    words = json.loads((Path(__file__).parents[2] / "locales" / "en" / "main.json").read_text(encoding="utf-8"))
    for row in FIELDS:
        node: Any = words
        for part in row.label.split("."):
            node = node[part]
        assert isinstance(node, str) and node


def test_helper_endings_are_told_apart(tmp_path: Path) -> None:
    for kind, ending in HELPERS:
        beside = Folder([Entry(f"ink{ending}", 2, 1)]).beside("ink.safetensors")
        assert [k for k, _ in beside.helpers] == [kind] and beside.sidecar is None
    card = read_card(tmp_path, Entry("ink.pt", 5, 1), Folder([]).beside("ink.pt"))
    assert card.problems == () and card.facts.architecture is None
