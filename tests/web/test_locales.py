"""Every word of the sidebar is in `locales/`, in each language, with the same values to fill in."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LOCALES = ROOT / "locales"
LANGUAGES = sorted(path.name for path in LOCALES.iterdir())
PLURALS = {"zero", "one", "two", "few", "many", "other"}
KEY = re.compile(r"""\b(?:t|count)\(\s*(["`])([\w.]+?)\1""")
STEM = re.compile(r"""`([a-z_]+\.[\w.]*)\$\{""")
CHOSEN = re.compile(r"""["`]((?:flyout|menu|view|notice|filters|dialog|rows|picker|bars|drag|report)\.[\w.]+)["`]""")


def texts(tree: dict[str, Any], before: str = "") -> dict[str, str]:
    """Key → text; of a text per plural form, `other` under the key itself."""
    found: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, str):
            found[before + key] = value
        elif set(value) <= PLURALS:
            found[before + key] = value["other"]
        else:
            found |= texts(value, f"{before}{key}.")
    return found


def read(language: str, name: str) -> dict[str, Any]:
    return dict(json.loads((LOCALES / language / name).read_text(encoding="utf-8")))


def main(language: str) -> dict[str, str]:
    return texts(read(language, "main.json")["lora_deck"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_every_text_with_the_same_values(language: str) -> None:
    english, own = main("en"), main(language)
    assert own.keys() == english.keys()
    for key, text in own.items():
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", english[key])), key
    assert texts(read(language, "settings.json")).keys() == texts(read("en", "settings.json")).keys()


def test_the_modules_use_what_is_there_and_nothing_else() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "web").glob("*.*js"))
    used = {key for _, key in KEY.findall(sources)} | set(CHOSEN.findall(sources))
    stems = set(STEM.findall(sources))
    english = main("en")
    assert used - {"view.orders", "view.sizes"} <= english.keys()
    unused = [k for k in english if k not in used and not any(k.startswith(stem) for stem in stems)]
    assert [key for key in unused if not key.startswith("fields.")] == []


def test_settings_have_names() -> None:
    source = (ROOT / "web" / "settings.mjs").read_text(encoding="utf-8")
    rows = dict(re.findall(r'row\("(\w+)", "([^"]+)"', source))
    named = read("en", "settings.json")
    assert {f"LoRADeck_{key}": name for key, name in rows.items()} == {key: row["name"] for key, row in named.items()}
