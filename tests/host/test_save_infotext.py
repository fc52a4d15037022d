"""Pictures saved with infotext: A1111's readers read them, and what they say is what was applied."""

from __future__ import annotations

import hashlib
import io
import json
import urllib.parse
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from lora_deck.sharing.infotext_loras import named_loras
from lora_deck.sharing.picture import PictureText, read_picture
from PIL import Image
from sd_parsers import ParserManager

from .graphs import CHECKPOINT, Graph, Link, lora_chain, node, render
from .test_prompt_to_image import INK, MIRA, tagged

if TYPE_CHECKING:
    from .harness import HostServer, Result

PROMPT = "a boat, (mist:1.2) <lora:ink_wash_v2:0.5:0.75> calm <lora:mira_lighthouse:0.25>"


def saver(images: Link | None = None, **inputs: Any) -> dict[str, Any]:
    values = {"filename_prefix": "infotext", "format": "png", "quality": 90, "lora_hashes": True, **inputs}
    return node("SaveImageInfotext", images=images or ["picture", 0], **values)


def saved(text: str | Link = PROMPT, **options: Any) -> Graph:
    inputs = {key: options.pop(key) for key in list(options) if key.startswith("save_")}
    graph = tagged(text, **options)
    graph["image"] = saver(**{key.removeprefix("save_"): value for key, value in inputs.items()})
    return graph


def files(host: HostServer, result: Result) -> list[bytes]:
    assert result.ok, result.message
    items = result.outputs["image"]["images"]
    return [host.request("GET", "/view?" + urllib.parse.urlencode(item)).body for item in items]


def read(host: HostServer, result: Result) -> PictureText:
    (content,) = files(host, result)
    return read_picture(content)


def addnet(path: Any) -> str:
    content = path.read_bytes()
    return hashlib.sha256(content[8 + int.from_bytes(content[:8], "little") :]).hexdigest()[:12]


def test_the_text_is_what_a1111_would_write(host: HostServer) -> None:
    found = read(host, host.queue(saved(seed=5, steps=3)))
    ink, mira = addnet(host.loras / INK), addnet(host.loras / MIRA)
    model = hashlib.sha256((host.models / "checkpoints" / CHECKPOINT).read_bytes()).hexdigest()[:10]
    version = host.get("/system_stats")["system"]["comfyui_version"]
    assert found.text == (
        "a boat, (mist:1.2)  calm <lora:ink_wash_v2:0.5:0.75><lora:mira_lighthouse:0.25>\n"
        "Negative prompt: blurry\n"
        "Steps: 3, Sampler: Euler, Schedule type: Normal, CFG scale: 7, Seed: 5, Size: 64x64, "
        f"Model hash: {model}, Model: lora_deck_demo, RNG: CPU, "
        f'Lora hashes: "ink_wash_v2: {ink}, mira_lighthouse: {mira}", Version: ComfyUI {version}'
    )


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_an_independent_reader_and_the_hosts_workflow(host: HostServer, kind: str) -> None:
    workflow = {"nodes": [], "links": [], "version": 0.4}
    text = PROMPT.replace("boat", "Boot, 舟, łódź 😀")
    graph = saved(text, seed=6, save_format=kind)
    (content,) = files(host, host.queue(graph, extra_data={"extra_pnginfo": {"workflow": workflow}}))
    image = Image.open(io.BytesIO(content))
    assert image.format == kind.upper() and image.size == (64, 64)

    info = ParserManager().parse(io.BytesIO(content))
    assert info is not None
    (sampler,) = info.samplers
    assert (sampler.name, sampler.parameters["steps"], sampler.parameters["seed"]) == ("Euler", "2", "6")
    assert "舟" in info.full_prompt and "<lora:ink_wash_v2:0.5:0.75>" in info.full_prompt
    assert info.full_negative_prompt == "blurry"

    found = read_picture(content)
    assert found.workflow
    if kind == "png":
        assert json.loads(image.text["workflow"]) == workflow  # type: ignore[attr-defined]
        assert set(json.loads(image.text["prompt"])) == set(graph)  # type: ignore[attr-defined]
        assert found.record is not None
    else:
        exif = image.getexif()
        assert json.loads(exif[0x0110].removeprefix("prompt:")).keys() == graph.keys()
        assert json.loads(exif[0x010F].removeprefix("workflow:")) == workflow
        assert exif.get_ifd(0x8769)[0x9286].startswith(b"UNICODE\0")


