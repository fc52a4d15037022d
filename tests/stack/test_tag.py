"""The tag's grammar against A1111's readings (`semantics` facts) and against itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lora_deck.stack.entry import LoraEntry
from lora_deck.stack.printer import print_stack, print_tag
from lora_deck.stack.stack import LoraStack
from lora_deck.stack.tag import parse_prompt


def one(text: str, **options: str) -> LoraEntry:
    parsed = parse_prompt(text, **options)
    assert len(parsed.stack) == 1, parsed.problems
    return parsed.stack.entries[0]


@pytest.mark.parametrize(
    ("tag", "te", "unet", "dyn"),
    [
        ("<lora:n>", 1, 1, None),
        ("<lora:n:0.5>", 0.5, 0.5, None),
        ("<lora:n:0.5:0.3>", 0.5, 0.3, None),
        ("<lora:n:unet=0.5>", 1, 0.5, None),
        ("<lora:n:te=0.5>", 0.5, 0.5, None),
        ("<lora:n:dyn=8:unet=1:0.5>", 0.5, 1, 8),
        ("<lora:n:1:1:8>", 1, 1, 8),
        ("<lora: n : 0.5 >", 0.5, 0.5, None),
        ("<LyCO:n:-.5:1e-1>", -0.5, 0.1, None),
        ("<lora:n: UNET = 0.25 :TE=2>", 2, 0.25, None),
        ("<lora:te=0.4:n>", 0.4, 0.4, None),
        ("<lora:n:1_0>", 10, 10, None),
        ("<lora:n:０.５>", 0.5, 0.5, None),
    ],
)
def test_weights(tag: str, te: float, unet: float, dyn: int | None) -> None:
    assert one(tag) == LoraEntry("n", te, unet, dyn)


def test_comfy_order_puts_the_unet_first() -> None:
    assert one("<lora:n:0.5:0.3>", weight_order="comfy") == LoraEntry("n", te=0.3, unet=0.5)
    assert one("<lora:n:0.5>", weight_order="comfy") == LoraEntry("n", te=0.5, unet=0.5)
    assert one("<lora:n:unet=0.5>", weight_order="comfy") == LoraEntry("n", te=1, unet=0.5)


def test_the_text_keeps_everything_but_the_tags() -> None:
    parsed = parse_prompt("a <lora:x:1> cat,\n (soft:1.2) <b> \\(paren\\) <lyco:y>")
    assert parsed.text == "a  cat,\n (soft:1.2) <b> \\(paren\\) "
    assert [e.name for e in parsed.stack] == ["x", "y"]


@pytest.mark.parametrize("text", ["< lora:n:1>", "<lora:>", "<lora: >", "lora:n:1>", "<hypernet:n:1>", ""])
def test_what_is_no_tag_stays(text: str) -> None:
    parsed = parse_prompt(text)
    assert parsed.text == text and not parsed.tags and not parsed.problems


@pytest.mark.parametrize(
    "bad",
    [
        "<lora:b:>",
        "<lora:b:1.1.>",
        "<lora:b:abc>",
        "<lora:b:nan>",
        "<lora:b:1e999>",
        "<lora:b:1:inf>",
        "<lora:b:abc:te=0.5>",
        "<lora:b:dyn=x>",
        "<lora:te=1>",
        "<lora:b::0.5>",
    ],
)
def test_a_bad_tag_costs_that_tag_alone(bad: str) -> None:
    parsed = parse_prompt(f"x <lora:a:1>{bad}<lora:c:0.5>")
    assert [e.name for e in parsed.stack] == ["a", "c"]
    (problem,) = parsed.problems
    assert problem.start == 12 and problem.tag == bad and problem.skipped
    assert parsed.stack.notes == (str(problem),) and "character 13" in parsed.stack.notes[0]
    assert parsed.text == "x "


def test_an_unclosed_tag_is_named_and_swallows_nothing() -> None:
    parsed = parse_prompt("a <lora:x:1 b <lora:y:1> c")
    assert [e.name for e in parsed.stack] == ["y"]
    assert parsed.text == "a <lora:x:1 b  c"
    assert parsed.problems[0].start == 2 and "closing" in parsed.problems[0].message


def test_escapes_and_separators() -> None:
    assert one(r"<lora:styles\ink:1>").name == "styles/ink"
    assert one(r"<lora:a\:b\>c\<d\\e\{f\|g\}:1>").name == r"a:b>c<d\e{f|g}"
    assert one("<lora:[墨] (v1.0) & co=2:0.5>").name == "[墨] (v1.0) & co=2"


def test_foreign_keys_are_kept_and_reported() -> None:
    parsed = parse_prompt("<lora:n:0@0,1@0.5:start=5>")
    entry = parsed.stack.entries[0]
    assert (entry.te, entry.unet) == (1, 1)
    assert entry.extra == (("te", "0@0,1@0.5"), ("unet", "0@0,1@0.5"), ("start", "5"))
    assert all("not applied yet" in note for note in parsed.stack.notes) and len(parsed.stack.notes) == 2


def test_unknown_keys_are_reported() -> None:
    parsed = parse_prompt("<lora:n:1:foo=2>")
    assert len(parsed.stack) == 1 and '"foo"' in parsed.problems[0].message and not parsed.problems[0].skipped


def test_repeats() -> None:
    text = "<lora:a:0.5><lora:b:1><lora:a:0.3:0.2>"
    assert [(e.name, e.te, e.unet) for e in parse_prompt(text).stack] == [("a", 0.5, 0.5), ("b", 1, 1), ("a", 0.3, 0.2)]
    merged = parse_prompt(text, repeats="a1111").stack
    assert [(e.name, e.te, e.unet) for e in merged] == [("a", 0.6, 0.4), ("b", 1, 1)]


def test_hires_keys() -> None:
    entry = one("<lora:n:1:hr=0.5:hrte=0.2>")
    assert entry.weights("first") == (1, 1) and entry.weights("hires") == (0.2, 0.5)
    assert one("<lora:n:0.7>").weights("hires") == (0.7, 0.7)


numbers = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(min_size=1).map(str.strip).filter(lambda t: t and not t.startswith("./"))
texts = st.none() | st.text(min_size=1).map(str.strip).filter(bool)
entries = st.builds(
    LoraEntry,
    name=names,
    te=numbers,
    unet=numbers,
    dyn=st.none() | st.integers(-(2**50), 2**50),
    lbw=texts,
    lbwe=texts,
    x=st.none() | numbers,
    hr_te=st.none() | numbers,
    hr_unet=st.none() | numbers,
)


@given(entries)
def test_print_parse(entry: LoraEntry) -> None:
    parsed = parse_prompt(print_tag(entry))
    assert parsed.stack == LoraStack((entry,)) and parsed.text == ""


fragments = st.lists(
    st.sampled_from(
        [
            "<lora:",
            "<lyco:",
            ">",
            ":",
            "=",
            "a",
            "te",
            "hr",
            "0.5",
            "1@0,0@1",
            "\\",
            "<",
            "{",
            "|",
            " ",
            "墨",
            "lbw",
            "start",
            "dyn",
            "hrunet",
        ]
    ),
    max_size=30,
)


@given(fragments.map("".join) | st.text())
def test_parse_print_parse(text: str) -> None:
    first = parse_prompt(text)
    again = parse_prompt(print_stack(first.stack))
    assert again.stack.entries == first.stack.entries
    assert all(0 <= p.start < p.end <= len(text) for p in first.problems)
