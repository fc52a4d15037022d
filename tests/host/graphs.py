"""API-format prompts for the host tests, built around the demo's checkpoint."""

from __future__ import annotations

from typing import Any

CHECKPOINT = "lora_deck_demo.safetensors"

Graph = dict[str, dict[str, Any]]
Link = list[Any]

MODEL: Link = ["checkpoint", 0]
CLIP: Link = ["checkpoint", 1]


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def render(
    text: str | Link = "a small boat on a quiet lake",
    *,
    model: Link = MODEL,
    clip: Link = CLIP,
    seed: int = 1,
    size: int = 64,
    steps: int = 2,
    **more: dict[str, Any],
) -> Graph:
    """A prompt that renders one picture from ``text`` (a string or a link); ``more`` adds nodes by id.

    Its nodes: checkpoint, positive, negative, latent, sampler, picture (decoder), image (shows the picture).
    """
    return {
        "checkpoint": node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT),
        "positive": node("CLIPTextEncode", text=text, clip=clip),
        "negative": node("CLIPTextEncode", text="blurry", clip=clip),
        "latent": node("EmptyLatentImage", width=size, height=size, batch_size=1),
        "sampler": node(
            "KSampler", model=model, positive=["positive", 0], negative=["negative", 0], latent_image=["latent", 0],
            seed=seed, steps=steps, cfg=7.0, sampler_name="euler", scheduler="normal", denoise=1.0,
        ),
        "picture": node("VAEDecode", samples=["sampler", 0], vae=["checkpoint", 2]),
        "image": node("PreviewImage", images=["picture", 0]),
        **more,
    }  # fmt: skip


def lora_chain(*loras: tuple[str, float, float], model: Link = MODEL, clip: Link = CLIP) -> tuple[Graph, Link, Link]:
    """The host's own loaders in a row, each ``(file name, model strength, clip strength)``.

    Returns their nodes and the links to the last model and text encoder.
    """
    nodes: Graph = {}
    for number, (name, strength_model, strength_clip) in enumerate(loras):
        key = f"loader{number}"
        nodes[key] = node(
            "LoraLoader", model=model, clip=clip, lora_name=name, strength_model=strength_model,
            strength_clip=strength_clip,
        )  # fmt: skip
        model, clip = [key, 0], [key, 1]
    return nodes, model, clip