def test_what_was_applied_counts_not_what_stands_in_the_prompt(host: HostServer) -> None:
    graph = saved("a boat <lora:ink_wash_v2:0.5:0.75> <lora:no_such:1>", missing="warn")
    graph["parser"]["inputs"]["weight_order"] = "comfy"
    found = read(host, host.queue(graph))
    assert "<lora:ink_wash_v2:0.75:0.5>" in found.infotext.prompt and "no_such" not in found.text


def test_block_weights_become_numbers_that_a1111_survives(host: HostServer) -> None:
    found = read(host, host.queue(saved("a boat <lora:ink_wash_v2:0.5:dyn=4:lbw=IN01-OUT00=0.8,M00=0.25>")))
    (lora,) = named_loras(found.infotext)
    vector = [float(number) for number in (lora.entry.lbw or "").split(",")]
    assert vector == [1, 0, 0.8, 0.25, 0.8, 0]
    tag = found.infotext.prompt.partition("<lora:")[2].partition(">")[0]
    for argument in tag.split(":")[1:]:
        assert argument.count("=") <= 1
        assert "=" in argument or float(argument) == 0.5
    assert lora.entry.dyn == 4


def test_a_cached_graph_with_another_saver(host: HostServer) -> None:
    first = read(host, host.queue(saved(seed=11)))
    again = host.queue(saved(seed=11, save_filename_prefix="elsewhere/again"))
    assert "apply" in again.cached and read(host, again).text == first.text


def test_a_list_of_prompts_has_a_text_each(host: HostServer) -> None:
    texts = [f"a boat {n} <lora:ink_wash_v2:{n}>" for n in (0.5, 0.25)]
    result = host.queue(saved(["texts", 0], texts=node("ProbeTexts", texts=json.dumps(texts))))
    prompts = [read_picture(content).infotext.prompt for content in files(host, result)]
    assert prompts == ["a boat 0.5 <lora:ink_wash_v2:0.5>", "a boat 0.25 <lora:ink_wash_v2:0.25>"]


def test_a_batch_says_which_of_it_a_picture_is(host: HostServer) -> None:
    graph = saved(seed=8)
    graph["latent"]["inputs"]["batch_size"] = 2
    found = [read_picture(content).infotext for content in files(host, host.queue(graph))]
    assert [(x.fields["Batch size"], x.fields["Batch pos"]) for x in found] == [("2", "0"), ("2", "1")]


def test_the_hosts_own_loaders_are_named_too(host: HostServer) -> None:
    nodes, model, clip = lora_chain((INK, 0.75, 0.5), (MIRA, -0.25, -0.25))
    graph = render("a boat", model=model, clip=clip, **nodes)
    graph["image"] = saver()
    found = read(host, host.queue(graph))
    assert found.infotext.prompt == "a boat<lora:ink_wash_v2:0.5:0.75><lora:mira_lighthouse:-0.25>"
    assert [lora.hash for lora in named_loras(found.infotext)] == [addnet(host.loras / n) for n in (INK, MIRA)]


def test_linked_values_count_before_the_graphs(host: HostServer) -> None:
    words = node("PrimitiveString", value="my own <lora:x:1>")
    graph = saved(seed=9, words=words, number=node("PrimitiveInt", value=77))
    graph["image"] = saver(prompt=["words", 0], seed=["number", 0], steps=["number", 0], lora_hashes=False)
    found = read(host, host.queue(graph)).infotext
    assert found.prompt.startswith("my own <lora:ink_wash_v2") and "<lora:x" not in found.prompt
    assert (found.fields["Seed"], found.fields["Steps"]) == ("77", "77") and "Lora hashes" not in found.fields


