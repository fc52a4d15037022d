"""Workflows that arrive from elsewhere, and locks that are filled before one leaves."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from lora_deck.library.hashing import hash_file
from lora_deck.sharing.lock import Lock, LockEntry, read_lock

from ..library.make import write_lora

if TYPE_CHECKING:
    from .conftest import Served


def entry(name: str, path: Path, **more: Any) -> LockEntry:
    hashes = hash_file(path)
    values = {"autov2": hashes.autov2, "autov3": hashes.autov3, "size": path.stat().st_size, "base_model": "SD1"}
    return LockEntry(name, f"{name}.safetensors", **{**values, **more})


@pytest.fixture
def here(served: Served) -> Served:
    """`styles/ink` lies here as `Pinsel/tusche`, never hashed; `same` is another file than elsewhere."""
    for name, seed in (("Pinsel/tusche", 1), ("same", 2), ("korn", 3)):
        path = served.loras / f"{name}.safetensors"
        path.parent.mkdir(exist_ok=True)
        write_lora(path, fill=bytes([seed]))
    served.deck.library.scan()
    return served


def node(number: int, kind: str, *values: Any, **more: Any) -> dict[str, Any]:
    return {"id": number, "type": kind, "title": f"{kind} {number}", "widgets_values": list(values), **more}


def workflow(here: Served, *nodes: dict[str, Any], lock: Lock | None = None) -> dict[str, Any]:
    lock = lock or Lock((entry("styles/ink", here.loras / "Pinsel/tusche.safetensors"),))
    return {"nodes": [*nodes, node(9, "LoraStackApply", "first", "error", lock.to_text())], "links": []}


def relink(here: Served, given: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = here.post("/lora-deck/relink", {"workflow": given, **more})
    assert answer.status == 200, answer.body
    result: dict[str, Any] = answer.json
    return result


def applied(given: dict[str, Any], changes: list[dict[str, Any]]) -> dict[str, Any]:
    new = copy.deepcopy(given)
    for change in changes:
        graphs = {"": new, **{g["id"]: g for g in new.get("definitions", {}).get("subgraphs", [])}}
        found = next(n for n in graphs[change["graph"]]["nodes"] if str(n["id"]) == change["node"])
        found["widgets_values"][change["index"]] = change["value"]
    return new


def test_every_form_of_a_name_is_rewritten_and_nothing_else(here: Served) -> None:
    rows = {"lora_deck": 1, "on": True, "rows": [{"on": True, "name": "styles/ink", "te": 0.5, "more": 1}]}
    inner = {"id": "sub", "nodes": [node(3, "PromptLoraParser", "<lora:styles\\\\ink:te=0.50:1.0>")]}
    given = workflow(
        here,
        node(1, "PromptLoraParser", "a <lora:styles/ink:0.50:lbw=MIDD:x=1>, (b:1.2) <lyco:styles\\ink>", "comfy"),
        node(2, "LoraStackAdd", "styles\\ink.safetensors", 1, 1),
        node(4, "LoraStackRows", rows),
        node(5, "LoraStackRows", json.dumps(rows)),
        node(6, "LoraLoader", "styles/ink.safetensors", 1, 1),
        node(7, "KSampler", 5, "fixed", 20),
    )
    lock = read_lock(given["nodes"][-1]["widgets_values"][2])
    names = ("styles/ink", "styles/ink.safetensors")
    given["nodes"][-1]["widgets_values"][2] = Lock(
        tuple(LockEntry(name, lock.entries[0].path, lock.entries[0].autov2, lock.entries[0].autov3,
                        lock.entries[0].size) for name in names)).to_text()  # fmt: skip
    given["definitions"] = {"subgraphs": [inner]}
    result = relink(here, given)
    new = applied(given, result["changes"])
    assert new["nodes"][0]["widgets_values"][0] == "a <lora:tusche:0.50:lbw=MIDD:x=1>, (b:1.2) <lyco:tusche>"
    assert new["nodes"][1]["widgets_values"][0] == new["nodes"][4]["widgets_values"][0] == "Pinsel/tusche.safetensors"
    assert new["nodes"][2]["widgets_values"][0]["rows"] == [{"on": True, "name": "tusche", "te": 0.5, "more": 1}]
    assert json.loads(new["nodes"][3]["widgets_values"][0]) == new["nodes"][2]["widgets_values"][0]
    assert new["definitions"]["subgraphs"][0]["nodes"][0]["widgets_values"] == ["<lora:tusche:te=0.50:1.0>"]
    assert {e.name for e in read_lock(new["nodes"][-1]["widgets_values"][2]).entries} == {
        "tusche", "Pinsel/tusche.safetensors"}  # fmt: skip
    assert {lora["file"] for lora in result["found"]} == {"Pinsel/tusche.safetensors"} and not result["missing"]
    assert relink(here, new)["changes"] == []


def test_missing_and_differing_ones_are_told_with_all_that_is_known(here: Served, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    write_lora(other, fill=b"\x09")
    lock = Lock((entry("gone", other, size=None), entry("same", other)))
    text = "<lora:gone:0.5:0.75:lbw=MIDD><lora:same:0.3><lora:kor:1>"
    result = relink(here, workflow(here, node(1, "PromptLoraParser", text), lock=lock))
    gone, unknown = result["missing"]
    assert (gone["name"], gone["autov2"], gone["base_model"]) == ("gone", hash_file(other).autov2, "SD1")
    assert gone["weights"] == "te 0.5 · unet 0.75 · blocks MIDD"
    assert gone["used_by"] == [
        {"graph": "", "node": "1", "type": "PromptLoraParser", "title": "PromptLoraParser 1", "kind": "tag"},
    ]
    assert unknown["name"] == "kor" and unknown["closest"] == "korn" and unknown["autov2"] is None
    (differing,) = result["differing"]
    assert differing["own"]["name"] == "same.safetensors" and result["changes"] == []


def test_a_choice_takes_the_place_of_the_locks_entry(here: Served, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    write_lora(other, fill=b"\x09")
    given = workflow(here, node(1, "PromptLoraParser", "<lora:gone:0.5>"), lock=Lock((entry("gone", other),)))
    result = relink(here, given, choices={"gone": here.id_of("korn")})
    new = applied(given, result["changes"])
    assert new["nodes"][0]["widgets_values"] == ["<lora:korn:0.5>"] and not result["missing"]
    (chosen,) = read_lock(new["nodes"][1]["widgets_values"][2]).entries
    assert (chosen.name, chosen.autov2) == ("korn", hash_file(here.loras / "korn.safetensors").autov2)
    same = workflow(here, node(1, "PromptLoraParser", "<lora:same>"), lock=Lock((entry("same", other),)))
    result = relink(here, same, choices={"same": here.id_of("same")})
    new = applied(same, result["changes"])
    assert relink(here, new)["differing"] == [] and new["nodes"][0]["widgets_values"] == ["<lora:same>"]


def test_a_workflow_without_a_lock_is_left_alone(here: Served) -> None:
    given = {"nodes": [node(1, "PromptLoraParser", "<lora:styles/ink>"), {"id": 2}, 5], "links": []}
    nothing: dict[str, Any] = {key: [] for key in ("changes", "problems", "found", "missing", "differing")}
    assert relink(here, given) == {"locked": False, "total": 0, **nothing}


FOREIGN: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "LoRA Manager's objects": lambda v2, v3: node(
        2, "Lora Stacker (LoraManager)", [{"name": "ink", "strength": 1, "hash": v2}]),
    "its recipe": lambda v2, v3: node(2, "Recipe", {"loras": [{"file_name": "ink", "hash": v2, "strength": 0.7}]}),
    "Civitai's resources": lambda v2, v3: node(
        2, "Save", json.dumps({"resources": [{"type": "lora", "name": "ink", "hash": v2[:10], "weight": 0.7}]})),
    "hashes by kind": lambda v2, v3: node(2, "X", {"name": "ink.safetensors", "hashes": {"AutoV3": v3}}),
    "an infotext": lambda v2, v3: node(
        2, "Note", f'a boat <lora:ink:1>\nSteps: 20, Sampler: Euler, Lora hashes: "ink: {v3}", Version: 1'),
    "Hashes in JSON": lambda v2, v3: node(
        2, "Note", f'a boat\nSteps: 20, Sampler: Euler, Hashes: {{"lora:ink": "{v2[:10]}"}}, Version: 1'),
}  # fmt: skip


@pytest.mark.parametrize("form", FOREIGN)
def test_hashes_of_other_programs(here: Served, form: str) -> None:
    hashes = hash_file(here.loras / "Pinsel/tusche.safetensors")
    here.deck.hasher.start()
    here.deck.hasher.wait()
    given = {"nodes": [node(1, "PromptLoraParser", "<lora:styles/ink:0.5>"),
                       FOREIGN[form](hashes.sha256, hashes.autov3 or "")]}  # fmt: skip
    new = applied(given, relink(here, given)["changes"])
    assert new["nodes"][0]["widgets_values"] == ["<lora:tusche:0.5>"]


def test_what_other_programs_miss_in_their_own_nodes_is_theirs_to_ask_about(here: Served) -> None:
    models = {"models": [{"name": "gone.safetensors", "hash": "0" * 63 + "1", "directory": "loras"}]}
    loader = node(1, "LoraLoader", "gone.safetensors", 1, 1, properties=models)
    result = relink(here, {"nodes": [loader]})
    assert result["locked"] and result["missing"] == [] and result["changes"] == []
    ours = node(2, "LoraStackAdd", "gone.safetensors", 1, 1)
    for nodes in ([loader, ours], [ours, loader]):
        assert [lora["name"] for lora in relink(here, {"nodes": nodes})["missing"]] == ["gone.safetensors"]


@pytest.mark.parametrize("bad", ['{"lora_deck_lock": 2}', '{"lora_deck_lock": 1, "entries": [{"na'])
def test_a_bad_lock_is_told_and_stays(here: Served, bad: str) -> None:
    given = workflow(here, node(1, "PromptLoraParser", "<lora:korn>"))
    given["nodes"][-1]["widgets_values"][2] = bad
    result = relink(here, given)
    assert result["problems"] and result["changes"] == []


def prompt(text: str, **apply: Any) -> dict[str, Any]:
    return {
        "1": {"class_type": "PromptLoraParser", "inputs": {"text": text}},
        "2": {"class_type": "LoraStackApply", "inputs": {"stack": ["1", 1], **apply}},
    }


def test_locks_are_filled_with_hashes_computed_for_it(here: Served) -> None:
    body = {"prompt": prompt("<lora:korn><lora:nowhere>"), "names": ["same.safetensors"], "other_content": "error"}
    unhashed = here.post("/lora-deck/locks", {**body, "hash": False}).json
    assert read_lock(unhashed["locks"]["2"]).entries[0].autov2 is None
    answer = here.post("/lora-deck/locks", body).json
    lock = read_lock(answer["locks"]["2"])
    assert [e.name for e in lock.entries] == ["korn"] and lock.other_content == "error"
    assert lock.entries[0].autov3 == hash_file(here.loras / "korn.safetensors").autov3
    assert read_lock(answer["lock"]).entries[0].name == "same.safetensors"
    assert any(event == "lock" for event, _ in here.events)


def test_entries_that_came_along_are_kept_while_filling(here: Served) -> None:
    theirs = Lock((LockEntry("korn", autov2="0123456789"),)).to_text()
    answer = here.post("/lora-deck/locks", {"prompt": prompt("<lora:korn>", lock=theirs)}).json
    assert read_lock(answer["locks"]["2"]) == read_lock(theirs)
    answer = here.post("/lora-deck/locks", {"prompt": prompt("<lora:korn>", lock='{"lora_deck_lock": 7}')}).json
    assert answer["locks"] == {} and "Update LoRA Deck" in answer["problems"]["2"]


def test_entries_without_hashes_get_them_later(here: Served) -> None:
    size = (here.loras / "korn.safetensors").stat().st_size
    theirs = Lock((LockEntry("korn", size=size), LockEntry("same", size=size + 1)))
    answer = here.post("/lora-deck/locks", {"prompt": prompt("<lora:korn><lora:same>", lock=theirs.to_text())}).json
    korn, same = read_lock(answer["locks"]["2"]).entries
    assert korn.autov3 == hash_file(here.loras / "korn.safetensors").autov3 and same == theirs.entries[1]


def test_entries_go_when_their_names_are_asked_for_no_more(here: Served) -> None:
    theirs = Lock((LockEntry("gone", autov2="0123456789"), LockEntry("korn", autov2="0123456789"))).to_text()
    answer = here.post("/lora-deck/locks", {"prompt": prompt("<lora:korn>", lock=theirs)}).json
    assert [e.name for e in read_lock(answer["locks"]["2"]).entries] == ["korn"]
    linked = prompt("", lock=theirs)
    linked["1"]["inputs"]["text"] = ["3", 0]
    linked["3"] = {"class_type": "Wildcard", "inputs": {}}
    answer = here.post("/lora-deck/locks", {"prompt": linked}).json
    assert read_lock(answer["locks"]["2"]) == read_lock(theirs)
