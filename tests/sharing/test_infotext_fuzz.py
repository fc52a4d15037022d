"""No text and no picture makes the reader raise or hang."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lora_deck.sharing.infotext import Infotext, read_infotext
from lora_deck.sharing.infotext_loras import named_loras, stack_of
from lora_deck.sharing.picture import read_picture

from . import texts

PIECES = st.sampled_from([
    "Steps: 20", ", ", ",", ": ", "\n", "\r\n", "Negative prompt:", "Sampler: Euler a", "Seed: -1", "Size: 8x8", '"',
    '\\"', "\\", "{", "}", "[", "]", '{"lora:a": "0123456789ab"}', "Hashes: ", "Lora hashes: ", "Civitai resources: ",
    "<lora:", ">", ":", "1e999", "nan", "Hires prompt: ", "AddNet Enabled: True", "AddNet Model 1: a(0)", " | ", "\0",
    "Lora_0 Model name: ", "Template:", "ſ", "\ud800", "𝔘", "\u2028",
])  # fmt: skip
MIXED = st.lists(PIECES | st.text(max_size=5))
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join), MIXED.map("".join))


def read(text: str) -> Infotext:
    found = read_infotext(text)
    loras = named_loras(found)
    stack_of(found, loras).to_json()
    [lora.to_json() for lora in loras]
    assert found.size is None or min(found.size) >= 0
    for name in ("Steps", "Seed", "CFG scale"):
        found.number(name)
        found.whole(name)
    return found


@settings(max_examples=400)
@given(TEXTS)
def test_any_text_is_read(text: str) -> None:
    read(text)


@settings(max_examples=150)
@given(st.sampled_from(texts.ALL), st.integers(0, 900), st.integers(0, 60), TEXTS)
def test_any_damage_to_a_real_text(text: str, start: int, length: int, patch: str) -> None:
    read(text[:start] + patch + text[start + length :])


LONG = 300_000


@pytest.mark.parametrize(
    "text",
    [
        "Steps: 1, " + "a" * LONG + ": 1, b: 2",
        "ab:" * (LONG // 3),
        'ab:"' * (LONG // 4),
        "ab:[" * (LONG // 4),
        "ab:[1," * (LONG // 6),
        'ab:{"a":' * (LONG // 8),
        "Steps: 1, Sampler: x, Seed: 1, Data: " + "[" * LONG,
        "{" * LONG,
        "a, " * (LONG // 3) + "Steps: 1, Seed: 2, Size: 8x8",
        "\n" * LONG + "Steps: 1, Seed: 2, Size: 8x8",
        ("Steps: 1, Seed: 2, Size: 8x8" + "\n") * (LONG // 30),
        "Steps: 1 " * (LONG // 9),
        "<lora:a" * (LONG // 7) + "\nSteps: 1, Seed: 2, Size: 8x8",
        "Steps: 1, Seed: 2, Lora hashes: " + "a:" * (LONG // 2),
        " |" * (LONG // 2) + "Steps: 1 | Seed: 2 | Size: 8x8",
        "Steps: 1, x: " + "\\" * LONG + '"',
        '"' + "\\" * LONG,
    ],
)
def test_long_texts_end(text: str) -> None:
    """A reader that looks back over what it has read would be at some of these for hours."""
    read(text)


@settings(max_examples=100)
@given(st.binary(max_size=400), st.sampled_from(["JPEG", "WEBP", "PNG"]))
def test_any_comment(raw: bytes, kind: str) -> None:
    read_picture(texts.with_comment(kind, raw))
    read_picture(texts.with_comment(kind, b"UNICODE\0" + raw))


@settings(max_examples=150)
@given(st.sampled_from([texts.png(parameters=texts.A1111), texts.with_comment("JPEG", texts.A1111.encode()),
                        texts.with_comment("WEBP", texts.A1111.encode())]),
       st.integers(0, 2000), st.binary(max_size=8))  # fmt: skip
def test_any_damage_to_a_picture(content: bytes, start: int, patch: bytes) -> None:
    read_picture(content[:start] + patch + content[start + len(patch) :])
    read_picture(content[:start])
    read_picture(texts.cut(content))
