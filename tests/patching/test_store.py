"""Factors come in the background; whoever needs them first waits. On a CPU the same code fills the memory."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lora_deck.stack.errors import LoraFileError

from .test_upload import alike, check, write


class Filling:
    """Lets the test say how far filling goes: it waits for `go`, and ends with `error`."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.calls = 0
        self.error: Exception | None = None


@pytest.fixture
def filling(comfy: Any, monkeypatch: pytest.MonkeyPatch) -> Filling:
    from lora_deck.patching import store

    real = store.filled
    held = Filling()

    def slowly(*args: Any) -> Iterator[list[int]]:
        held.calls += 1
        assert held.go.wait(20)
        if held.error is not None:
            raise held.error
        yield from real(*args)

    monkeypatch.setattr(store, "filled", slowly)
    return held


@pytest.fixture
def begun(filling: Filling, tmp_path: Path) -> tuple[Any, Any, list[Any]]:
    """(store, what it keeps on the CPU, factors on their way)."""
    import torch
    from lora_deck.patching.store import FactorStore, _Kept

    made = FactorStore()
    cpu = torch.device("cpu")
    kept = made._devices[cpu] = _Kept(cpu)
    factors = alike(write(tmp_path, "a", 1, 3), write(tmp_path, "b", 2, 3))
    with torch.inference_mode():
        made._begin(kept, factors, cpu)
    return made, kept, factors


def found_later(made: Any, one: Any) -> tuple[threading.Thread, list[Any]]:
    import torch

    results: list[Any] = []

    def find() -> None:
        try:
            results.append(made.find(one, torch.device("cpu")))
        except LoraFileError as error:
            results.append(error)

    thread = threading.Thread(target=find)
    thread.start()
    return thread, results


def test_who_needs_them_waits(begun: tuple[Any, Any, list[Any]], filling: Filling) -> None:
    import torch

    made, kept, factors = begun
    thread, results = found_later(made, factors[3])
    thread.join(0.2)
    assert thread.is_alive() and kept.model_size() == sum(one.size for one in factors)
    filling.go.set()
    thread.join(20)
    check(factors[3:4], results)
    check(factors, [made.find(one, torch.device("cpu")) for one in factors])


def test_they_come_before_anybody_needs_them(begun: tuple[Any, Any, list[Any]], filling: Filling) -> None:
    made, kept, _ = begun
    filling.go.set()
    assert not filling.calls
    for _ in range(2):
        with made.started():
            pass
    (upload,) = kept.uploads
    with upload._changed:
        assert upload._changed.wait_for(lambda: upload.has_ended, 20)
    assert filling.calls == 1 and all(slot.ready for slot in kept.entries.values())


def test_what_was_not_started_is_let_go_unread(begun: tuple[Any, Any, list[Any]], filling: Filling) -> None:
    """Another stack needs the room, or the run that made it was cancelled."""
    import torch

    made, kept, factors = begun
    with pytest.raises(KeyboardInterrupt), made.started():
        raise KeyboardInterrupt
    assert not filling.calls and not kept.entries and not kept.uploads
    assert made.find(factors[0], torch.device("cpu")) is None
    gone = weakref.ref(factors[0])
    factors.clear()
    gc.collect()
    assert gone() is None


def test_a_file_that_became_shorter_is_said_to_whoever_needs_it(
    begun: tuple[Any, Any, list[Any]], filling: Filling
) -> None:
    made, _, factors = begun
    filling.error = LoraFileError("a.safetensors", "has become shorter.")
    filling.go.set()
    for one in factors[:2]:
        thread, results = found_later(made, one)
        thread.join(20)
        assert [type(result) for result in results] == [LoraFileError]


def test_another_error_is_raised_where_they_are_needed(begun: tuple[Any, Any, list[Any]], filling: Filling) -> None:
    """And nowhere else: the host unloads models in the middle of other work."""
    import torch

    made, kept, factors = begun
    filling.error = RuntimeError("broken")
    filling.go.set()
    for one in factors[:2]:
        with pytest.raises(RuntimeError, match="broken"):
            made.find(one, torch.device("cpu"))
    assert kept.partially_unload(torch.device("cpu"), 1) == factors[0].size
    made.clear()
    assert not kept.entries


def test_without_room_nothing_is_there_and_it_is_tried_again(
    begun: tuple[Any, Any, list[Any]], filling: Filling
) -> None:
    import weakref

    import torch
    from lora_deck.patching.store import _has

    made, kept, factors = begun
    filling.error = torch.cuda.OutOfMemoryError("no room")
    filling.go.set()
    assert made.find(factors[0], torch.device("cpu")) is None
    assert not _has(kept, weakref.ref(factors[0])) and not kept.model_size()
    filling.error = None
    made._begin(kept, factors, torch.device("cpu"))
    check(factors, [made.find(one, torch.device("cpu")) for one in factors])


def test_memory_that_is_written_to_is_not_let_go(begun: tuple[Any, Any, list[Any]], filling: Filling) -> None:
    import torch

    made, kept, factors = begun
    with made.started():
        pass
    size = kept.model_size()
    freed: list[int] = []
    thread = threading.Thread(target=lambda: freed.append(kept.partially_unload(torch.device("cpu"), 1)))
    thread.start()
    thread.join(0.2)
    assert thread.is_alive() and kept.model_size() == size
    filling.go.set()
    thread.join(20)
    assert freed == [factors[0].size] and kept.model_size() == size - factors[0].size
    assert made.find(factors[0], torch.device("cpu")) is None
    check(factors[1:], [made.find(one, torch.device("cpu")) for one in factors[1:]])


def test_factors_that_no_patch_has_any_more_are_let_go(begun: tuple[Any, Any, list[Any]], filling: Filling) -> None:
    import torch

    made, kept, factors = begun
    filling.go.set()
    made.find(factors[0], torch.device("cpu"))
    kept.settle()
    left = factors[0].size
    del factors[1:]
    gc.collect()
    assert kept.model_size() == left


@pytest.mark.parametrize(
    "kinds", [("float8_e4m3fn", "float16"), ("float8_e5m2", "float8_e4m3fn"), ("float8_e4m3fn", "float32")]
)
def test_types_of_one_byte_beside_others(comfy: Any, kinds: tuple[str, str]) -> None:
    import torch
    from lora_deck.patching.factors import SharedFactors
    from lora_deck.patching.lying import AsTensors
    from lora_deck.patching.upload import empty, filled
    from lora_deck.strategies.lora_sum import joined

    pairs = [(torch.randn(4, 2).to(getattr(torch, k)), torch.randn(2, 3).to(getattr(torch, k))) for k in kinds]
    factors = SharedFactors(tuple(AsTensors(*pair) for pair in pairs))
    cpu = torch.device("cpu")
    u, d = empty(factors, cpu)
    assert list(filled([factors], [(u, d)], cpu)) == [[0]]
    assert torch.equal(u.float(), torch.cat([up.float() for up, _ in pairs], 1))
    assert torch.equal(joined(factors.tensors[0], 1, cpu).float(), u.float())
    assert torch.equal(joined(factors.tensors[1], 0, cpu).float(), d.float())


def test_patches_of_a_cpu_hold_no_tensors(comfy: Any, tmp_path: Path) -> None:
    from types import SimpleNamespace

    import torch
    from lora_deck.patching.store import FactorStore

    factors = alike(write(tmp_path, "a", 1, 3))
    assert FactorStore().keep(factors, SimpleNamespace(load_device=torch.device("cpu"))) == frozenset(factors)
    assert FactorStore().keep(factors, SimpleNamespace(load_device=torch.device("mps"))) == frozenset()
