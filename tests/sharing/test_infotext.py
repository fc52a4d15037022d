"""What A1111 and its relatives write is read as they mean it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lora_deck.sharing.infotext import read_infotext
from lora_deck.sharing.infotext_loras import named_loras, stack_of
from lora_deck.sharing.picture import read_picture

from . import texts

SHORT = "\nSteps: 3, Seed: 1, Size: 8x8"
HERE = Path(__file__).resolve()
SAMPLES = next((p / "shared" / "samples" for p in HERE.parents if (p / "shared" / "samples").is_dir()), None)
READINGS = sorted((SAMPLES / "infotext").glob("*.json")) if SAMPLES else []


def reading(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", [p for p in READINGS if p.with_suffix(".txt").exists()], ids=lambda p: p.stem)
def test_texts_from_the_field(path: Path) -> None:
    """In `shared/samples`, beside a development checkout: texts with the reading that other parsers agree on."""
    expected = reading(path)
    found = read_infotext(path.with_suffix(".txt").read_bytes().decode())
    if expected["prompt"] is not None:
        assert (found.prompt, found.negative) == (expected["prompt"], expected["negative"])
    else:
        assert found.whole("Seed") == 1879635471
    for name, value in (expected["fields"] or {}).items():
        assert found.fields[name] == value
    assert [lora.to_json() for lora in named_loras(found)] == expected["loras"]


@pytest.mark.parametrize("path", [p for p in READINGS if "picture" in reading(p)], ids=lambda p: p.stem)
def test_pictures_from_the_field(path: Path) -> None:
    expected = reading(path)
    assert SAMPLES is not None
    found = read_picture((SAMPLES / expected["picture"]).read_bytes()).infotext
    if expected["prompt"] is None:
        assert found.is_empty and found.note
        return
    assert found.prompt == expected["prompt"]
    assert found.negative == expected.get("negative_repaired", expected["negative"])
    assert found.fields == expected["fields"]


def test_a1111() -> None:
    found = read_infotext(texts.A1111)
    assert found.prompt == "a harbour at dawn, (mist:1.2) <lora:inkwash final:0.8:0.6> <lora:grain:0.4>\nsecond line"
    assert found.negative == "blurry, <lora:not_read:1>,\nlow quality"
    assert found.size == (832, 1216) and found.whole("Steps") == 28 and found.number("CFG scale") == 6.5
    assert found.whole("Seed") == 123456789012
    assert found.fields["ADetailer prompt"] == 'a face, "calm" <lora:face:0.5>'
    assert found.fields["Hires upscaler"] == "4x-UltraSharp"
    assert found.fields["TI hashes"] == "easyneg: c74b4e810b03"
    assert [x.to_json() for x in named_loras(found)] == [
        {"name": "inkwash final", "te": 0.8, "unet": 0.6, "hash": "0123456789ab"},
        {"name": "grain", "te": 0.4, "unet": 0.4, "hash": "ba9876543210"},
    ]


def test_forge_writes_whole_hashes_and_fields_of_its_own() -> None:
    found = read_infotext(texts.FORGE)
    assert found.fields["Distilled CFG Scale"] == "3.5" and found.fields["Module 2"] == "clip_l"
    assert found.fields["Diffusion in Low Bits"] == "Automatic (fp16 LoRA)"
    (lora,) = named_loras(found)
    assert lora.entry.name == "Neon_City-XL" and len(lora.hash) == 64


def test_sdnext_writes_eight_digits_and_sizes_that_are_none() -> None:
    found = read_infotext(texts.SDNEXT)
    assert found.size == (1024, 1024) and found.fields["Batch"] == "4x1"
    assert [(x.entry.name, x.hash) for x in named_loras(found)] == [("winter", "9f08b9d7")]


def test_hashes_as_json() -> None:
    found = read_infotext(texts.CIVITAI_HASHES)
    assert found.fields["Hashes"] == {"model": "9aba26abdf", "lora:stone,tall": "fe6d7d9c98", "vae": ""}
    assert [(x.entry.name, x.hash) for x in named_loras(found)] == [("stone,tall", "fe6d7d9c98")]


def test_the_hires_prompts_tags_are_the_weights_of_the_hires_pass() -> None:
    found = read_infotext(texts.HIRES)
    stack = stack_of(found, named_loras(found))
    assert [(e.name, e.weights("first"), e.weights("hires")) for e in stack] == [
        ("ink", (0.8, 0.8), (0.4, 0.4)), ("grain", (0.5, 0.5), (0, 0)), ("sharp", (0, 0), (1, 1))
    ]  # fmt: skip


def test_a_name_twice_counts_as_in_a1111() -> None:
    found = read_infotext("x <lora:a:0.5> <lora:b:1> <lora:a:0.3>\nSteps: 1, Sampler: Euler, Seed: 1")
    assert [(e.name, e.te, e.unet) for e in stack_of(found, named_loras(found))] == [("a", 0.6, 0.6), ("b", 1, 1)]


def test_one_line_as_exiftool_prints_it() -> None:
    found = read_infotext(texts.ONE_LINE)
    assert found.prompt == "a pier at night. long exposure" and found.negative == "crowd, cars"
    assert found.fields["Model"] == "nights" and found.whole("Steps") == 22


def test_line_ends_of_windows() -> None:
    found = read_infotext(texts.MATRIX)
    assert (found.prompt, found.negative, found.fields["Model"]) == ("a lake", "fog", "lakes")


def test_weight_a_of_additional_networks_is_the_unets() -> None:
    (lora,) = named_loras(read_infotext(texts.NETWORKS))
    assert lora.to_json() == {"name": "dust", "te": 0.3, "unet": 0.7, "hash": "0f1e2d3c4b5a", "from": "AddNet fields"}


def test_fields_around_broken_json_survive() -> None:
    fields = read_infotext(texts.BROKEN).fields
    assert (fields["Steps"], fields["Sampler"], fields["Seed"], fields["CFG scale"]) == ("20", "Euler", "9", "7")


def test_a_prompt_alone_is_a_prompt() -> None:
    found = read_infotext("a cat, style: ink\nNegative prompt: dog")
    assert (found.prompt, found.negative, dict(found.fields)) == ("a cat, style: ink", "dog", {})


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
@pytest.mark.parametrize("name", list(texts.comments("")))
def test_exif_in_every_encoding(kind: str, name: str) -> None:
    text = texts.A1111.replace("harbour at dawn", "港の夜明け, café 夜 😀")
    found = read_picture(texts.with_comment(kind, texts.comments(text)[name]))
    assert found.text == text
    assert found.infotext == read_infotext(text)


def test_exif_counts_before_the_chunk() -> None:
    found = read_picture(texts.with_comment("PNG", b"UNICODE\0" + texts.SDNEXT.encode("utf-16-be")))
    assert found.infotext.fields["App"] == "SD.Next"


@pytest.mark.parametrize("text", [texts.A1111, f"夜の港{SHORT}", f"café{SHORT}"])
def test_png_chunks(text: str) -> None:
    assert read_picture(texts.png(parameters=text)).text == text
    assert read_picture(texts.png_with_raw("parameters", text.encode())).text == text


def test_latin_1_stays_latin_1() -> None:
    text = f"café{SHORT}"
    assert read_picture(texts.png_with_raw("parameters", text.encode("latin-1"))).text == text


def test_novelai_is_shown_as_it_is_and_said() -> None:
    comment = json.dumps({"steps": 28, "sampler": "k_euler", "seed": 5, "scale": 11.0, "uc": "text, blurry"})
    found = read_picture(texts.png(Software="NovelAI", Description="{{a fox}}, snow", Comment=comment)).infotext
    assert "NovelAI" in found.note and "Sampler" not in found.fields
    assert (found.prompt, found.negative) == ("{{a fox}}, snow", "text, blurry")
    assert found.fields == {"Steps": "28", "CFG scale": "11.0", "Seed": "5", "NovelAI sampler": "k_euler"}


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        ({"parameters": '{"sui_image_params": {"prompt": "a: b, c: d, e: f"}}'}, "SwarmUI"),
        ({"parameters": '{"prompt": "x", "fooocus_scheme": "fooocus"}'}, "Fooocus"),
        ({"invokeai_metadata": "{}"}, "InvokeAI"),
        ({"prompt": "{}", "workflow": "{}"}, "ComfyUI workflow"),
        ({}, "carries no infotext"),
    ],
)
def test_what_is_no_infotext_is_named(chunks: dict[str, str], said: str) -> None:
    found = read_picture(texts.png(**chunks)).infotext
    assert found.is_empty and said in found.note


def test_no_picture() -> None:
    assert "no picture" in read_picture(b"not a picture").infotext.note
    assert "no picture" in read_picture(b"").infotext.note


def test_the_hosts_webp_is_known_to_carry_a_workflow() -> None:
    found = read_picture(texts.with_comment("WEBP", b"", tag0110='prompt:{"1": {}}', tag010f='workflow:{"nodes": []}'))
    assert found.workflow and "ComfyUI workflow" in found.infotext.note
