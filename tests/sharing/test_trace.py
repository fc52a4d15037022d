"""A picture is followed back through graphs of many makes; what cannot be told is left out."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from lora_deck.sharing.graph import Graph
from lora_deck.sharing.trace import Pass, Traced, as_values, host_loras, trace


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def graph(**more: Any) -> dict[str, Any]:
    return {
        "ckpt": node("CheckpointLoaderSimple", ckpt_name="sd\\harbour.safetensors"),
        "pos": node("CLIPTextEncode", text="a boat", clip=["ckpt", 1]),
        "neg": node("CLIPTextEncode", text="blurry", clip=["ckpt", 1]),
        "latent": node("EmptyLatentImage", width=640, height=960, batch_size=1),
        "sampler": node("KSampler", model=["ckpt", 0], positive=["pos", 0], negative=["neg", 0],
                        latent_image=["latent", 0], seed=5, steps=20, cfg=6.5, sampler_name="euler",
                        scheduler="normal", denoise=1.0),
        "decode": node("VAEDecode", samples=["sampler", 0], vae=["ckpt", 2]),
        "save": node("SaveImageInfotext", images=["decode", 0]),
        **more,
    }  # fmt: skip


def traced(prompt: dict[str, Any], record: Any = None, index: int = 0) -> Traced:
    return trace(Graph.of(prompt, {"lora_deck": record} if record else None, index), "save")


PLAIN = {
    "prompt": "a boat", "negative": "blurry", "steps": 20, "sampler": "euler", "scheduler": "normal", "cfg": 6.5,
    "seed": 5, "denoise": 1.0, "model_name": "sd\\harbour.safetensors", "size": (640, 960),
}  # fmt: skip


def known(of: Pass) -> dict[str, Any]:
    return {key: value for key, value in as_values(of).items() if key != "loras"}


def test_the_plain_graph() -> None:
    assert known(traced(graph()).first) == PLAIN and traced(graph()).hires is None


def test_past_upscalers_reroutes_and_unknown_nodes() -> None:
    prompt = graph(
        way=node("Reroute", **{"": ["decode", 0]}),
        sharper=node("ImageSharpen", image=["way", 0], sharpen_radius=1),
        other=node("SomePack_ColorMatch", image=["sharper", 0], strength=1),
        save=node("SaveImageInfotext", images=["other", 0]),
    )
    assert known(traced(prompt).first) == PLAIN


def test_constants_are_read_and_what_computes_is_left_out() -> None:
    prompt = graph(number=node("PrimitiveInt", value=77), sum=node("MathExpression", expression="a+1", a=["number", 0]),
                   seeds=node("Seed (rgthree)", seed=9))  # fmt: skip
    prompt["sampler"]["inputs"] |= {"steps": ["number", 0], "cfg": ["sum", 0], "seed": ["seeds", 0]}
    found = traced(prompt).first
    assert (found.steps, found.cfg, found.seed) == (77, None, 9)


def test_a_text_that_is_known_when_it_runs_is_taken_from_the_record() -> None:
    prompt = graph(
        wild=node("Wildcard", text="__animal__", seed=1),
        parser=node("PromptLoraParser", text=["wild", 0], weight_order="a1111", repeats="sum"),
    )
    prompt["pos"]["inputs"]["text"] = ["parser", 0]
    assert traced(prompt).first.prompt is None
    runs = {"0": {"outputs": {"0": "a fox"}}, "1": {"outputs": {"0": "a cat"}}}
    record = {"lora_deck": 1, "nodes": {"parser": runs}}
    assert [traced(prompt, record, i).first.prompt for i in (0, 1, 2)] == ["a fox", "a cat", "a cat"]


def test_joined_texts() -> None:
    prompt = graph(join=node("StringConcatenate", string_a="a", string_b=["one", 0], delimiter=", "),
                   one=node("PrimitiveStringMultiline", value="boat"))  # fmt: skip
    prompt["pos"]["inputs"]["text"] = ["join", 0]
    assert traced(prompt).first.prompt == "a, boat"
    for number in range(100):
        both = [f"join{number - 1}", 0] if number else "xx"
        prompt[f"join{number}"] = node("StringConcatenate", string_a=both, string_b=both, delimiter="")
    prompt["pos"]["inputs"]["text"] = ["join3", 0]
    assert traced(prompt).first.prompt == "x" * 32
    prompt["pos"]["inputs"]["text"] = ["join99", 0]
    assert traced(prompt).first.prompt is None
    prompt["join0"]["inputs"]["string_a"] = ["join99", 0]
    assert traced(prompt).first.prompt is None


def test_tags_never_stay_in_the_prompt() -> None:
    prompt = graph(parser=node("PromptLoraParser", text="a <lora:x:1> fox"))
    prompt["pos"]["inputs"]["text"] = ["parser", 0]
    assert traced(prompt).first.prompt == "a  fox"
    prompt["pos"]["inputs"]["text"] = "unread <lora:y:1>"
    assert traced(prompt).first.prompt == "unread "


def test_custom_sampling_and_flux() -> None:
    prompt = graph(
        unet=node("UNETLoader", unet_name="flux.safetensors", weight_dtype="default"),
        noise=node("RandomNoise", noise_seed=3),
        guide=node("FluxGuidance", conditioning=["pos", 0], guidance=3.5),
        guider=node("BasicGuider", model=["unet", 0], conditioning=["guide", 0]),
        name=node("SamplerDPMPP_2M_SDE", solver_type="heun", noise_device="cpu", eta=1, s_noise=1),
        sigmas=node("SplitSigmas", sigmas=["base", 0], step=4),
        base=node("BasicScheduler", model=["unet", 0], scheduler="simple", steps=8, denoise=1),
        sampler=node("SamplerCustomAdvanced", noise=["noise", 0], guider=["guider", 0], sampler=["name", 0],
                     sigmas=["sigmas", 0], latent_image=["latent", 0]),
    )  # fmt: skip
    assert known(traced(prompt).first) == {
        "prompt": "a boat", "negative": "", "steps": 8, "sampler": "dpmpp_2m_sde_heun", "scheduler": "simple",
        "cfg": 1.0, "seed": 3, "denoise": 1.0, "guidance": 3.5, "model_name": "flux.safetensors", "size": (640, 960),
    }  # fmt: skip


def test_conditioning_through_controlnet_and_concat() -> None:
    prompt = graph(
        more=node("CLIPTextEncode", text="a storm", clip=["ckpt", 1]),
        both=node("ConditioningConcat", conditioning_to=["pos", 0], conditioning_from=["more", 0]),
        control=node("ControlNetApplyAdvanced", positive=["both", 0], negative=["neg", 0], control_net=["net", 0],
                     image=["pic", 0], strength=1),
        net=node("ControlNetLoader", control_net_name="x"), pic=node("LoadImage", image="x.png"),
    )  # fmt: skip
    prompt["sampler"]["inputs"] |= {"positive": ["control", 0], "negative": ["control", 1]}
    found = traced(prompt).first
    assert (found.prompt, found.negative) == ("a boat\nBREAK\na storm", "blurry")
    prompt["both"]["class_type"] = "ConditioningCombine"
    prompt["both"]["inputs"] = {"conditioning_1": ["pos", 0], "conditioning_2": ["more", 0]}
    assert traced(prompt).first.prompt is None


def test_sdxl_texts_that_agree() -> None:
    prompt = graph()
    prompt["pos"] = node("CLIPTextEncodeSDXL", width=1, height=1, text_g="a boat", text_l="a boat", clip=["ckpt", 1])
    assert traced(prompt).first.prompt == "a boat"
    prompt["pos"]["inputs"]["text_l"] = "another"
    assert traced(prompt).first.prompt is None


def test_a_wrapper_of_another_pack() -> None:
    prompt = graph()
    prompt["sampler"]["class_type"] = "KSampler (Efficient)"
    prompt["save"]["inputs"]["images"] = ["sampler", 5]
    assert known(traced(prompt).first) == PLAIN


def test_hires() -> None:
    prompt = graph(
        larger=node("LatentUpscaleBy", samples=["sampler", 0], upscale_method="bislerp", scale_by=2),
        second=node("KSampler", model=["ckpt", 0], positive=["pos", 0], negative=["neg", 0], latent_image=["larger", 0],
                    seed=6, steps=9, cfg=6.5, sampler_name="lcm", scheduler="normal", denoise=0.4),
    )  # fmt: skip
    prompt["decode"]["inputs"]["samples"] = ["second", 0]
    found = traced(prompt)
    assert known(found.first) == PLAIN and found.upscaler == "Latent"
    assert found.hires is not None and (found.hires.steps, found.hires.denoise) == (9, 0.4)
    pixels = prompt | {
        "decode0": node("VAEDecode", samples=["sampler", 0], vae=["ckpt", 2]),
        "loader": node("UpscaleModelLoader", model_name="4x-UltraSharp.pth"),
        "big": node("ImageUpscaleWithModel", upscale_model=["loader", 0], image=["decode0", 0]),
        "larger": node("VAEEncode", pixels=["big", 0], vae=["ckpt", 2]),
    }
    assert traced(pixels).upscaler == "4x-UltraSharp" and traced(pixels).first == found.first


def test_base_and_refiner_are_one_pass() -> None:
    prompt = graph(
        refiner=node("CheckpointLoaderSimple", ckpt_name="refiner.safetensors"),
        second=node("KSamplerAdvanced", model=["refiner", 0], positive=["pos", 0], negative=["neg", 0],
                    latent_image=["sampler", 0], noise_seed=0, steps=20, cfg=6.5, sampler_name="euler",
                    scheduler="normal", add_noise="disable", start_at_step=15, end_at_step=20),
    )  # fmt: skip
    prompt["decode"]["inputs"]["samples"] = ["second", 0]
    assert known(traced(prompt).first) == PLAIN and traced(prompt).hires is None


def test_two_samplers_agree_in_part() -> None:
    prompt = graph(both=node("ImageBatch", image1=["decode", 0], image2=["decode2", 0]))
    prompt["sampler2"] = node("KSampler", **{**prompt["sampler"]["inputs"], "seed": 6})
    prompt["decode2"] = node("VAEDecode", samples=["sampler2", 0], vae=["ckpt", 2])
    prompt["save"]["inputs"]["images"] = ["both", 0]
    assert known(traced(prompt).first) == {key: value for key, value in PLAIN.items() if key != "seed"}


def test_loras_in_order_with_what_they_reach() -> None:
    prompt = graph(
        one=node("LoraLoader", model=["ckpt", 0], clip=["ckpt", 1], lora_name="a\\x.safetensors", strength_model=0.5,
                 strength_clip=0.25),
        two=node("LoraLoaderModelOnly", model=["one", 0], lora_name="y.safetensors", strength_model=1),
        three=node("LoraStackApply", stack=["s", 0], clip=["one", 1]),
    )  # fmt: skip
    prompt["sampler"]["inputs"]["model"] = ["two", 0]
    prompt["pos"]["inputs"]["clip"] = ["three", 0]
    loras = traced(prompt).first.loras
    order = [(x.node_id, x.on_model, x.on_clip) for x in loras if x.node_id in ("one", "two", "three")]
    assert order == [("one", True, True), ("two", True, False), ("three", False, True)]
    found = Graph.of(prompt, None)
    assert [host_loras(found, x) for x in loras if x.node_id in ("one", "two")] == [
        ("a/x.safetensors", 0.25, 0.5), ("y.safetensors", 0.0, 1.0)
    ]  # fmt: skip


def test_a_prompt_that_applies_its_loras_to_the_text_encoder_itself() -> None:
    prompt = graph(apply=node("LoraStackApply", stack=["weights", 0], model=["ckpt", 0]),
                   weights=node("BlockWeight", stack=["pos", 1], blocks="ALL"))  # fmt: skip
    prompt["pos"] = node("LoraTextEncode", clip=["ckpt", 1], text="a boat <lora:x:1>", scope="prompt")
    prompt["sampler"]["inputs"]["model"] = ["apply", 0]
    found = traced(prompt).first
    assert found.prompt == "a boat "
    assert [(x.on_model, x.on_clip) for x in found.loras if x.node_id == "apply"] == [(True, True)]


def test_nothing_to_follow() -> None:
    assert traced({"save": node("SaveImageInfotext", images=["load", 0]), "load": node("LoadImage")}) == Traced()
    assert traced({}) == Traced()


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3)
    | st.tuples(st.sampled_from(["save", "sampler", "pos", "decode", "x"]), st.integers(0, 2)).map(list),
    lambda inner: st.lists(inner, max_size=2), max_leaves=3,
)  # fmt: skip


@given(st.dictionaries(st.tuples(st.sampled_from(sorted(graph())), st.sampled_from(
    ["images", "samples", "model", "clip", "text", "positive", "negative", "latent_image", "steps", "seed", "cfg"])),
    VALUES, max_size=8))  # fmt: skip
def test_any_damage_and_every_loop_ends(changes: dict[tuple[str, str], Any]) -> None:
    prompt: dict[str, Any] = graph()
    for (name, key), value in changes.items():
        prompt[name]["inputs"][key] = value
    traced(prompt)
