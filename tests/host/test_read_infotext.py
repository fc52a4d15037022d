"""Infotext read on the real host: files by hash, values that samplers take, and the same image again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from lora_deck.sharing.picture import read_picture

from ..sharing import texts
from .graphs import CHECKPOINT, Graph, node, render
from .test_prompt_to_image import INK, MIRA
from .test_save_infotext import addnet, files, read, saved, saver

if TYPE_CHECKING:
    from .harness import HostServer, Result


def reread(text: str = "", image: str = "", **changes: Any) -> Graph:
    """A graph in which everything comes out of an infotext."""
    graph = render(
        ["read", 0], model=["apply", 0], clip=["apply", 1],
        read=node("ReadInfotext", text=text, image=image),
        apply=node("LoraStackApply", stack=["read", 2], sampling_pass="first", missing="error",
                   model=["checkpoint", 0], clip=["checkpoint", 1]),
        report=node("PreviewAny", source=["apply", 2]),
    )  # fmt: skip
    graph["negative"]["inputs"]["text"] = ["read", 1]
    graph["sampler"]["inputs"] |= {
        "steps": ["read", 3], "sampler_name": ["read", 4], "scheduler": ["read", 5], "cfg": ["read", 6],
        "seed": ["read", 7],
    }  # fmt: skip
    graph["latent"]["inputs"] |= {"width": ["read", 8], "height": ["read", 9]}
    graph["checkpoint"]["inputs"]["ckpt_name"] = ["read", 10]
    graph["sampler"]["inputs"] |= changes
    return graph


def report(result: Result) -> str:
    assert result.ok, result.message
    return str(result.outputs["report"]["text"][0])


@pytest.fixture
def renamed(host: HostServer) -> Iterator[str]:
    """A LoRA that is called differently here, while its old name belongs to another file."""
    content = (host.loras / INK).read_bytes()
    here, old = host.loras / "renamed_here.safetensors", host.loras / "old_name.safetensors"
    here.write_bytes(content[:-4] + b"\1\2\3\4")
    shutil.copyfile(host.loras / MIRA, old)
    yield addnet(here)
    here.unlink()
    old.unlink()


@pytest.mark.parametrize("prompt", [
    "a boat, (mist:1.2) <lora:ink_wash_v2:0.5:0.75> <lora:mira_lighthouse:0.25>calm\nsecond line",
    "a boat <lora:ink_wash_v2:0.5:dyn=2:lbw=IN01=0.5,M00=0.25><lora:mira_lighthouse:-0.25:hr=1>",
    "a boat <lora:ink_wash_v2:0.5:lbwe=M00:attn:0.5> <lora:ink_wash_v2:0.1>",
])  # fmt: skip
def test_written_read_same_stack_same_image(host: HostServer, prompt: str) -> None:
    first = host.queue(saved(prompt, seed=41, steps=2))
    (image,) = host.images(first, "image")
    text = read(host, first).text
    again = host.queue(reread(text))
    assert np.array_equal(host.images(again, "image")[0], image)
    graph = reread(text)
    graph["image"] = saver()
    assert read(host, host.queue(graph)).text == text


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_a_picture_of_the_input_folder(host: HostServer, kind: str) -> None:
    first = host.queue(saved(seed=42, save_format=kind))
    (content,) = files(host, first)
    name = f"again.{kind}"
    (host.base / "input" / name).write_bytes(content)
    second = host.queue(reread("", name))
    assert "ink_wash_v2.safetensors (te 0.5, unet 0.75)" in report(second)
    if kind == "png":
        assert np.array_equal(host.images(first, "image")[0], host.images(second, "image")[0])


def test_the_hash_decides_and_every_form_of_tag_counts(host: HostServer, renamed: str) -> None:
    host.get("/lora-deck/resolve?name=renamed_here")
    assert host.queue(saved("x <lora:renamed_here>")).ok  # its hash is known from here on
    for tag in ("<lora:old_name>", "<lyco:old_name:0.5>", "<lora:old_name:0.5:0.5>"):
        text = f"a boat {tag}\nSteps: 1, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 64x64, Model: lora_deck_demo, "
        found = report(host.queue(reread(text + f'Lora hashes: "old_name: {renamed}"')))
        assert found.startswith("renamed_here.safetensors") and "old_name" not in found
        own = addnet(host.loras / "old_name.safetensors")
        for digits in (own, own[:8], own.upper()):
            found = report(host.queue(reread(text + f'Lora hashes: "old_name: {digits}"')))
            assert found.startswith("old_name.safetensors")
        found = report(host.queue(reread(text + 'Lora hashes: "old_name: 0123456789ab"')))
        assert found.startswith("old_name.safetensors")


def test_what_the_text_does_not_say_stops_what_needs_it(host: HostServer) -> None:
    text = "a boat\nSteps: 2, Sampler: Restart, Seed: 1, Size: 64x64, Model: lora_deck_demo"
    result = host.queue(reread(text))
    assert not result.ok and "'Restart'" in result.message
    assert "cfg: the text does not say" in result.message
    assert host.queue(reread(text, sampler_name="euler", cfg=7.0)).ok


def test_a_model_is_found_by_its_hash(host: HostServer) -> None:
    text = read(host, host.queue(saved(seed=43))).text
    assert CHECKPOINT.partition(".")[0] in text
    other = text.replace("Model: lora_deck_demo", "Model: another_name")
    assert host.queue(reread(other)).ok
    result = host.queue(reread(other.replace("Model hash: ", "Model hash: 00")))
    assert not result.ok and "'another_name'" in result.message


def test_pictures_without_infotext_say_why(host: HostServer) -> None:
    (host.base / "input" / "fooocus.png").write_bytes(texts.png(parameters='{"fooocus_scheme": "fooocus"}'))
    result = host.queue(reread("", "fooocus.png"))
    assert not result.ok and "Fooocus" in result.message
    result = host.queue(reread("", "no_such.png"))
    assert result.status == "refused" and "no picture" in result.message


def test_each_item_of_a_list_of_texts(host: HostServer) -> None:
    line = "\nSteps: 1, Sampler: Euler, CFG scale: 7, Seed: {n}, Size: 64x64, Model: lora_deck_demo"
    lines = [f"boat {n} <lora:ink_wash_v2:0.{n}>{line.format(n=n)}" for n in (2, 3)]
    graph = reread(["texts", 0])  # type: ignore[arg-type]
    graph["texts"] = node("ProbeTexts", texts=json.dumps(lines))
    graph["image"] = saver()
    found = [read_picture(content).infotext for content in files(host, host.queue(graph))]
    assert [(x.prompt, x.fields["Seed"]) for x in found] == [
        (f"boat {n} <lora:ink_wash_v2:0.{n}>", str(n)) for n in (2, 3)
    ]  # fmt: skip
