"""What is written survives A1111's own rules, and reads back as what was applied."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lora_deck.sharing.infotext import read_infotext
from lora_deck.sharing.infotext_loras import named_loras, stack_of
from lora_deck.sharing.write_infotext import PassText, WrittenLora, block_vector, field_line, infotext, quoted
from lora_deck.stack.block_weights import resolve_block_weights
from lora_deck.stack.blocks import BlockLayout
from lora_deck.stack.entry import LoraEntry

VALUES: dict[str, Any] = {"Steps": 20, "Sampler": "Euler a", "Size": "8x8", "Version": "ComfyUI"}
A1111_FIELD = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
"""A1111 1.10's own expression."""


def lora(name: str, te: float = 1, unet: float = 1, digits: str = "0123456789ab", **more: Any) -> WrittenLora:
    blocks = more.pop("blocks", ())
    return WrittenLora(LoraEntry(name, te, unet, **more), f"{name}.safetensors", digits, te, unet, blocks)


def text(*loras: WrittenLora, prompt: str = "a boat", hashes: bool = True) -> str:
    return infotext(PassText(prompt, "blurry", loras), None, VALUES, hashes)


def a1111_tags(prompt: str) -> dict[str, tuple[float, float]]:
    """What A1111's extension makes of tags; raises where it would switch all off."""
    found: dict[str, tuple[float, float]] = {}
    for kind, inside in re.findall(r"<(\w+):([^>]+)>", prompt):
        assert kind == "lora"
        positional, named = [], {}
        for item in inside.split(":"):
            parts = item.split("=", 2)
            if len(parts) == 2:
                named[parts[0]] = parts[1]
            else:
                positional.append(item)
        te = float(positional[1]) if len(positional) > 1 else 1.0
        te = float(named.get("te", te))
        unet = float(positional[2]) if len(positional) > 2 else te
        unet = float(named.get("unet", unet))
        if "dyn" in named:
            int(named["dyn"])
        assert len(positional) <= 3
        found[positional[0]] = (te, unet)
    return found


def test_as_a1111_writes_it() -> None:
    assert text(lora("ink", 0.5, 0.75), lora("gr,ain", 1, 1, "ffffffffffff")) == (
        "a boat<lora:ink:0.5:0.75><lora:gr,ain:1>\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, Size: 8x8, "
        'Lora hashes: "ink: 0123456789ab, grain: ffffffffffff", Version: ComfyUI'
    )


def test_without_hashes_and_without_loras() -> None:
    assert "hashes" not in text(lora("ink"), hashes=False) and "hashes" not in text()


@given(
    st.lists(
        st.tuples(
            st.text(min_size=1, max_size=12), st.floats(-4, 4), st.floats(-4, 4), st.none() | st.integers(0, 128)
        ),
        max_size=4, unique_by=lambda x: x[0],
    ),
    st.text(max_size=30),
)  # fmt: skip
def test_any_name_and_weight_survives_a1111(items: list[tuple[str, float, float, int | None]], prompt: str) -> None:
    loras = [lora(f"{name}{n}", te, unet, dyn=dyn) for n, (name, te, unet, dyn) in enumerate(items)]
    written = text(*loras, prompt=prompt.replace("<", "").replace(">", ""))
    last = written.split("\n")[-1]
    assert len(A1111_FIELD.findall(last)) >= 3
    tags = re.findall(r"<lora:[^>]*>", written.rpartition("\nNegative prompt:")[0])
    weights = list(a1111_tags("".join(tags)).values())
    assert len(tags) == len(loras)
    for (te, unet), one in zip(weights, loras, strict=False):
        assert te == pytest.approx(one.te, abs=1e-8) and unet == pytest.approx(one.unet, abs=1e-8)


def test_what_was_applied_twice_is_one_tag() -> None:
    found = read_infotext(text(lora("ink", 0.5), lora("grain"), lora("ink", 0.3, 0.1)))
    assert [(x.entry.name, x.entry.te, x.entry.unet) for x in named_loras(found)] == [
        ("ink", 0.8, 1.1),
        ("grain", 1, 1),
    ]


