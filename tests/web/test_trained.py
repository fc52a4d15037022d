"""Training tags in the activation text, and the random prompt, without a host."""

from __future__ import annotations

import random

from playwright.sync_api import Page

TAGS = ["tide", "foam (sea)", "a", "水墨", "{x}", "two words"]
TOGGLE = """async cases => {
    const { partsOf, toggled } = await import("/trained.mjs?v=0.1.0")
    return cases.map(([text, tag]) => { const once = toggled(text, tag)
        return [[...partsOf(text)], once, [...partsOf(once)], toggled(once, tag)] })
}"""
RANDOM = """async ([tags, rolls]) => {
    const { randomPrompt } = await import("/trained.mjs?v=0.1.0")
    let at = 0
    return randomPrompt(tags, () => rolls[at++])
}"""


def test_a_tag_is_toggled_as_a_part_of_its_own(page: Page) -> None:
    cases = [["", "tide"], ["tide", "tide"], ["a, tide, b", "tide"], ["tide,", "a"], ["high tide", "tide"],
             ["a,\ntide\nb", "tide"], ["tide, tide", "tide"]]  # fmt: skip
    found = [row[1] for row in page.evaluate(TOGGLE, cases)]
    assert found == ["tide", "", "a, b", "tide, a", "high tide, tide", "a,\nb", ""]


def test_toggling_changes_one_part_in_any_text(page: Page) -> None:
    choose = random.Random(18)
    cases = []
    for _ in range(2000):
        parts = [choose.choice([*TAGS, "x", " ", "(boat:1.2)"]) for _ in range(choose.randrange(6))]
        cases.append([choose.choice([", ", ",", " ,\n", "\n"]).join(parts), choose.choice(TAGS)])
    for (text, tag), (before, once, after, _twice) in zip(
        cases, page.evaluate(TOGGLE, cases), strict=True
    ):
        expected = set(before) - {tag} if tag in before else {*before, tag}
        assert set(after) == expected, (text, tag, once)


def test_the_random_prompt_is_a1111s(page: Page) -> None:
    tags = [["tide", 40], ["foam (sea)", 30], ["gull", 20], ["[x]", 4]]
    # Kept where count > roll × 40: 40 > 39.6, 30 > 28, not 20 > 24, 4 > 2.
    found = page.evaluate(RANDOM, [tags, [0.99, 0.7, 0.6, 0.05]])
    assert found == "\\[x\\], foam \\(sea\\), tide"
    assert page.evaluate(RANDOM, [[], []]) == ""
