"""Names: exact path, then unique base name, never a guess."""

from __future__ import annotations

import pytest
from lora_deck.library.names import NameIndex
from lora_deck.stack.errors import AmbiguousLoraError, LoraNotFoundError

INDEX = NameIndex(
    [
        "ink.safetensors",
        "styles\\ink_v2.safetensors",
        "styles/grain.safetensors",
        "film/grain.safetensors",
        "v1.0.safetensors",
        "v1.0.pt",
        "Möbel.safetensors",
        "Case.safetensors",
        "a/[x] (1).safetensors",
    ]
)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("ink", "ink.safetensors"),
        ("ink.safetensors", "ink.safetensors"),
        ("ink_v2", "styles\\ink_v2.safetensors"),
        ("styles\\ink_v2", "styles\\ink_v2.safetensors"),
        ("styles/ink_v2.safetensors", "styles\\ink_v2.safetensors"),
        ("film/grain", "film/grain.safetensors"),
        ("v1.0.pt", "v1.0.pt"),
        ("Mo\u0308bel", "Möbel.safetensors"),
        ("case", "Case.safetensors"),
        ("[x] (1)", "a/[x] (1).safetensors"),
    ],
)
def test_found(name: str, path: str) -> None:
    assert INDEX.find(name) == path


@pytest.mark.parametrize("name", ["grain", "v1.0"])
def test_ambiguous_lists_candidates(name: str) -> None:
    with pytest.raises(AmbiguousLoraError) as caught:
        INDEX.find(name)
    assert len(caught.value.candidates) == 2


def test_missing_names_the_closest() -> None:
    with pytest.raises(LoraNotFoundError, match="ink_v2") as caught:
        INDEX.find("ink_v3")
    assert "ink" in caught.value.suggestions
    with pytest.raises(LoraNotFoundError):
        INDEX.find("i")
    with pytest.raises(LoraNotFoundError):
        INDEX.find("")
