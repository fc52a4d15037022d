"""Folders of LoRA files for the library's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lora_deck.library import Library
from lora_deck.library.roots import Roots

MakeLibrary = Callable[..., Library]


@pytest.fixture
def make_library(tmp_path: Path) -> Iterator[MakeLibrary]:
    """`make_library(*folders, index=…)`: a library over these folders, in this order; not watching by itself."""
    opened: list[Library] = []

    def make(*folders: Path, index: str = "index", models: tuple[tuple[str, str], ...] = ()) -> Library:
        roots = Roots(tuple(str(f) for f in folders), models)
        library = Library(tmp_path / index, lambda: roots)
        opened.append(library)
        return library

    yield make
    for library in opened:
        library.stop()


@pytest.fixture
def loras(tmp_path: Path) -> Path:
    folder = tmp_path / "loras"
    folder.mkdir()
    return folder