def test_files_of_one_name_are_told_apart() -> None:
    found = read_infotext(text(lora("a/ink", 0.5), lora("b/ink", 0.3)))
    assert [x.entry.name for x in named_loras(found)] == ["ink", "b/ink"]


LAYOUTS = {
    26: BlockLayout(True, (("IN", 12), ("M", 1), ("OUT", 12))),
    20: BlockLayout(True, (("IN", 9), ("M", 1), ("OUT", 9))),
    61: BlockLayout(False, (("D", 19), ("S", 38)), (("double_blocks", "D"), ("single_blocks", "S"))),
    31: BlockLayout(False, (("L", 30),), (("layers", "L"),)),
    61 - 1 + 1: BlockLayout(False, (("D", 19), ("S", 38)), (("double_blocks", "D"), ("single_blocks", "S"))),
}


@pytest.mark.parametrize("length", sorted(LAYOUTS))
@pytest.mark.parametrize("spec", ["ALL=0.5", "NOT BASE", "BASE=0.25,ALL=0.3", "ALL=0.123456"])
def test_block_weights_have_hako_mikans_lengths_and_read_as_they_were(length: int, spec: str) -> None:
    layout = LAYOUTS[length]
    weights = resolve_block_weights(spec, layout, {}, None, "")
    blocks = (*weights.around, *((block, weights.of(block)) for block in layout.ids))
    vector = block_vector(blocks)
    assert len(vector) == length
    again = resolve_block_weights(",".join(map(str, vector)), layout, {}, None, "")
    assert [again.of(block) for block in layout.ids] == [weights.of(block) for block in layout.ids]
    encoder = "CLIP" if length in (61, 26, 20) else "BASE"
    assert again.of(encoder) == weights.of(encoder)


def test_what_a_tag_cannot_say_stands_in_a_field_of_our_own() -> None:
    entry = {"lbwe": "IN05:attn:0.5", "extra": (("start", "4"),)}
    written = text(lora("ink", 0.5, 0.75, **entry), lora("grain"))
    found = read_infotext(written)
    assert a1111_tags(found.prompt) == {"ink": (0.5, 0.75), "grain": (1, 1)}
    assert [*A1111_FIELD.findall(written.split("\n")[-1])][-1] == ("Version", "ComfyUI")
    stack = stack_of(found, named_loras(found))
    assert stack.entries == (LoraEntry("ink", 0.5, 0.75, **entry), LoraEntry("grain"))
    assert "LoRA Deck" not in text(lora("ink", 0.5, 0.75, dyn=3))


def test_a_hires_prompt_is_written_where_it_differs() -> None:
    first = PassText("cat", "", (lora("ink", 0.5, 0.5),))
    same = infotext(first, first, VALUES, True)
    assert "Hires prompt" not in same
    found = read_infotext(infotext(first, PassText("cat", "", (lora("ink", 0.25, 0.25),)), VALUES, True))
    assert found.fields["Hires prompt"] == "cat<lora:ink:0.25>"
    (entry,) = stack_of(found, named_loras(found))
    assert (entry.weights("first"), entry.weights("hires")) == ((0.5, 0.5), (0.25, 0.25))


@pytest.mark.parametrize("value", ["plain", "a, b", "a: b", 'say "x": y', "two\nlines", "back\\slash: x", "夜: x"])
def test_quoting(value: str) -> None:
    line = field_line({"Steps": 1, "Value": value, "Seed": 2})
    assert read_infotext(line).fields == {"Steps": "1", "Value": value, "Seed": "2"}
    ((_, raw),) = [f for f in A1111_FIELD.findall(line) if f[0] == "Value"]
    assert (json.loads(raw) if raw[0] == '"' else raw) == value
    assert quoted("plain") == "plain"
