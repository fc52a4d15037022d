"""From a prompt with a tag to an image, on the real host."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from .graphs import Graph, Link, lora_chain, node, render

if TYPE_CHECKING:
    from .conftest import StartHost
    from .harness import HostServer, Result

INK = "styles/ink_wash_v2.safetensors"
MIRA = "characters/mira_lighthouse.safetensors"


def tagged(text: str | Link, *, missing: str = "error", stack: Link | None = None, **options: Any) -> Graph:
    """A prompt in which the tags of `text` act on model and text encoder."""
    parser = {} if stack is None else {"stack": stack}
    return render(
        ["parser", 0],
        model=["apply", 0],
        clip=["apply", 1],
        parser=node("PromptLoraParser", text=text, weight_order="a1111", repeats="sum", **parser),
        apply=node(
            "LoraStackApply",
            stack=["parser", 1],
            sampling_pass="first",
            missing=missing,
            model=["checkpoint", 0],
            clip=["checkpoint", 1],
        ),
        report=node("PreviewAny", source=["apply", 2]),
        **options,
    )


def chained(text: str, *loras: tuple[str, float, float], **options: Any) -> Graph:
    nodes, model, clip = lora_chain(*loras)
    return render(text, model=model, clip=clip, **nodes, **options)


def report_of(result: Result) -> str:
    return str(result.outputs["report"]["text"][0])


@pytest.fixture
def spare_lora(host: HostServer) -> Iterator[str]:
    """A LoRA file of this test's own."""
    path = host.loras / "spare_copy.safetensors"
    shutil.copyfile(host.loras / INK, path)
    yield path.name
    path.unlink(missing_ok=True)


def test_the_tag_gives_what_the_hosts_loaders_give(host: HostServer) -> None:
    plain = host.run(render("a boat "))
    one = host.run(tagged("a boat <lora:ink_wash_v2:0.5:0.75>"))
    assert not np.array_equal(one, plain)
    assert np.array_equal(one, host.run(chained("a boat ", (INK, 0.75, 0.5))))
    two = host.run(tagged("a boat <lora:ink_wash_v2:0.5:0.75><lora:mira_lighthouse:-0.25>"))
    assert not np.array_equal(two, one)
    assert np.array_equal(two, host.run(chained("a boat ", (INK, 0.75, 0.5), (MIRA, -0.25, -0.25))))
    assert np.array_equal(host.run(tagged("a boat ")), plain)


def test_the_patched_tensors_are_those_of_the_hosts_loaders(host: HostServer) -> None:
    ours = tagged("<lora:ink_wash_v2:0.5:0.75><lora:mira_lighthouse:-0.25>")
    theirs = chained("", (INK, 0.75, 0.5), (MIRA, -0.25, -0.25))
    digests = []
    for graph, model, clip in ((ours, ["apply", 0], ["apply", 1]), (theirs, ["loader1", 0], ["loader1", 1])):
        graph = {key: value for key, value in graph.items() if key not in ("image", "report")}
        result = host.queue({**graph, "weights": node("ProbeWeights", model=model, clip=clip)})
        assert result.ok, result.message
        digests.append(json.loads(result.outputs["weights"]["digests"][0]))
    assert digests[0] == digests[1] and len(digests[0]) > 10


def beside(graph: Graph, other: Graph) -> Graph:
    """Both graphs in one prompt, the second one's nodes as `plain_…`, around the same checkpoint."""

    def renamed(value: Any) -> Any:
        return [f"plain_{value[0]}", value[1]] if isinstance(value, list) and value[0] != "checkpoint" else value

    copies = {
        f"plain_{key}": {**spec, "inputs": {name: renamed(value) for name, value in spec["inputs"].items()}}
        for key, spec in other.items()
        if key != "checkpoint"
    }
    return {**graph, **copies}


def test_inputs_of_apply_stay_unpatched(host: HostServer) -> None:
    result = host.queue(beside(tagged("a boat <lora:ink_wash_v2>"), render("a boat ")))
    (with_lora,), (without,) = host.images(result, "image"), host.images(result, "plain_image")
    assert np.array_equal(without, host.run(render("a boat ")))
    assert not np.array_equal(with_lora, without)


def test_other_packs_lists(host: HostServer) -> None:
    rows = json.dumps([[INK.replace("/", "\\"), 0.75, 0.5], ["None", 1, 1]])
    plain = node("ProbePlainStack", rows=rows)
    expected = host.run(chained("a boat ", (INK, 0.75, 0.5), (MIRA, 1, 1)))
    through_parser = tagged("a boat <lora:mira_lighthouse>", stack=["plain", 0], plain=plain)
    assert np.array_equal(host.run(through_parser), expected)

    direct = tagged("a boat ", plain=plain)
    direct["apply"]["inputs"]["stack"] = ["plain", 0]
    assert np.array_equal(host.run(direct), host.run(chained("a boat ", (INK, 0.75, 0.5))))


