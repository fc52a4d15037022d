"""The lock's text: what is written is read again, by whatever way it came; bad ones say what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lora_deck.sharing.lock import LONGEST, MOST, Lock, LockEntry, LockError, read_lock

INK = LockEntry("styles/new_ink", "styles/new_ink.safetensors", "7c1f09b2e4", "d20a61c8f37b", 239599616, "SDXL")
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\\"), min_size=1, max_size=30)


def test_the_documented_form() -> None:
    assert json.loads(Lock((INK,)).to_text()) == {
        "lora_deck_lock": 1,
        "entries": [
            {"name": "styles/new_ink", "path": "styles/new_ink.safetensors", "autov2": "7c1f09b2e4",
             "autov3": "d20a61c8f37b", "size": 239599616, "base_model": "SDXL"},
        ],
    }  # fmt: skip


@given(st.lists(st.tuples(names, st.none() | st.integers(0, 1 << 50)), max_size=5))
def test_what_is_written_is_read_again(given: list[tuple[str, int | None]]) -> None:
    lock = Lock(tuple(LockEntry(name, size=size) for name, size in given), "error")
    plain = [name for name, _ in given if all(ord(c) >= 32 for c in name)]
    if len(plain) == len(given):
        assert read_lock(lock.to_text()) == lock


def test_unknown_fields_stay() -> None:
    text = json.dumps({"lora_deck_lock": 1, "new": [1], "entries": [{"name": "a", "more": {"x": 1}}]})
    assert json.loads(read_lock(text).to_text()) == json.loads(text)


@pytest.mark.parametrize("empty", [None, "", "  \n"])
def test_an_empty_text_is_an_empty_lock(empty: Any) -> None:
    assert read_lock(empty) == Lock()


def test_separators_that_a_forwarding_program_turned() -> None:
    text = Lock((INK, LockEntry("光/ink", "光/unet_b.safetensors", "0123456789"))).to_text()
    turned = read_lock(text.replace("/", "\\"))
    assert [entry.path for entry in turned.entries] == ["styles/new_ink.safetensors", "光/unet_b.safetensors"]
    for written in ("styles/new_ink", "styles\\new_ink", "./styles/new_ink"):
        found = turned.of(written)
        assert found is not None and found.autov2 == INK.autov2


def test_names_written_with_escapes_by_other_programs() -> None:
    text = json.dumps({"lora_deck_lock": 1, "entries": [{"name": "光\\ink", "autov2": "ABCDEF0123"}]})
    found = read_lock(text).of("光/ink")
    assert found is not None and found.autov2 == "abcdef0123"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (Lock((INK,)).to_text()[:-20], "cut short"),
        ('{"lora_deck_lock": 2, "entries": []}', "format 2.*Update LoRA Deck"),
        ('{"lora_deck_lock": "1"}', "a number from 1"),
        ('{"lora_deck_lock": true}', "a number from 1"),
        ('{"lora_deck": 1}', "this is none"),
        ("[]", "this is none"),
        ('{"lora_deck_lock": 1, "entries": {}}', "is a list"),
        ('{"lora_deck_lock": 1, "entries": [{"path": "a"}]}', "Entry 1"),
        (Lock(tuple(LockEntry(str(n)) for n in range(10_000))).to_text(), "10,000 entries.*1,000 are read"),
        ("x" * (LONGEST + 1), "characters"),
        ("[" * 100_000, "cut short"),
    ],
)
def test_bad_locks_say_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(LockError, match=says):
        read_lock(text)
    assert MOST == 1_000


def test_values_of_the_wrong_kind_are_unknown_ones() -> None:
    entry = {"name": "a", "path": 3, "autov2": "no hash", "autov3": [], "size": -1, "base_model": 4}
    lock = read_lock(json.dumps({"lora_deck_lock": 1.5, "entries": [entry], "other_content": "maybe"}))
    assert lock.entries == (LockEntry("a"),) and lock.other_content == "warn" and not lock.names()


def test_entries_that_are_there_stay() -> None:
    lock = Lock((INK,)).with_entries([LockEntry("styles\\new_ink", "b"), LockEntry("b"), LockEntry("b", "again")])
    assert lock.entries == (INK, LockEntry("b"))


@given(st.text(max_size=80) | st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=9),
       lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
           ["lora_deck_lock", "entries", "name", "size", "autov2"]), inner, max_size=4)).map(json.dumps))  # fmt: skip
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        read_lock(text)
    except LockError as error:
        assert str(error)
