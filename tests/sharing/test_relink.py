"""Whatever stands in a workflow, looking for its LoRAs never fails, and changes nothing that it was not asked to."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lora_deck.library import Library
from lora_deck.library.roots import Roots
from lora_deck.sharing.foreign_hashes import foreign_entries
from lora_deck.sharing.lock import Lock, LockEntry
from lora_deck.sharing.relink import relink
from lora_deck.sharing.workflow_names import Place, renamed
from lora_deck.stack.entry import LoraEntry
from lora_deck.stack.printer import print_tag
from lora_deck.stack.tag import parse_prompt

from ..library.make import write_lora

LOCK = Lock((LockEntry("ink", autov2="0123456789", size=5), LockEntry("mira"))).to_text()
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
    | st.sampled_from(["<lora:ink:0.5>", "<lora:\ud800>", '{"rows": [{"name": 5}, {"name": "ink"}]}', LOCK, LOCK[:40],
                       "mira.safetensors", "Steps: 1, Sampler: x, Size: 1x1, Lora hashes: \"ink: 0123456789ab\""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["rows", "name", "hash", "hashes", "type", "te", "unet", "lock"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
nodes = st.fixed_dictionaries({}, optional={
    "id": values, "type": st.sampled_from(["PromptLoraParser", "LoraStackAdd", "LoraLoader", "Note"]) | values,
    "title": values, "widgets_values": st.lists(values, max_size=3) | values})  # fmt: skip
graphs = st.fixed_dictionaries({}, optional={"nodes": st.lists(nodes | values, max_size=3) | values, "id": values})
workflows = st.fixed_dictionaries({}, optional={
    "nodes": st.lists(nodes | values, max_size=4) | values,
    "extra": values | st.fixed_dictionaries({"lora_deck": values}),
    "definitions": values | st.fixed_dictionaries({"subgraphs": st.lists(graphs | values, max_size=2) | values}),
})  # fmt: skip


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    folder: Path = tmp_path_factory.mktemp("relink")
    for name in ("ink", "mira"):
        write_lora(folder / "loras" / f"{name}.safetensors", fill=name[:1].encode())
    made = Library(folder / "index", lambda: Roots((str(folder / "loras"),)))
    made.scan()
    yield made
    made.stop()


@given(workflow=workflows)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_workflow_makes_it_fail(library: Library, workflow: dict[str, Any]) -> None:
    before = copy.deepcopy(workflow)
    result = relink(workflow, library)
    assert repr(workflow) == repr(before) and result["total"] >= len(result["missing"])
    foreign_entries(workflow)


PLACE = Place("", "1", "PromptLoraParser", "", 0)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda name: bool(name.strip().removeprefix("./").strip())
)
parts = st.lists(st.text(max_size=10) | names.map(lambda n: f"<lora:{n}:0.50>") | st.sampled_from(
    ["<lora:ink:te=0.5:1>", "<lora:lbw=A:ink>", "<LYCO:a\\:b\\>:w=x\\:y>", "<lora:./te=1:2>"]), max_size=5)  # fmt: skip


@given(pieces=parts, new=names)
def test_a_tag_keeps_everything_but_its_name(pieces: list[str], new: str) -> None:
    text = "".join(pieces)
    (wanted,) = parse_prompt(print_tag(LoraEntry(new))).stack
    before = parse_prompt(text)
    after = parse_prompt(renamed(PLACE, text, lambda name, kind: new))
    assert after.text == before.text and len(after.stack) == len(before.stack)
    for old, now in zip(before.stack, after.stack, strict=True):
        assert now.name == wanted.name
        assert (now.te, now.unet, now.dyn, now.lbw, now.extra) == (old.te, old.unet, old.dyn, old.lbw, old.extra)
