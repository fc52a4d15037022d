"""The index follows the disk, loses nothing, and can be shared and killed."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from lora_deck.library import Library, scan
from lora_deck.library.entries import indexed
from lora_deck.library.personal import record_use, set_favourite
from lora_deck.library.pictures import save_preview
from lora_deck.library.roots import Roots
from lora_deck.library.search import Query, Search
from lora_deck.library.sums import verified_hash

from .conftest import MakeLibrary
from .make import write_lora

CHILD = """
import importlib.util, sys
from pathlib import Path
root = Path(sys.argv[1])
spec = importlib.util.spec_from_file_location("lora_deck", root / "__init__.py", submodule_search_locations=[str(root)])
package = importlib.util.module_from_spec(spec)
sys.modules["lora_deck"] = package
spec.loader.exec_module(package)
from lora_deck.library import Library
from lora_deck.library.pictures import save_preview
from lora_deck.library.roots import Roots
library = Library(Path(sys.argv[2]), lambda: Roots((sys.argv[3],)))
print("ready", flush=True)
library.scan()
print("done", flush=True)
"""

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def child(index: Path, loras: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(Path(__file__).parents[2]), str(index), str(loras)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def cards(library: Library, **query: Any) -> dict[str, dict[str, Any]]:
    return {c["name"]: c for c in Search(library).page(Query(**query), 0, 500)}


def test_a_second_scan_opens_no_file(make_library: MakeLibrary, loras: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        write_lora(loras / f"{number % 3}" / f"{number}.safetensors")
    library = make_library(loras)
    library.scan()
    read: list[str] = []
    real = scan.read_card
    monkeypatch.setattr(scan, "read_card", lambda f, e, b: (read.append(e.name), real(f, e, b))[1])
    library.scan()
    assert read == []
    write_lora(loras / "0" / "3.safetensors", {"now": "other"})
    library.scan()
    assert read == ["3.safetensors"]
    (loras / "1" / "4.json").write_text("{}")
    library.scan()
    assert read == ["3.safetensors", "4.safetensors"]


def test_only_the_header_is_read(make_library: MakeLibrary, loras: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lora_deck.library import header

    path = write_lora(loras / "big.safetensors", {"a": "b"})
    with path.open("r+b") as file:
        file.truncate(50_000_000)
    read: list[int] = []
    real = os.read
    monkeypatch.setattr(header.os, "read", lambda fd, n: (lambda b: (read.append(len(b)), b)[1])(real(fd, n)))
    make_library(loras).scan()
    assert 0 < sum(read) <= 65_536


def test_a_file_replaced_in_place_loses_its_old_facts(make_library: MakeLibrary, loras: Path) -> None:
    path = write_lora(loras / "ink.safetensors", {"ss_output_name": "before"})
    library = make_library(loras)
    library.scan()
    first = cards(library)["ink.safetensors"]
    old = verified_hash(library.store, first["id"])
    with path.open("r+b") as file:  # same name, same size, other bytes
        file.seek(-1, os.SEEK_END)
        file.write(b"\x63")
    os.utime(path, ns=(5, 5))
    library.scan()
    again = cards(library)["ink.safetensors"]
    assert again["id"] == first["id"] and again["autov2"] is None
    new = verified_hash(library.store, first["id"])
    assert old and new and old.sha256 != new.sha256


@pytest.mark.parametrize("midway", [False, True], ids=["between scans", "during a scan"])
def test_what_an_edit_wrote_and_somebody_deleted_at_once_is_gone(
    make_library: MakeLibrary, loras: Path, midway: bool
) -> None:
    """The folder then is as the last scan found it, but the index is not."""
    write_lora(loras / "ink.safetensors")
    library = make_library(loras)
    library.scan()
    (card,) = cards(library).values()
    if midway:
        write_lora(loras / "other.safetensors")
        library.list()
    picture = save_preview(library.store, indexed(library.store, card["id"]), PNG)
    assert cards(library)["ink.safetensors"]["preview_version"]
    if midway:
        library.read()
    picture.unlink()
    library.scan()
    assert not cards(library)["ink.safetensors"]["preview_version"]


def test_a_folder_that_goes_and_comes_back_loses_nothing(make_library: MakeLibrary, tmp_path: Path) -> None:
    drive, here = tmp_path / "drive", tmp_path / "here"
    write_lora(drive / "sub" / "ink.safetensors", {"ss_output_name": "Tusche"})
    write_lora(here / "grain.safetensors")
    library = make_library(drive, here)
    library.scan()
    before = cards(library)["sub/ink.safetensors"]
    verified_hash(library.store, before["id"])
    set_favourite(library.store, [before["id"]], True)
    record_use(library.store, [before["id"]])
    drive.rename(tmp_path / "unplugged")
    library.scan()
    away = cards(library)["sub/ink.safetensors"]
    assert away["state"] == "away" and away["aliases"] == ["Tusche"] and away["favourite"] and away["autov2"]
    assert cards(library, missing=True).keys() == {"sub/ink.safetensors"}
    assert cards(library)["grain.safetensors"]["state"] == "present"
    assert str(drive) in library.scan_state["unreachable"]
    library.scan()
    (tmp_path / "unplugged").rename(drive)
    library.scan()
    back = cards(library)["sub/ink.safetensors"]
    assert back["state"] == "present" and back["id"] == before["id"] and back["autov2"] and back["uses"] == 1


def test_an_empty_mount_point_is_a_drive_away(make_library: MakeLibrary, loras: Path) -> None:
    write_lora(loras / "ink.safetensors")
    library = make_library(loras)
    library.scan()
    # Unmounted, the folder is there, empty, and on another device than its drive was.
    library.store.connection().execute("UPDATE folders SET device = device + 1")
    (loras / "ink.safetensors").unlink()
    library.scan()
    assert cards(library)["ink.safetensors"]["state"] == "away"


def test_a_linked_folder_whose_target_goes_is_away(make_library: MakeLibrary, loras: Path, tmp_path: Path) -> None:
    write_lora(tmp_path / "nas" / "ink.safetensors")
    (loras / "nas").symlink_to(tmp_path / "nas")
    library = make_library(loras)
    library.scan()
    (tmp_path / "nas").rename(tmp_path / "gone")
    library.scan()
    assert cards(library)["nas/ink.safetensors"]["state"] == "away"


@pytest.mark.parametrize("other", [False, True], ids=["the same", "another"])
def test_a_file_that_comes_back_is_told_as_added(make_library: MakeLibrary, loras: Path, other: bool) -> None:
    path = write_lora(loras / "ink.safetensors")
    kept = loras.parent / "kept"
    library = make_library(loras)
    library.scan()
    path.rename(kept)
    library.scan()
    kept.rename(path)
    if other:
        os.utime(path, ns=(5, 5))
    told: list[dict[str, Any]] = []
    library.listen(lambda event, data: told.append(data) if event == "changed" else None)
    library.scan()
    assert {change["added"] for change in told} == {1}
    assert list(cards(library)) == ["ink.safetensors"]


def test_a_removed_file_keeps_what_was_known(make_library: MakeLibrary, loras: Path) -> None:
    path = write_lora(loras / "sub" / "ink.safetensors")
    write_lora(loras / "other.safetensors")
    library = make_library(loras)
    library.scan()
    first = cards(library)["sub/ink.safetensors"]
    shutil.rmtree(loras / "sub")
    library.scan()
    assert cards(library).keys() == {"other.safetensors"}
    assert cards(library, missing=True)["sub/ink.safetensors"]["state"] == "missing"
    write_lora(path)
    library.scan()
    assert cards(library)["sub/ink.safetensors"]["id"] == first["id"]


def test_folders_that_the_host_lists_later_or_no_more(tmp_path: Path) -> None:
    write_lora(tmp_path / "one" / "a.safetensors")
    write_lora(tmp_path / "two" / "b.safetensors")
    listed = [str(tmp_path / "one")]
    library = Library(tmp_path / "index", lambda: Roots(tuple(listed)))
    library.freshen()
    listed.append(str(tmp_path / "two"))
    library.freshen(force=True)
    library.read()
    assert cards(library).keys() == {"a.safetensors", "b.safetensors"}
    listed.pop(0)
    library.scan()
    assert cards(library).keys() == {"b.safetensors"}
    library.stop()


def test_the_watching_thread_finds_changes_and_never_runs_on_the_callers(tmp_path: Path, loras: Path) -> None:
    write_lora(loras / "ink.safetensors")
    roots = Roots((str(loras),))
    library = Library(tmp_path / "index", lambda: roots)
    threads: set[int] = set()
    told: list[dict[str, Any]] = []

    def listen(_event: str, data: dict[str, Any]) -> None:
        threads.add(threading.get_ident())
        told.append(data)

    library.listen(listen)
    library.start()
    try:
        wait_for(lambda: cards(library))
        write_lora(loras / "new" / "grain.safetensors")
        wait_for(lambda: "new/grain.safetensors" in cards(library))
        (loras / "ink.safetensors").unlink()
        wait_for(lambda: "ink.safetensors" not in cards(library))
    finally:
        library.stop()
    assert threads and threading.get_ident() not in threads
    assert any(data.get("added") for data in told) and any(data.get("removed") for data in told)


def test_two_processes_fill_one_index(tmp_path: Path, loras: Path) -> None:
    for number in range(300):
        write_lora(loras / f"{number % 20}" / f"n{number}.safetensors", {"ss_output_name": f"alias {number}"})
    children = [child(tmp_path / "index", loras) for _ in range(3)]
    for process in children:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0 and out == "ready\ndone\n", err
    roots = Roots((str(loras),))
    library = Library(tmp_path / "index", lambda: roots)
    library.scan()
    assert len(Search(library).ids(Query())) == 300
    for table in ("cards", "search", "aliases"):
        assert library.store.connection().execute(f"SELECT count(*) FROM {table}").fetchone() == (300,)
    assert library.store.connection().execute("SELECT sum(pending) FROM files").fetchone() == (0,)
    library.stop()


def test_a_scan_killed_anywhere_is_finished_by_the_next(tmp_path: Path, loras: Path) -> None:
    for number in range(400):
        write_lora(loras / f"{number % 40}" / f"n{number}.safetensors", {"ss_output_name": f"alias {number}"})
    for pause in (0.0, 0.01, 0.02, 0.04, 0.06, 0.08, 0.12):
        process = child(tmp_path / "index", loras)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    roots = Roots((str(loras),))
    library = Library(tmp_path / "index", lambda: roots)
    library.scan()
    found = cards(library)
    assert len(found) == 400 and all(c["aliases"] and not c["reading"] for c in found.values())
    assert library.store.connection().execute("PRAGMA integrity_check").fetchone() == ("ok",)
    library.stop()


def test_a_damaged_index_is_set_aside_and_rebuilt(tmp_path: Path, loras: Path, make_library: MakeLibrary) -> None:
    write_lora(loras / "ink.safetensors")
    library = make_library(loras)
    library.scan()
    (ink,) = cards(library).values()
    set_favourite(library.store, [ink["id"]], True)
    library.stop()
    (tmp_path / "index" / "index.sqlite3").write_bytes(b"not a database" * 1000)
    rebuilt = make_library(loras)
    rebuilt.scan()
    assert cards(rebuilt)["ink.safetensors"]["favourite"]
    assert list((tmp_path / "index").glob("*.damaged-*"))


def test_an_index_of_another_version_is_rebuilt(tmp_path: Path, loras: Path, make_library: MakeLibrary) -> None:
    write_lora(loras / "ink.safetensors")
    library = make_library(loras)
    library.scan()
    library.store.connection().execute("PRAGMA main.user_version = 999")
    library.stop()
    rebuilt = make_library(loras)
    rebuilt.scan()
    assert cards(rebuilt).keys() == {"ink.safetensors"}


def test_the_library_loads_without_host_and_torch() -> None:
    code = CHILD.split("from lora_deck.library import Library")[0] + (
        "import lora_deck.library.search, lora_deck.library.edits, lora_deck.library.hasher\n"
        "heavy = {'torch', 'PIL', 'aiohttp', 'comfy', 'server', 'folder_paths', 'numpy', 'safetensors'}\n"
        "bad = heavy & set(sys.modules)\n"
        "sys.exit(repr(bad) if bad else 0)")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code, str(Path(__file__).parents[2])], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def wait_for(true: Any) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)
