"""The prompt handler takes whatever comes in: it never raises, computes no hash and leaves other prompts alone."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lora_deck.api import prompt as handler
from lora_deck.library import Library, hashing
from lora_deck.library.roots import Roots
from lora_deck.library.sums import verified_hash
from lora_deck.sharing.fill import Filler
from lora_deck.sharing.lock import read_lock

from ..library.make import write_lora

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
    | st.sampled_from(["<lora:ink:0.5>", "<lora:\ud800:1>", '{"rows": [{"name": 5}]}', '{"lora_deck_lock": 1}', "ink"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
links = st.tuples(st.sampled_from("123"), st.integers(0, 1)).map(list)
nodes = st.fixed_dictionaries(
    {"class_type": st.sampled_from(["LoraStackApply", "PromptLoraParser", "Other", "LoraStackRows"]) | values},
    optional={"inputs": st.dictionaries(
        st.sampled_from(["stack", "model", "text", "lock", "missing", "rows", "lora_name"]), links | values) | values},
)  # fmt: skip
prompts = st.dictionaries(st.sampled_from("1234"), nodes | values, max_size=4)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    for name in ("ink", "mira"):
        write_lora(tmp_path / "loras" / f"{name}.safetensors", fill=name[:1].encode())
    made = Library(tmp_path / "index", lambda: Roots((str(tmp_path / "loras"),)))
    made.scan()
    monkeypatch.setattr(handler, "current", lambda: made)
    monkeypatch.setattr(handler, "_filler", Filler())
    yield made
    made.stop()


def graph(text: Any = "<lora:ink:0.5>", **apply: Any) -> dict[str, Any]:
    return {
        "1": {"class_type": "PromptLoraParser", "inputs": {"text": text}},
        "2": {"class_type": "LoraStackApply", "inputs": {"stack": ["1", 1], **apply}},
    }


@given(body=st.fixed_dictionaries({}, optional={"prompt": prompts | values, "extra_data": values}))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_nothing_makes_it_raise(library: Library, body: dict[str, Any]) -> None:
    assert handler.on_prompt(body) is body


def test_it_fills_from_the_index_and_reads_no_file(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    (file_id,) = library.store.connection().execute("SELECT id FROM files WHERE name = 'ink.safetensors'").fetchone()
    verified_hash(library.store, file_id)

    def forbidden(*_: object) -> None:
        raise AssertionError("a hash is computed")

    monkeypatch.setattr(hashing, "hash_file", forbidden)
    monkeypatch.setattr("lora_deck.library.sums.hash_file", forbidden)
    body = handler.on_prompt({"prompt": graph("<lora:ink><lora:mira><lora:none>")})
    ink, mira = read_lock(body["prompt"]["2"]["inputs"]["lock"]).entries
    assert ink.autov2 and ink.autov3 and mira.name == "mira" and mira.autov2 is None and mira.size
    assert body["extra_data"] == {"extra_pnginfo": {}}


def test_other_prompts_are_left_alone(library: Library) -> None:
    for body in ({"prompt": {"1": {"class_type": "KSampler", "inputs": {"text": "<lora:ink>"}}}}, {"number": 1}, {}):
        before = copy.deepcopy(body)
        assert handler.on_prompt(body) == before


def test_an_index_that_is_locked_costs_nothing_but_the_lock(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "LATE_SECONDS", 0.01)
    monkeypatch.setattr(handler, "known", lambda *_: __import__("time").sleep(0.2))
    body = handler.on_prompt({"prompt": graph()})
    assert "lock" not in body["prompt"]["2"]["inputs"] and json.dumps(body)
