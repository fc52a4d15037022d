"""Putting tags into texts and taking them out, on many texts at once, without a host."""

from __future__ import annotations

import random

import pytest
from playwright.sync_api import Page

WORDS = (
    "a",
    "cat",
    ",",
    ", ",
    " ",
    "\n",
    ".",
    "(boat:1.2)",
    "BREAK",
    "墨",
    "😀",
    "{a|b}",
    "<lora:x:1>",
    "<",
    ">",
    ":",
    "",
)
NAMES = ("ink", "a b", "x:y", "te=1", "./dot", "[v1]", "日本", "a\\b", "w=2", "<odd>")
ACTIVATIONS = ("", "ink wash, rice paper", "x", "(styled:1.1)", "a cat")
SEPARATORS = (" ", ", ", "", "\n", " BREAK ")

THERE_AND_BACK = """async cases => {
    const { edited, insertion, placeFor, removal } = await import("/tags.mjs?v=0.1.0")
    const { parsePrompt, printTag } = await import("/grammar.mjs?v=0.1.0")
    return cases.map(([text, at, name, activation, separator, remembers, changed]) => {
        const place = placeFor(text, at)
        const tag = printTag({ name, te: 0.8 })
        const edit = insertion(text, place, [tag, activation].filter(Boolean).join(" "), separator)
        let now = edited(text, edit)
        let found = parsePrompt(now).tags.find(t => t.start === edit.start + edit.lead.length)
        if (!found) return { now, lost: true }
        const other = printTag({ name, te: changed[0], unet: changed[1], lbw: "OUTALL" })
        now = now.slice(0, found.start) + other + now.slice(found.end)
        found = { start: found.start, end: found.start + other.length }
        return { back: edited(now, removal(now, found, [activation], remembers ? edit : separator)), now }
    })
}"""


def test_what_goes_in_comes_out_exactly(page: Page) -> None:
    rng = random.Random(3)
    cases = []
    for _ in range(5_000):
        text = "".join(rng.choices(WORDS, k=rng.randint(0, 12)))
        if "<lora:" in text.replace("<lora:x:1>", "") or text.count("<") != text.count(">"):
            continue
        weights = [rng.choice((-1, 0.25, 1, 2)), rng.choice((0, 0.5))]
        cases.append([text, rng.randint(0, len(text.encode("utf-16-le")) // 2), rng.choice(NAMES),
                      rng.choice(ACTIVATIONS), rng.choice(SEPARATORS), True, weights])  # fmt: skip
    assert len(cases) > 2_000
    for case, got in zip(cases, page.evaluate(THERE_AND_BACK, cases), strict=True):
        assert not got.get("lost"), (case, got)
        assert got["back"] == case[0], (case, got)


@pytest.mark.parametrize(
    ("text", "at", "want"),
    [
        ("", 0, "<T>"),
        ("a cat", 5, "a cat <T>"),
        ("a cat", 4, "a cat <T>"),
        ("a cat\n", 6, "a cat\n<T>"),
        ("a cat, on", 5, "a cat <T>, on"),
        ("<lora:x:1> a", 4, "<lora:x:1> <T> a"),
        ("cat", 0, "<T> cat"),
    ],
)
def test_places(page: Page, text: str, at: int, want: str) -> None:
    got = page.evaluate(
        """async ([text, at]) => { const { edited, insertion, placeFor } = await import("/tags.mjs?v=0.1.0")
        return edited(text, insertion(text, placeFor(text, at), "<T>", " ")) }""",
        [text, at],
    )
    assert got == want


@pytest.mark.parametrize(
    ("tag", "want"),
    [
        ("<lora:a>", "<lora:a:1.05>"),
        ("<lora:a:0.5>", "<lora:a:0.55>"),
        ("<lora: a : 0.5 :lbw=OUTALL:x=2>", "<lora: a :0.55:lbw=OUTALL:x=2>"),
        ("<lora:a:1:0.5:8>", "<lora:a:1.05:0.55:8>"),
        ("<lora:a:te=0.1:unet=0.2>", "<lora:a:0.15:0.25>"),
        ("<lora:a:0.7:hr=0.3>", "<lora:a:0.75:hr=0.3>"),
        ("<lora:a:-0.05>", "<lora:a:0>"),
        ("<lora:a:1:0.5>", "<lora:a:1.05:0.55>"),
    ],
)
def test_a_step_moves_the_weights_and_nothing_else(page: Page, tag: str, want: str) -> None:
    got = page.evaluate(
        """async tag => { const { edited, reweighted, tagAt } = await import("/tags.mjs?v=0.1.0")
        return edited(tag, reweighted(tag, tagAt(tag, 2), w => w + 0.05)) }""",
        tag,
    )
    assert got == want


def test_a_negative_text_comes_out_with_whatever_weight(page: Page) -> None:
    got = page.evaluate("""async () => { const { edited, negativeRemoval } = await import("/tags.mjs?v=0.1.0")
        return ["photo (bad (hand):1)", "photo (bad (hand):1.35), x", "(bad (hand))", "bad (hand)"].map(text => {
            const edit = negativeRemoval(text, "bad (hand)", " ")
            return edit ? edited(text, edit) : null }) }""")
    assert got == ["photo", "photo, x", "", None]
