"""The tag's grammar against A1111's readings (`semantics` facts) and against itself."""

from __future__ import annotations

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


def test_a_problem_says_which_tag_and_where() -> None:
    parsed = parse_prompt("x <lora:a:1><lora:b:1.1.><lora:c:0.5>")
    (problem,) = parsed.problems
    assert problem.tag == "<lora:b:1.1.>" and problem.skipped
    assert parsed.stack.notes == (str(problem),) and "(character 13, skipped)" in str(problem)


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