def test_our_stack_as_a_list(host: HostServer) -> None:
    graph = {
        "plain": node("ProbePlainStack", rows='[["other.safetensors", 1, 0.5]]'),
        "parser": node(
            "PromptLoraParser",
            text="<lora:ink_wash_v2:0.5:0.75:8>",
            weight_order="a1111",
            repeats="sum",
            stack=["plain", 0],
        ),
        "list": node("LoraStackToList", stack=["parser", 1]),
        "show": node("ProbeShowList", lora_stack=["list", 0]),
        "report": node("PreviewAny", source=["list", 1]),
    }
    result = host.queue(graph)
    assert result.ok, result.message
    rows = json.loads(result.outputs["show"]["rows"][0])
    assert rows == [["other.safetensors", 1, 0.5], [INK, 0.75, 0.5]]
    assert "rank limit" in report_of(result) and "other.safetensors" in report_of(result)


def test_our_stack_for_raylight(host: HostServer) -> None:
    text = "<lora:ink_wash_v2:0.5:0.75:8> <lora:mira_lighthouse:0.5> <lora:ink_wash_v2:0.25> <lora:neon_nights:1:0>"
    graph = {
        "parser": node("PromptLoraParser", text=text, weight_order="a1111", repeats="sum"),
        "ray": node("LoraStackToRay", stack=["parser", 1]),
        "show": node("ProbeShowRay", ray_lora=["ray", 0]),
        "report": node("PreviewAny", source=["ray", 1]),
    }
    result = host.queue(graph)
    assert result.ok, result.message
    assert json.loads(result.outputs["show"]["rows"][0]) == [
        {"path": str(host.loras / INK), "strength_model": 1.0},
        {"path": str(host.loras / MIRA), "strength_model": 0.5},
    ]
    report = report_of(result)
    for lost in ("rank limit", "text encoder's weight", "added up", "Text encoders are not changed"):
        assert lost in report
    graph["parser"]["inputs"]["text"] = "<lora:no_such>"
    assert "no_such" in host.queue(graph).message


@pytest.mark.parametrize("spelling", ["ink_wash_v2", "styles\\ink_wash_v2", INK])
def test_lora_stack_add_takes_any_spelling(host: HostServer, spelling: str) -> None:
    graph = tagged("a boat ")
    graph["add"] = node("LoraStackAdd", lora_name=spelling, te_weight=0.5, unet_weight=0.75, stack=["parser", 1])
    graph["apply"]["inputs"]["stack"] = ["add", 0]
    assert np.array_equal(host.run(graph), host.run(chained("a boat ", (INK, 0.75, 0.5))))


def test_the_surface_is_the_documented_one(host: HostServer) -> None:
    surface = {
        "PromptLoraParser": (["text", "weight_order", "repeats"], ["stack"], ["STRING", "LORA_DECK_STACK"]),
        "LoraStackAdd": (["lora_name", "te_weight", "unet_weight"], ["stack"], ["LORA_DECK_STACK"]),
        "LoraStackRows": (["rows"], ["stack"], ["LORA_DECK_STACK"]),
        "LoraStackApply": (["stack", "sampling_pass", "missing"], ["model", "clip"], ["MODEL", "CLIP", "STRING"]),
        "LoraStackToList": (["stack"], [], ["LORA_STACK", "STRING"]),
    }
    for name, (required, optional, outputs) in surface.items():
        info = host.object_info(name)
        assert info["input_order"]["required"][: len(required)] == required
        assert info["input_order"].get("optional", [])[: len(optional)] == optional
        assert info["output"] == outputs
        assert info["category"] == "LoRA Deck" and info["description"] and info["search_aliases"]
        inputs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
        assert all(spec[1].get("tooltip") for spec in inputs.values())
        if "stack" in inputs:
            assert set(inputs["stack"][0].split(",")) == {"LORA_DECK_STACK", "LORA_STACK"}
    assert host.object_info("PromptLoraParser")["input"]["required"]["text"][1]["dynamicPrompts"] is True


def test_cancel_while_weights_are_patched(host: HostServer) -> None:
    """Wherever it comes, the next picture without LoRAs is that of the checkpoint."""
    plain = host.run(render("a boat"))
    wanted = host.run(tagged("a boat <lora:ink_wash_v2:0.61>"))
    start = host.get("/deck_probe/patched")
    assert host.queue(tagged("a boat <lora:ink_wash_v2:0.62>")).ok
    weights = host.get("/deck_probe/patched") - start
    for i, after in enumerate((2, weights - 1), 1):
        at = host.post("/deck_probe/cancel", after)
        result = host.queue(tagged(f"a boat <lora:ink_wash_v2:0.7{i}>"))
        messages = [event for event, _ in result.raw["status"]["messages"]]
        assert not result.ok and "execution_interrupted" in messages and not result.errors
        assert host.get("/deck_probe/patched") == at
        # Spaces change no picture, but what the host has kept of an earlier one is not for these words.
        assert np.array_equal(host.run(render("a boat" + " " * i)), plain)
        assert np.array_equal(host.run(tagged("a boat <lora:ink_wash_v2:0.61>" + " " * i)), wanted)


