"""Names: path, base name, alias, hash; never a guess."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from pathlib import Path

import pytest
from lora_deck.library import Library
from lora_deck.library.find import find, spelling
from lora_deck.library.names import Candidate, answering, close_names, shortest
from lora_deck.stack.errors import AmbiguousLoraError, LoraNotFoundError

from .conftest import MakeLibrary
from .make import write_lora

PATHS = ["ink.safetensors", "styles/ink_v2.safetensors", "styles/grain.safetensors", "film/grain.safetensors",
         "v1.0.safetensors", "v1.0.pt", "Möbel.safetensors", "Case.safetensors", "a/[x] (1).safetensors",
         "deep/er/ink_v3.safetensors", "墨/水墨.safetensors", "A.safetensors", "a.safetensors",
         "peft/frost/adapter_model.safetensors", "rime/pytorch_lora_weights.safetensors",
         "ink/adapter_model.bin"]  # fmt: skip
CANDIDATES = [Candidate(number, "/r", path, 0) for number, path in enumerate(PATHS)]


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("ink", ["ink.safetensors"]),
        ("ink.safetensors", ["ink.safetensors"]),
        ("ink_v2", ["styles/ink_v2.safetensors"]),
        ("styles\\ink_v2", ["styles/ink_v2.safetensors"]),
        ("./styles/ink_v2.safetensors", ["styles/ink_v2.safetensors"]),
        ("deep\\er/ink_v3", ["deep/er/ink_v3.safetensors"]),
        ("er/ink_v3", []),
        ("film/grain", ["film/grain.safetensors"]),
        ("grain", ["film/grain.safetensors", "styles/grain.safetensors"]),
        ("v1.0.pt", ["v1.0.pt"]),
        ("v1.0", ["v1.0.pt", "v1.0.safetensors"]),
        ("v1", []),
        ("Mo\u0308bel", ["Möbel.safetensors"]),
        ("MÖBEL", ["Möbel.safetensors"]),
        ("case", ["Case.safetensors"]),
        ("a", ["a.safetensors"]),
        ("A", ["A.safetensors"]),
        ("[x] (1)", ["a/[x] (1).safetensors"]),
        ("水墨", ["墨/水墨.safetensors"]),
        ("frost", ["peft/frost/adapter_model.safetensors"]),
        ("peft/frost", ["peft/frost/adapter_model.safetensors"]),
        ("peft\\frost\\adapter_model", ["peft/frost/adapter_model.safetensors"]),
        ("Rime", ["rime/pytorch_lora_weights.safetensors"]),
        ("ink/adapter_model", ["ink/adapter_model.bin"]),
        ("peft", []),
        ("", []),
        ("/", []),
        ("..", []),
    ],
)
def test_which_files_answer(name: str, paths: list[str]) -> None:
    assert [c.name for c in answering(name, CANDIDATES)] == paths


@pytest.mark.parametrize("path", PATHS)
def test_shortest_spelling_means_exactly_that_file(path: str) -> None:
    spelled = shortest(path, CANDIDATES)
    assert [c.name for c in answering(spelled, CANDIDATES)] == [path]
    assert len(spelled) <= len(path)


def test_close_names() -> None:
    assert close_names("ink_v4", ["ink", "ink_v2", "grain", "ink_v3"])[0] in ("ink_v2", "ink_v3")
    assert close_names("zzzz", ["ink", "grain"]) == []
    assert close_names("x" * 10_000, ["ink"]) == []


def test_ambiguous_lists_all(make_library: MakeLibrary, loras: Path) -> None:
    write_lora(loras / "a" / "same.safetensors", fill=b"\x01")
    write_lora(loras / "b" / "same.safetensors", fill=b"\x02")
    library = make_library(loras)
    with pytest.raises(AmbiguousLoraError) as caught:
        find(library, "same")
    assert caught.value.candidates == ("a/same.safetensors", "b/same.safetensors")
    assert find(library, "b/same").name == "b/same.safetensors"
    assert spelling(library, "b/same.safetensors") == "b/same"


def test_equal_content_is_never_ambiguous(make_library: MakeLibrary, loras: Path) -> None:
    write_lora(loras / "b" / "same.safetensors")
    write_lora(loras / "a" / "same.safetensors")
    library = make_library(loras)
    assert find(library, "same").name == "a/same.safetensors"
    write_lora(loras / "a" / "same.safetensors", fill=b"\x05")
    with pytest.raises(AmbiguousLoraError):
        find(library, "same")


def test_same_path_in_two_folders_is_the_hosts_first_and_says_so(make_library: MakeLibrary, tmp_path: Path) -> None:
    first, second = tmp_path / "z_first", tmp_path / "a_second"
    write_lora(first / "s" / "ink.safetensors", fill=b"\x01")
    other = write_lora(second / "s" / "ink.safetensors", fill=b"\x02")
    file = find(make_library(first, second), "ink")
    assert Path(file.path).is_relative_to(first)
    assert file.hides == (str(other),)
    assert Path(find(make_library(second, first), "ink").path).is_relative_to(second)


def test_an_adapter_folder_is_one_lora_named_by_its_folder(make_library: MakeLibrary, loras: Path) -> None:
    for number, folder in enumerate(("frost", "peft/rime", "peft/ice")):
        name = "pytorch_lora_weights" if number else "adapter_model"
        write_lora(loras / folder / f"{name}.safetensors", fill=bytes([number]))
    library = make_library(loras)
    assert find(library, "frost").name == "frost/adapter_model.safetensors"
    for written in (
        "rime",
        "peft/rime",
        "peft/rime/pytorch_lora_weights",
        "peft/rime/pytorch_lora_weights.safetensors",
    ):
        assert find(library, written).name == "peft/rime/pytorch_lora_weights.safetensors"
    assert spelling(library, "peft/ice/pytorch_lora_weights.safetensors") == "ice"
    with pytest.raises(LoraNotFoundError):
        find(library, "pytorch_lora_weights")


def test_alias_of_header_and_sidecar(make_library: MakeLibrary, loras: Path) -> None:
    write_lora(loras / "renamed.safetensors", {"ss_output_name": "Old Name"})
    write_lora(loras / "other.safetensors")
    (loras / "other.json").write_text('{"alias": "mein Kürzel"}', encoding="utf-8")
    library = make_library(loras)
    assert find(library, "Old Name").name == "renamed.safetensors"
    assert find(library, "old name").name == "renamed.safetensors"
    assert find(library, unicodedata.normalize("NFD", "mein Kürzel")).name == "other.safetensors"


def test_a_base_name_beats_an_alias_and_two_of_one_alias_are_ambiguous(make_library: MakeLibrary, loras: Path) -> None:
    write_lora(loras / "ink.safetensors", fill=b"\x01")
    write_lora(loras / "a.safetensors", {"ss_output_name": "ink"}, fill=b"\x02")
    write_lora(loras / "b.safetensors", {"ss_output_name": "twice"}, fill=b"\x03")
    write_lora(loras / "c.safetensors", {"ss_output_name": "twice"}, fill=b"\x04")
    library = make_library(loras)
    assert find(library, "ink").name == "ink.safetensors"
    with pytest.raises(AmbiguousLoraError):
        find(library, "twice")


def test_letter_case_is_forgiven_only_where_unique(make_library: MakeLibrary, loras: Path) -> None:
    write_lora(loras / "one" / "Ink.safetensors", fill=b"\x01")
    write_lora(loras / "two" / "INK.safetensors", fill=b"\x02")
    library = make_library(loras)
    assert find(library, "Ink").name == "one/Ink.safetensors"
    with pytest.raises(AmbiguousLoraError):
        find(library, "ink")


@pytest.mark.parametrize("digits", [8, 10, 12, 64])
def test_hash_prefix_in_any_case(make_library: MakeLibrary, loras: Path, digits: int) -> None:
    path = write_lora(loras / "ink.safetensors")
    write_lora(loras / "grain.safetensors", fill=b"\x09")
    library = make_library(loras)
    _hash_all(library)
    whole = path.read_bytes()
    behind = whole[8 + int.from_bytes(whole[:8], "little") :]
    for value in (hashlib.sha256(whole).hexdigest(), hashlib.sha256(behind).hexdigest()):
        assert find(library, value[:digits].upper()).name == "ink.safetensors"
        with pytest.raises(LoraNotFoundError):
            find(library, value[:7])


def test_a_claimed_hash_is_computed_before_it_counts(make_library: MakeLibrary, loras: Path) -> None:
    lie = "1234567890abcdef" * 4
    path = write_lora(loras / "liar.safetensors", {"sshs_model_hash": lie})
    library = make_library(loras)
    with pytest.raises(LoraNotFoundError):
        find(library, lie[:12])
    whole = path.read_bytes()
    truth = hashlib.sha256(whole[8 + int.from_bytes(whole[:8], "little") :]).hexdigest()
    write_lora(loras / "honest.safetensors", {"sshs_model_hash": truth, "other": "header"})
    assert find(library, truth[:12]).name in ("honest.safetensors", "liar.safetensors")


def test_the_hash_of_nothing_is_none(make_library: MakeLibrary, loras: Path) -> None:
    nothing = hashlib.sha256(b"").hexdigest()
    write_lora(loras / "a.safetensors", {"sshs_model_hash": nothing}, shapes={})
    (loras / "empty.pt").write_bytes(b"")
    library = make_library(loras)
    _hash_all(library)
    for digits in (nothing, nothing[:12], nothing[:8].upper()):
        with pytest.raises(LoraNotFoundError):
            find(library, digits)


def test_a_miss_rescans_once(make_library: MakeLibrary, loras: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_lora(loras / "ink.safetensors")
    library = make_library(loras)
    find(library, "ink")
    # Written where no folder's time tells of it.
    before = loras.stat()
    write_lora(loras / "late.safetensors")
    os.utime(loras, ns=(before.st_atime_ns, before.st_mtime_ns))
    library._walked_at -= 100
    walks: list[int] = []
    listing = library.list
    monkeypatch.setattr(library, "list", lambda: (walks.append(1), listing())[1])
    assert find(library, "late").name == "late.safetensors"
    assert len(walks) <= 1


def test_added_removed_and_renamed_files_are_seen(make_library: MakeLibrary, loras: Path) -> None:
    path = write_lora(loras / "ink.safetensors")
    library = make_library(loras)
    first = find(library, "ink")
    write_lora(loras / "new" / "grain.safetensors")
    assert find(library, "grain").name == "new/grain.safetensors"
    path.rename(loras / "new" / "tusche.safetensors")
    assert find(library, "tusche").id == first.id
    with pytest.raises(LoraNotFoundError):
        find(library, "ink")
    (loras / "new" / "tusche.safetensors").rename(loras / "new" / "tusche.pt")
    assert find(library, "tusche").id == first.id
    (loras / "new" / "grain.safetensors").unlink()
    with pytest.raises(LoraNotFoundError) as caught:
        find(library, "grain")
    assert caught.value.last_seen


def test_a_file_added_elsewhere_makes_a_name_ambiguous_at_once(make_library: MakeLibrary, loras: Path) -> None:
    write_lora(loras / "a" / "ink.safetensors", fill=b"\x01")
    library = make_library(loras)
    find(library, "ink")
    write_lora(loras / "b" / "ink.safetensors", fill=b"\x02")
    library._poll_after = 0.0
    with pytest.raises(AmbiguousLoraError):
        find(library, "ink")


def test_a_replaced_file_has_a_new_fingerprint(make_library: MakeLibrary, loras: Path) -> None:
    path = write_lora(loras / "ink.safetensors")
    library = make_library(loras)
    before = find(library, "ink").fingerprint
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x07")
    os.utime(path, ns=(1, 1))
    assert find(library, "ink").fingerprint != before


def test_missing_names_the_closest_and_long_names_are_harmless(make_library: MakeLibrary, loras: Path) -> None:
    write_lora(loras / "styles" / "ink_v2.safetensors")
    library = make_library(loras)
    with pytest.raises(LoraNotFoundError, match="ink_v2"):
        find(library, "ink_v3")
    for name in ("x" * 10_000, "a/" * 5_000, "\ud800", "nul\x00", "%", "'; DROP TABLE files; --"):
        with pytest.raises(LoraNotFoundError):
            find(library, name)


def _hash_all(library: Library) -> None:
    from lora_deck.library.sums import verified_hash

    library.scan()
    for (file_id,) in library.store.connection().execute("SELECT id FROM files").fetchall():
        assert verified_hash(library.store, file_id)
