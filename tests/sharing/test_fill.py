"""Which names a prompt asks for, and what is filled into its locks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from lora_deck.library import Fingerprint, Hashes, Identity
from lora_deck.library.known import Known
from lora_deck.sharing.asked import asked_names
from lora_deck.sharing.fill import Filler
from lora_deck.sharing.lock import read_lock
from lora_deck.sharing.missing import wants


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def prompt(text: Any = "a <lora:ink:0.5>", **apply: Any) -> dict[str, Any]:
    return {
        "1": node("CheckpointLoaderSimple", ckpt_name="base.safetensors"),
        "2": node("PromptLoraParser", text=text),
        "3": node("LoraStackApply", stack=["2", 1], model=["1", 0], missing="error", **apply),
    }


GRAPHS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "tags": (prompt("<lora:ink:0.5> b <lyco:mira>"), ["ink", "mira"]),
    "a text from another node": ({**prompt(["9", 0]), "9": node("AnyText", words="<lora:ink>")}, ["ink"]),
    "the base model is none": (prompt("nothing"), []),
    "Add LoRA": (
        {"1": node("LoraStackAdd", lora_name="ink", te_weight=1), "3": node("LoraStackApply", stack=["1", 0])},
        ["ink"],
    ),
    "rows": (
        {"1": node("LoraStackRows", rows=json.dumps({"rows": [{"name": "ink"}, {"name": "mira", "on": False}]})),
         "3": node("LoraStackApply", stack=["1", 0])},
        ["ink", "mira"],
    ),
    "rows as an object": (
        {"1": node("LoraStackRows", rows={"rows": [{"name": "ink"}]}), "3": node("LoraStackApply", stack=["1", 0])},
        ["ink"],
    ),
    "another pack's stacker": (
        {"1": node("Stacker", lora_1="s\\ink.safetensors", lora_2="None", mode="simple"),
         "3": node("LoraStackApply", stack=["1", 0])},
        ["s\\ink.safetensors"],
    ),
    "an Apply in front of the model": (
        {**prompt(), "5": node("LoraStackApply", stack=["6", 0], model=["3", 0]),
         "6": node("LoraStackAdd", lora_name="mira")},
        ["ink"],
    ),
    "a circle": ({"2": node("X", a=["2", 0], b="<lora:ink>"), "3": node("LoraStackApply", stack=["2", 0])}, ["ink"]),
    "nonsense": ({"2": 5, "3": node("LoraStackApply", stack=["2", 0], x=[[1], 0])}, []),
}  # fmt: skip


@pytest.mark.parametrize("which", GRAPHS)
def test_names_that_a_prompt_asks_for(which: str) -> None:
    graph, names = GRAPHS[which]
    assert sorted(asked_names(graph, "3")) == sorted(names)


class Index:
    """Names → files; `hashed` says whether hashes are known."""

    def __init__(self, **sizes: int) -> None:
        self.sizes = sizes
        self.hashed = True
        self.asked: list[str] = []

    def __call__(self, names: Sequence[str]) -> Mapping[str, Known]:
        self.asked += names
        return {name: self.file(name) for name in names if name in self.sizes}

    def file(self, name: str) -> Known:
        size = self.sizes[name]
        hashes = Hashes(f"{size:064x}"[::-1], None) if self.hashed else None
        return Known(Identity(f"{name}.safetensors", size, hashes, "SDXL"), Fingerprint(size, 1))


def test_an_api_prompt_gets_a_lock_and_the_second_one_the_same() -> None:
    index, filler = Index(ink=11), Filler()
    (text,) = filler.fill(prompt(), index).values()
    (entry,) = read_lock(text).entries
    assert (entry.name, entry.path, entry.size, entry.base_model) == ("ink", "ink.safetensors", 11, "SDXL")
    assert filler.fill(prompt(), index) == {"3": text}


def test_the_same_work_keeps_its_lock_until_its_files_change() -> None:
    index, filler = Index(ink=11), Filler()
    index.hashed = False
    before = filler.fill(prompt(), index)["3"]
    index.hashed = True
    assert filler.fill(prompt(), index)["3"] == before
    assert read_lock(filler.fill(prompt("b <lora:ink>"), index)["3"]).entries[0].autov2
    index.sizes["ink"] = 12
    assert read_lock(filler.fill(prompt(), index)["3"]).entries[0].size == 12


def test_a_lock_that_came_along_is_kept() -> None:
    theirs = json.dumps({"lora_deck_lock": 1, "entries": [{"name": "ink", "autov2": "0123456789"}, {"name": "gone"}]})
    index, filler = Index(ink=11, mira=12), Filler()
    assert filler.fill(prompt(lock=theirs), index) == {} and index.asked == []
    text = filler.fill(prompt("<lora:ink><lora:mira>", lock=theirs), index)["3"]
    assert [entry.name for entry in read_lock(text).entries] == ["ink", "gone", "mira"]
    assert read_lock(text).entries[0].autov2 == "0123456789" and index.asked == ["mira"]


@pytest.mark.parametrize("lock", ['{"lora_deck_lock": 9}', "{", 5, ["7", 0]])
def test_a_lock_that_cannot_be_read_is_left_alone(lock: Any) -> None:
    assert Filler().fill(prompt(lock=lock), Index(ink=11)) == {}


def test_nothing_known_is_nothing_filled() -> None:
    assert Filler().fill(prompt(), Index()) == {}
    assert Filler().fill(prompt("no tags"), Index(ink=11)) == {}


def test_a_file_that_the_index_learns_later_leaves_the_same_work_as_it_is() -> None:
    index, filler = Index(), Filler()
    assert filler.fill(prompt(), index) == {}
    index.sizes["ink"] = 11
    assert filler.fill(prompt(), index) == {}
    assert filler.fill(prompt("b <lora:ink>"), index)


def test_what_to_do_about_other_content_travels_in_the_lock() -> None:
    index, filler = Index(ink=11), Filler()
    text = filler.fill(prompt(), index, "error")["3"]
    assert read_lock(text).other_content == "error"
    assert filler.fill(prompt(lock=text), index, "error") == {}
    assert read_lock(filler.fill(prompt(lock=text), index, "warn")["3"]).other_content == "warn"
    assert filler.fill(prompt(lock=text), index) == {}


def test_names_that_a_lock_finds_are_not_refused_before_the_run() -> None:
    lock = json.dumps({"lora_deck_lock": 1, "entries": [{"name": "s/ink", "autov2": "0123456789"}, {"name": "mira"}]})
    wanted = wants(prompt(lock=lock))["2"]
    assert not wanted.refuses("s\\ink") and wanted.refuses("mira") and wanted.refuses("other")
    two = {**prompt(lock=lock), "5": node("LoraStackApply", stack=["2", 1])}
    assert wants(two)["2"].refuses("s/ink")
    assert "cut short" in wants(prompt(lock=lock[:-9]))["2"].problem
    assert not wants(prompt(lock=lock) | {"3": node("LoraStackApply", stack=["2", 1], missing="warn")})["2"].error