@pytest.mark.parametrize("arguments", [(), ("--cache-classic",)])
def test_other_words_patch_nothing_again(start_host: StartHost, arguments: tuple[str, ...]) -> None:
    host = start_host(*arguments)

    def count() -> int:
        return int(host.get("/deck_probe/patched"))

    start = count()
    first = host.queue(tagged("a boat <lora:ink_wash_v2:0.5> on a lake <lora:mira_lighthouse:0.3>"))
    assert first.ok and count() > start
    patched = count()
    second = host.queue(tagged("two crows <lora:ink_wash_v2:0.5>, fog <lora:mira_lighthouse:0.3>"))
    assert second.ok and "apply" in second.executed and "sampler" in second.executed
    assert count() == patched
    graph = tagged("<lora:ink_wash_v2:0.5>a third way<lora:mira_lighthouse:0.3>")
    graph["apply2"] = graph.pop("apply")
    for name in ("positive", "negative"):
        graph[name]["inputs"]["clip"] = ["apply2", 1]
    graph["sampler"]["inputs"]["model"] = ["apply2", 0]
    graph["report"]["inputs"]["source"] = ["apply2", 2]
    assert host.queue(graph).ok and count() == patched
    assert host.queue(tagged("two crows <lora:ink_wash_v2:0.6>")).ok and count() > patched


def typed(name: str) -> Graph:
    return tagged(f"a boat <lora:{name}:0.5>")


def linked(name: str) -> Graph:
    words = node("PrimitiveStringMultiline", value=f"a boat <lora:{name}:0.5>")
    return tagged(["words", 0], words=words)


def foreign(name: str) -> Graph:
    rows = json.dumps([[f"{name}.safetensors", 0.5, 0.5]])
    return tagged("a boat ", stack=["plain", 0], plain=node("ProbePlainStack", rows=rows))


@pytest.mark.parametrize("make", [typed, linked, foreign])
def test_a_file_replaced_in_place_is_noticed(host: HostServer, spare_lora: str, make: Any) -> None:
    graph = make(spare_lora.removesuffix(".safetensors"))
    before = host.run(graph)
    unchanged = host.queue(graph)
    assert unchanged.ok and "apply" in unchanged.cached and "sampler" in unchanged.cached
    shutil.copyfile(host.loras / MIRA, host.loras / spare_lora)
    again = host.queue(graph)
    assert again.ok and "apply" in again.executed
    assert not np.array_equal(host.images(again)[0], before)
    assert "apply" in host.queue(graph).cached
    assert np.array_equal(host.images(again)[0], host.run(chained("a boat ", (MIRA, 0.5, 0.5))))


def test_settings_beside_a_file_are_noticed(host: HostServer) -> None:
    folder = host.loras / "adapter"
    folder.mkdir()
    shutil.copyfile(host.loras / INK, folder / "adapter_model.safetensors")
    try:
        graph = typed("adapter")
        assert host.queue(graph).ok and "apply" in host.queue(graph).cached
        (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 16, "lora_alpha": 8}', encoding="utf-8")
        assert "apply" in host.queue(graph).executed
        assert "apply" in host.queue(graph).cached
    finally:
        shutil.rmtree(folder)


def test_a_file_added_while_running_is_found(host: HostServer) -> None:
    graph = tagged("a boat <lora:brand new [v1.0]:0.5>", missing="warn")
    missing = host.queue(graph)
    assert "brand new [v1.0]" in report_of(missing)
    path = host.loras / "added" / "brand new [v1.0].safetensors"
    path.parent.mkdir()
    try:
        shutil.copyfile(host.loras / INK, path)
        found = host.queue(graph)
        assert np.array_equal(host.images(found)[0], host.run(chained("a boat ", (INK, 0.5, 0.5))))
    finally:
        shutil.rmtree(path.parent)


def test_a_missing_lora_is_refused_with_its_neighbours(host: HostServer) -> None:
    refused = host.queue(tagged("a boat <lora:ink_wash_v3:0.5> and <lora:ink_wash_v2>"))
    assert refused.status == "refused"
    assert len(refused.errors) == 1 and refused.errors[0][0] == "parser"
    assert "<lora:ink_wash_v3:0.5> (character 8)" in refused.message and "'ink_wash_v2'" in refused.message

    add = tagged("a boat ")
    add["add"] = node("LoraStackAdd", lora_name="nothing like it", te_weight=1, unet_weight=1)
    add["apply"]["inputs"]["stack"] = ["add", 0]
    refused = host.queue(add)
    assert refused.status == "refused" and [name for name, _ in refused.errors] == ["add"]


