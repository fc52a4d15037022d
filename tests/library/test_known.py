"""What the index knows of names at once, and files found by content: never another file than names and hashes say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from lora_deck.library import Library
from lora_deck.library.content import find_content, has_content
from lora_deck.library.find import find
from lora_deck.library.hashing import Hashes, hash_file
from lora_deck.library.known import known
from lora_deck.library.roots import Roots
from lora_deck.library.sums import verified_hash
from lora_deck.stack.errors import LoraDeckError

from .make import write_lora


@pytest.fixture
def library(tmp_path: Path) -> Library:
    loras = tmp_path / "loras"
    for name, fill, metadata in (
        ("styles/ink", 1, None), ("other/ink", 2, None), ("mira", 3, {"ss_output_name": "lighthouse"}),
        ("copies/a", 4, None), ("copies/b/a", 4, None), ("水墨", 5, None),
    ):  # fmt: skip
        write_lora(loras / f"{name}.safetensors", metadata, fill=bytes([fill]))
    made = Library(tmp_path / "index", lambda: Roots((str(loras),)))
    made.scan()
    return made


NAMES = ["styles/ink", "styles\\ink.safetensors", "ink", "INK", "mira", "Mira", "lighthouse", "a", "水墨", "none", ""]


def test_it_says_what_names_mean_or_nothing(library: Library) -> None:
    for file_id in range(1, 7):
        verified_hash(library.store, file_id)
    found = known(library, NAMES)
    for name in NAMES:
        try:
            expected: str | None = find(library, name).name
        except LoraDeckError:
            expected = None
        assert (found[name].identity.path if name in found else None) == expected, name
    assert found["mira"].identity.hashes and found["mira"].identity.base_model == "SD1"


def test_files_that_changed_since_are_left_out(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "loras" / "mira.safetensors"
    os.utime(path, ns=(1, 1))
    assert known(library, ["mira"]) == {}
    path.unlink()
    assert known(library, ["mira", "lighthouse"]) == {}


def test_equal_copies_without_hashes_are_not_guessed(library: Library) -> None:
    assert "a" not in known(library, ["a"])


def test_content_is_found_in_a_library_that_was_never_hashed(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "loras" / "styles" / "ink.safetensors"
    hashes = hash_file(path)
    size = path.stat().st_size
    assert find_content(library, hashes.autov2, hashes.autov3, None) is None
    found = find_content(library, hashes.autov2, hashes.autov3, size)
    assert found is not None and found.name == "styles/ink.safetensors"
    assert find_content(library, None, hashes.autov3, None) == found == find_content(library, hashes.autov2, None, 1)
    assert find_content(library, None, None, size) is None
    assert find_content(library, "e3b0c44298", None, size) is None


def test_a_file_that_came_this_moment_is_found(library: Library, tmp_path: Path) -> None:
    assert find_content(library, "0123456789", None, 5) is None
    path = tmp_path / "loras" / "styles" / "fresh.safetensors"
    write_lora(path, fill=b"\x0b")
    library._poll_after = float("inf")  # as shortly after a look at slow folders
    hashes = hash_file(path)
    found = find_content(library, hashes.autov2, hashes.autov3, path.stat().st_size)
    assert found is not None and found.name == "styles/fresh.safetensors"


def test_a_file_written_over_is_found_no_more(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "loras" / "mira.safetensors"
    hashes = hash_file(path)
    assert find_content(library, hashes.autov2, hashes.autov3, path.stat().st_size) is not None
    write_lora(path, {"ss_output_name": "other"}, fill=b"\x08")
    os.utime(path, ns=(5, 5))
    assert find_content(library, hashes.autov2, hashes.autov3, path.stat().st_size) is None


def test_an_edited_header_is_the_same_content() -> None:
    one, two = Hashes("1" * 64, "a" * 64), Hashes("2" * 64, "a" * 64)
    assert has_content(two, one.autov2, one.autov3) and not has_content(two, one.autov2, None)
    assert not has_content(one, one.autov2, "b" * 12) and has_content(one, one.autov2, None)
    assert not has_content(None, one.autov2, one.autov3) and not has_content(one, None, None)
