"""Both hashes in one pass; the background worker reports, pauses, stops and resumes."""

from __future__ import annotations

import hashlib
import os
import struct
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from lora_deck.library.hasher import Hasher
from lora_deck.library.hashing import CHUNK, Cancelled, hash_file

from .conftest import MakeLibrary
from .make import write_lora


@pytest.mark.parametrize("header", [0, 2, 1000, CHUNK - 8, CHUNK - 7, CHUNK + 5])
@pytest.mark.parametrize("data", [1, CHUNK - 1, CHUNK, 2 * CHUNK + 17])
def test_against_plain_hashlib(tmp_path: Path, header: int, data: int) -> None:
    body = os.urandom(header + data)
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", header) + body)
    read: list[int] = []
    hashes = hash_file(path, read.append)
    assert hashes.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert hashes.data_sha256 == hashlib.sha256(body[header:]).hexdigest()
    assert hashes.autov2 == hashes.sha256[:10] and hashes.autov3 == hashes.data_sha256[:12]
    assert sum(read) == path.stat().st_size


def test_files_without_header_or_data(tmp_path: Path) -> None:
    pickle = tmp_path / "a.pt"
    pickle.write_bytes(b"pickled")
    assert hash_file(pickle).data_sha256 is None and hash_file(pickle).infotext == hash_file(pickle).sha256[:12]
    empty = tmp_path / "b.safetensors"
    for content in (b"", b"\x02", struct.pack("<Q", 2) + b"{}", struct.pack("<Q", 1 << 60) + b"{}"):
        empty.write_bytes(content)
        assert hash_file(empty).data_sha256 is None
        assert hash_file(empty).sha256 == hashlib.sha256(content).hexdigest()


def test_a_pass_can_be_stopped(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"\0" * (3 * CHUNK))
    asked: list[int] = []
    with pytest.raises(Cancelled):
        hash_file(path, stop=lambda: len(asked) >= 2 or bool(asked.append(1)))


def hashed(library: Any) -> int:
    return int(library.store.connection().execute("SELECT count(sha256) FROM files").fetchone()[0])


def test_everything_is_hashed_with_progress(make_library: MakeLibrary, loras: Path) -> None:
    for number in range(20):
        write_lora(loras / f"{number}.safetensors", fill=bytes([number]))
    library = make_library(loras)
    told: list[dict[str, Any]] = []
    library.listen(lambda event, data: told.append(data) if event == "hash" else None)
    hasher = Hasher(library)
    library.scan()
    hasher.after_scan()
    hasher.wait()
    assert hashed(library) == 20
    last = told[-1]
    assert last["done"] == last["total"] == 20 and last["bytes"] == last["total_bytes"] > 0 and not last["running"]
    told.clear()
    hasher.after_scan()
    hasher.wait()
    assert told == []


def test_it_rests_while_a_prompt_runs(make_library: MakeLibrary, loras: Path) -> None:
    write_lora(loras / "a.safetensors")
    library = make_library(loras)
    library.scan()
    busy = threading.Event()
    busy.set()
    hasher = Hasher(library, busy.is_set)
    hasher.start()
    wait_for(lambda: hasher.state["paused"])
    time.sleep(0.3)
    assert hashed(library) == 0 and hasher.state["running"]
    busy.clear()
    hasher.wait()
    assert hashed(library) == 1 and not hasher.state["paused"]


def test_cancel_holds_until_start_also_over_a_restart(make_library: MakeLibrary, loras: Path) -> None:
    for number in range(5):
        write_lora(loras / f"{number}.safetensors", fill=bytes([number]))
    library = make_library(loras)
    library.scan()
    hasher = Hasher(library, lambda: True)
    hasher.after_scan()
    wait_for(lambda: hasher.state["paused"])
    hasher.cancel()
    assert hashed(library) == 0 and not hasher.state["running"] and hasher.state["off"]
    later = Hasher(library)
    later.after_scan()
    later.wait()
    assert hashed(library) == 0
    later.start()
    later.wait()
    assert hashed(library) == 5 and not later.state["off"]


def test_a_file_that_changes_meanwhile_gets_no_hash(make_library: MakeLibrary, loras: Path) -> None:
    from lora_deck.library.sums import verified_hash

    path = write_lora(loras / "a.safetensors")
    library = make_library(loras)
    library.scan()
    assert verified_hash(library.store, 1, lambda read: os.utime(path, ns=(9, 9))) is None
    assert hashed(library) == 0


def wait_for(true: Any) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