def test_missing_warn_leaves_it_out_and_says_so(host: HostServer) -> None:
    result = host.queue(tagged("a boat <lora:ink_wash_v3:0.5><lora:ink_wash_v2:0.5>", missing="warn"))
    assert np.array_equal(host.images(result)[0], host.run(chained("a boat ", (INK, 0.5, 0.5))))
    assert "<lora:ink_wash_v3:0.5>" in report_of(result) and "'ink_wash_v2'" in report_of(result)


def test_linked_text_is_checked_when_it_runs(host: HostServer) -> None:
    failed = host.queue(linked("ink_wash_v3"))
    assert failed.status == "error" and failed.errors[0][0] == "apply"
    assert "<lora:ink_wash_v3:0.5>" in failed.message and "'ink_wash_v2'" in failed.message


def test_a_malformed_number_costs_one_tag(host: HostServer) -> None:
    result = host.queue(tagged("a boat <lora:ink_wash_v2:0.5><lora:mira_lighthouse:0.5.1>"))
    assert np.array_equal(host.images(result)[0], host.run(chained("a boat ", (INK, 0.5, 0.5))))
    assert "<lora:mira_lighthouse:0.5.1> (character 30, skipped)" in report_of(result)


def test_a_file_for_another_model_says_so(host: HostServer) -> None:
    import torch
    from safetensors.torch import save_file

    name = "lora_unet_double_blocks_0_img_attn_qkv"
    path = host.loras / "for_flux.safetensors"
    save_file({f"{name}.lora_up.weight": torch.zeros(9216, 4), f"{name}.lora_down.weight": torch.zeros(4, 3072)}, path)
    failed = host.queue(tagged("<lora:for_flux>"))
    path.unlink()
    assert failed.status == "error" and failed.errors[0][0] == "apply"
    assert "0 of its 1 modules" in failed.message and "Flux" in failed.message and "for_flux" in failed.message


def test_one_info_line_per_apply(host: HostServer) -> None:
    since = len(host.log())
    host.run(tagged("lines <lora:ink_wash_v2:0.4>"))
    lines = [line for line in host.log(since).splitlines() if "ink_wash_v2" in line]
    assert len(lines) == 1 and "applied" in lines[0]


def test_a_run_counts_as_a_use(host: HostServer) -> None:
    host.run(tagged("counted <lora:Paper Cut Layers:0.2>"))
    used = {card["name"] for card in host.get("/lora-deck/loras?used=true")["items"]}
    assert "styles/Paper Cut Layers.safetensors" in used
    host.run(tagged("counted <lora:mira_lighthouse:0.2>"))
    latest = host.get("/lora-deck/loras?sort=recently_used&descending=true&used=true")["items"]
    assert MIRA in {card["name"] for card in latest}


@pytest.mark.parametrize("name", [5, None, {"a": 1}, {"__value__": ["x"]}])
def test_a_name_that_is_no_text_is_refused_in_words(host: HostServer, name: Any) -> None:
    graph = tagged("a boat ")
    graph["add"] = node("LoraStackAdd", lora_name=name, te_weight=1, unet_weight=1)
    graph["apply"]["inputs"]["stack"] = ["add", 0]
    failed = host.queue(graph)
    assert failed.status in ("refused", "error")
    assert "lora_name is a text" in failed.message or "expected the name of a LoRA" in failed.message
    assert "attribute" not in failed.message


def test_a_weight_that_is_no_number_is_refused(host: HostServer) -> None:
    graph = tagged("a boat ")
    graph["add"] = node("LoraStackAdd", lora_name=INK, te_weight="nan", unet_weight=1)
    graph["apply"]["inputs"]["stack"] = ["add", 0]
    failed = host.queue(graph)
    assert failed.status in ("refused", "error") and "expected a number" in failed.message


def test_a_name_that_comes_to_mean_another_file_is_noticed(host: HostServer) -> None:
    deep, top = host.loras / "deeper" / "wanderer.safetensors", host.loras / "wanderer.safetensors"
    deep.parent.mkdir()
    shutil.copyfile(host.loras / INK, deep)
    graph = typed("wanderer")
    try:
        assert host.queue(graph).ok and "apply" in host.queue(graph).cached
        shutil.copyfile(host.loras / MIRA, top)
        again = host.queue(graph)
        assert "apply" in again.executed and "wanderer.safetensors (te" in report_of(again)
        assert "deeper" not in report_of(again)
    finally:
        top.unlink(missing_ok=True)
        shutil.rmtree(deep.parent)