def test_names_folders_counters_and_dates(host: HostServer) -> None:
    prefix = "by/%date:yyyy%/%KSampler.seed%_%width%_%year%"
    results = [host.queue(saved(seed=s, save_filename_prefix=prefix, save_format="webp")) for s in (21, 21)]
    year = host.queue(saved(seed=21, save_filename_prefix="%year%")).outputs["image"]["images"][0]["filename"][:4]
    names = [r.outputs["image"]["images"][0] for r in results if r.outputs]
    assert names[0]["subfolder"] == f"by/{year}"
    assert names[0]["filename"] == f"21_64_{year}_00001_.webp"


def test_a_hires_pass_is_written_as_a1111_has_it(host: HostServer) -> None:
    graph = saved("a boat <lora:ink_wash_v2:0.5:hr=0.25>", seed=4, steps=3)
    stack = graph["apply"]["inputs"]["stack"]
    graph["larger"] = node("LatentUpscaleBy", samples=["sampler", 0], upscale_method="nearest-exact", scale_by=1.5)
    graph["apply2"] = node(
        "LoraStackApply", stack=stack, sampling_pass="hires", missing="error", model=["checkpoint", 0],
        clip=["checkpoint", 1],
    )  # fmt: skip
    graph["second"] = node(
        "KSampler", model=["apply2", 0], positive=["positive", 0], negative=["negative", 0],
        latent_image=["larger", 0], seed=4, steps=2, cfg=7.0, sampler_name="euler", scheduler="normal", denoise=0.5,
    )  # fmt: skip
    graph["positive2"] = node("CLIPTextEncode", text=["parser", 0], clip=["apply2", 1])
    graph["second"]["inputs"]["positive"] = ["positive2", 0]
    graph["picture"]["inputs"]["samples"] = ["second", 0]
    found = read(host, host.queue(graph)).infotext
    assert found.prompt == "a boat <lora:ink_wash_v2:0.5>"
    assert found.fields["Hires prompt"] == "a boat <lora:ink_wash_v2:0.25>"
    assert (found.fields["Steps"], found.fields["Hires steps"], found.fields["Denoising strength"]) == ("3", "2", "0.5")
    assert (found.fields["Size"], found.fields["Hires resize"]) == ("64x64", "96x96")
    assert found.fields["Hires upscaler"] == "Latent (nearest-exact)"


def test_custom_sampling(host: HostServer) -> None:
    graph = saved(seed=1)
    del graph["sampler"]
    graph |= {
        "noise": node("RandomNoise", noise_seed=31),
        "guider": node("CFGGuider", model=["apply", 0], positive=["positive", 0], negative=["negative", 0], cfg=4.5),
        "name": node("KSamplerSelect", sampler_name="dpmpp_2m"),
        "sigmas": node("BasicScheduler", model=["apply", 0], scheduler="karras", steps=3, denoise=1.0),
        "sampler": node("SamplerCustomAdvanced", noise=["noise", 0], guider=["guider", 0], sampler=["name", 0],
                        sigmas=["sigmas", 0], latent_image=["latent", 0]),
    }  # fmt: skip
    found = read(host, host.queue(graph)).infotext
    fields = [found.fields[name] for name in ("Steps", "Sampler", "Schedule type", "CFG scale", "Seed")]
    assert fields == ["3", "DPM++ 2M", "Karras", "4.5", "31"] and "<lora:ink_wash_v2:0.5:0.75>" in found.prompt


def test_the_pixels_are_those_of_the_hosts_saver(host: HostServer) -> None:
    graph = saved(seed=3)
    graph["theirs"] = node("SaveImage", images=["picture", 0], filename_prefix="theirs")
    result = host.queue(graph)
    (ours,), (theirs,) = host.images(result, "image"), host.images(result, "theirs")
    assert np.array_equal(ours, theirs)
