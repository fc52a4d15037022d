"""From a saved picture back through its graph: prompt, sampler, seed, model, and the LoRAs on the way.

Pure over an API-format prompt and its record. What cannot be traced is left out, never guessed: where several samplers
lead to one picture, only what they agree in counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ..stack.tag import parse_prompt
from .graph import Graph, Link

_PICTURE_INPUTS = frozenset({
    "images", "image", "samples", "latent", "latent_image", "pixels", "latents", "image1", "image2", "image_a",
    "image_b", "samples1", "samples2", "samples_to", "samples_from", "destination", "source", "optional_latent",
    "input", "base_image", "image_pass",
})  # fmt: skip
"""Inputs by which pictures and latents come in, in the host's nodes and other packs'."""
_SIGMAS = {
    "KarrasScheduler": "karras", "ExponentialScheduler": "exponential", "PolyexponentialScheduler": "Polyexponential",
    "BetaSamplingScheduler": "beta", "SDTurboScheduler": "Turbo", "AlignYourStepsScheduler": "Align Your Steps",
    "LaplaceScheduler": "Laplace", "VPScheduler": "VP",
}  # fmt: skip
_SAMPLER_NODES = {
    "SamplerEulerAncestral": "euler_ancestral", "SamplerEulerAncestralCFGPP": "euler_ancestral_cfg_pp",
    "SamplerLMS": "lms", "SamplerDPMPP_2S_Ancestral": "dpmpp_2s_ancestral", "SamplerDPMAdaptative": "dpm_adaptive",
    "SamplerDPMPP_3M_SDE": "dpmpp_3m_sde", "SamplerDPMPP_2M_SDE": "dpmpp_2m_sde", "SamplerDPMPP_SDE": "dpmpp_sde",
    "SamplerER_SDE": "er_sde", "SamplerSASolver": "sa_solver", "SamplerSEEDS2": "seeds_2",
}  # fmt: skip
_MODEL_NAMES = ("ckpt_name", "unet_name", "model_name")
_HOST_LOADERS = {"LoraLoader": True, "LoraLoaderModelOnly": False, "LoraLoaderBypass": True,
                 "LoraLoaderBypassModelOnly": False}  # fmt: skip
"""The host's loaders → whether they change the text encoder."""
_TEXTS = ("text", "prompt", "text_g", "text_l", "clip_l", "clip_g", "t5xxl", "user_prompt", "llama", "bert", "mt5xl")
_APART = ("ConditioningConcat",)


@dataclass(frozen=True, slots=True)
class LoraNode:
    """A node on the way that applies LoRAs."""

    node_id: str
    on_model: bool
    on_clip: bool


@dataclass(frozen=True, slots=True)
class Pass:
    """One sampler and what leads to it; `None` for what cannot be told."""

    prompt: str | None = None
    negative: str | None = None
    steps: int | None = None
    sampler: str | None = None
    """The host's name, as `scheduler`."""
    scheduler: str | None = None
    cfg: float | None = None
    seed: int | None = None
    denoise: float | None = None
    guidance: float | None = None
    """Distilled guidance, as Flux takes it."""
    model_name: str | None = None
    """As the host's combo has it."""
    size: tuple[int, int] | None = None
    """(width, height) of the empty latent that it began with."""
    loras: tuple[LoraNode, ...] = ()
    """In the order in which they apply."""


@dataclass(frozen=True, slots=True)
class Traced:
    """What leads to a picture."""

    first: Pass = field(default_factory=Pass)
    hires: Pass | None = None
    """The pass after an upscale, where there is exactly one."""
    upscaler: str | None = None
    """What enlarged the picture before the hires pass."""


def trace(graph: Graph, node_id: str, name: str = "images") -> Traced:
    """Follows a picture from the input `name` of a node to the samplers that made it."""
    chains = list(_chains(graph, node_id, name))
    if not chains:
        return Traced()
    firsts = {chain[0][0] for chain in chains}
    passes = {sampler: _pass(graph, sampler) for sampler in firsts}
    first = _agreed([passes[sampler] for sampler in sorted(firsts)])
    if len(chains) > 1 or len(chains[0]) < 2:
        return Traced(first)
    (_, _), (second, way) = chains[0][0], chains[0][1]
    enlarged = [
        step for step in way if "upscale" in graph.kind(step).lower() or graph.kind(step).startswith("ImageScale")
    ]
    if len(chains[0]) > 2 or not (enlarged or "upscale" in graph.kind(second).lower()):
        return Traced(first)
    return Traced(first, _pass(graph, second), _upscaler(graph, enlarged[0] if enlarged else second))


Chain = tuple[tuple[str, tuple[str, ...]], ...]
"""(sampler, nodes between it and the one before it), the first sampler first."""


def _chains(graph: Graph, node_id: str, name: str) -> Iterator[Chain]:
    """Every way from a picture back to a sampler that begins with none."""
    start = graph.link(node_id, name)
    waiting: list[tuple[str, tuple[str, ...], Chain]] = [(start[0], (), ())] if start else []
    steps = 0
    found: set[Chain] = set()
    while waiting and steps < 5_000:
        steps += 1
        at, way, after = waiting.pop()
        if at in way or any(at == sampler for sampler, _ in after):
            continue
        chain, passed = after, (*way, at)
        if is_sampler(graph, at):
            # The way lies behind this sampler: it leads to the one after it.
            chain = ((at, ()), *((after[0][0], way), *after[1:])) if after else ((at, ()),)
            passed = ()
        before = [link for key, link in graph.links(at) if key in _PICTURE_INPUTS]
        further = [link for link in before if _leads_to_sampler(graph, link)]
        if is_sampler(graph, at) and not further:
            found.add(chain)
        waiting.extend((link[0], passed, chain) for link in further)
    return iter(sorted(found))


def _leads_to_sampler(graph: Graph, link: Link) -> bool:
    waiting, seen = [link[0]], {link[0]}
    while waiting:
        at = waiting.pop()
        if is_sampler(graph, at):
            return True
        for key, further in graph.links(at):
            if key in _PICTURE_INPUTS and further[0] not in seen:
                seen.add(further[0])
                waiting.append(further[0])
    return False


def is_sampler(graph: Graph, node_id: str) -> bool:
    """Whether a node samples: the host's, custom ones, and wrappers that take the same inputs."""
    names = graph.inputs(node_id).keys()
    if "guider" in names and "sigmas" in names:
        return True
    conditioned = "positive" in names and ("model" in names or "pipe" in names or "basic_pipe" in names)
    return conditioned and bool({"steps", "sigmas"} & names) and bool({"seed", "noise_seed", "noise"} & names)


def _pass(graph: Graph, node_id: str) -> Pass:
    seed = _whole(graph.value(node_id, "seed" if "seed" in graph.inputs(node_id) else "noise_seed"))
    steps = _whole(graph.value(node_id, "steps"))
    scheduler = _text(graph.value(node_id, "scheduler"))
    sampler = _text(graph.value(node_id, "sampler_name"))
    denoise = _number(graph.value(node_id, "denoise"))
    cfg = _number(graph.value(node_id, "cfg"))
    holder = node_id
    noise, guider = graph.link(node_id, "noise"), graph.link(node_id, "guider")
    if noise is not None:
        seed = _whole(graph.value(noise[0], "noise_seed"))
    if guider is not None:
        holder = guider[0]
        cfg = _number(graph.value(holder, "cfg"))
        if graph.kind(holder) == "BasicGuider":
            cfg = 1.0
    chosen = graph.link(node_id, "sampler")
    if chosen is not None:
        sampler = _sampler_of(graph, chosen[0])
    sigmas = graph.link(node_id, "sigmas")
    if sigmas is not None:
        scheduler, steps, denoise = _sigmas_of(graph, sigmas[0])
    positive = next((n for n in ("positive", "conditioning", "cond1") if n in graph.inputs(holder)), "positive")
    prompt, clip_nodes, guidance = _conditioning(graph, graph.link(holder, positive))
    negative, _, _ = _conditioning(graph, graph.link(holder, "negative"))
    model_name, model_nodes = _model(graph, holder)
    if graph.kind(holder) == "BasicGuider":
        negative = ""
    return Pass(
        None if prompt is None else parse_prompt(prompt).text, negative, steps, sampler, scheduler, cfg, seed, denoise,
        guidance, model_name, _size(graph, node_id), _lora_nodes(graph, model_nodes, clip_nodes, prompt is None),
    )  # fmt: skip


def _agreed(passes: list[Pass]) -> Pass:
    """What all say, with what only some say left out."""
    first = passes[0]
    for other in passes[1:]:
        apart: dict[str, Any] = {
            f.name: () if f.name == "loras" else None
            for f in fields(Pass)
            if getattr(first, f.name) != getattr(other, f.name)
        }
        first = replace(first, **apart)
    return first


def _sampler_of(graph: Graph, node_id: str) -> str | None:
    kind = graph.kind(node_id)
    if kind not in _SAMPLER_NODES:
        return _text(graph.value(node_id, "sampler_name"))
    name = _SAMPLER_NODES[kind]
    if graph.inputs(node_id).get("solver_type") == "heun" and kind == "SamplerDPMPP_2M_SDE":
        name += "_heun"
    return name + "_gpu" if graph.inputs(node_id).get("noise_device") == "gpu" else name


def _sigmas_of(graph: Graph, node_id: str) -> tuple[str | None, int | None, float | None]:
    """(scheduler, steps, denoise), past nodes that change sigmas."""
    seen: set[str] = set()
    while node_id not in seen:
        seen.add(node_id)
        before = graph.link(node_id, "sigmas")
        if before is None:
            break
        node_id = before[0]
    scheduler = _SIGMAS.get(graph.kind(node_id)) or _text(graph.value(node_id, "scheduler"))
    return scheduler, _whole(graph.value(node_id, "steps")), _number(graph.value(node_id, "denoise"))


def _conditioning(graph: Graph, link: Link | None) -> tuple[str | None, list[str], float | None]:
    """(text, nodes on the way and on their text encoders' way that may apply LoRAs, guidance)"""
    texts: list[str | None] = []
    loras: list[str] = []
    guidance: float | None = None
    apart = False
    waiting = [link] if link else []
    seen: set[str] = set()
    while waiting:
        at, slot = waiting.pop(0)
        if at in seen:
            continue
        seen.add(at)
        loras.append(at)
        inputs = graph.inputs(at)
        if guidance is None and "guidance" in inputs:
            guidance = _number(graph.value(at, "guidance"))
        if graph.kind(at) == "ConditioningZeroOut":
            texts.append("")
            continue
        if graph.kind(at) in _APART:
            apart = True
        further = [found for name, found in graph.links(at) if "conditioning" in name.lower()]
        if not further and {"positive", "negative"} <= inputs.keys():
            side = graph.link(at, "negative" if slot == 1 else "positive")
            further = [side] if side else []
        if "clip" in inputs and not further:
            texts.append(_encoded(graph, at))
            loras.extend(_upstream(graph, at, "clip"))
        elif not further and isinstance(inputs.get("positive"), str) and slot in (1, 2):
            # A loader of another pack that encodes as well.
            texts.append(str(inputs["positive"] if slot == 1 else inputs.get("negative", "")))
        elif not further:
            texts.append(None)
        waiting[:0] = further
    known = [text for text in texts if text is not None]
    if not texts or len(known) < len(texts):
        return None, loras, guidance
    if len(set(known)) > 1 and not apart:
        return None, loras, guidance
    text = "\nBREAK\n".join(known) if apart else known[0]
    return text, loras, guidance


def _encoded(graph: Graph, node_id: str) -> str | None:
    """The text of a node that encodes one; of several fields, the one text that they share."""
    inputs = graph.inputs(node_id)
    given = [graph.value(node_id, name) for name in _TEXTS if name in inputs]
    texts = {value for value in given if isinstance(value, str)}
    if None in given or not given or len(texts - {""}) > 1:
        return None
    return next(iter(texts - {""}), "")


def _model(graph: Graph, node_id: str) -> tuple[str | None, list[str]]:
    """(name of the model's file, nodes on its way)"""
    nodes = list(_upstream(graph, node_id, "model"))
    last = nodes[-1] if nodes else node_id
    name = next((graph.value(last, key) for key in _MODEL_NAMES if key in graph.inputs(last)), None)
    return _text(name), nodes


def _upstream(graph: Graph, node_id: str, name: str) -> Iterator[str]:
    """The nodes behind an input, each over its input of the same name, nearest first."""
    seen = {node_id}
    link = graph.link(node_id, name)
    while link is not None and link[0] not in seen:
        seen.add(link[0])
        yield link[0]
        link = graph.link(link[0], name)


def _lora_nodes(graph: Graph, on_model: list[str], on_clip: list[str], unknown_clip: bool) -> tuple[LoraNode, ...]:
    """`unknown_clip`: whether the way of the text could not be followed; then what has a text encoder changes it."""
    encoders = {node for node in on_clip if graph.kind(node) == "LoraTextEncode"}

    def changes_clip(node: str) -> bool:
        if node in on_clip or (unknown_clip and graph.link(node, "clip") is not None):
            return True
        # That node applies its LoRAs to the text encoder itself, and hands them on for the model.
        return bool(encoders) and not encoders.isdisjoint(_upstream(graph, node, "stack"))

    order = [*reversed(on_model), *(node for node in reversed(on_clip) if node not in on_model)]
    return tuple(LoraNode(node, node in on_model, changes_clip(node)) for node in dict.fromkeys(order))


def _size(graph: Graph, node_id: str) -> tuple[int, int] | None:
    link = next((link for name, link in graph.links(node_id) if name in _PICTURE_INPUTS), None)
    seen: set[str] = set()
    while link is not None and link[0] not in seen:
        seen.add(link[0])
        width, height = _whole(graph.value(link[0], "width")), _whole(graph.value(link[0], "height"))
        if width and height and "pixels" not in graph.inputs(link[0]):
            return width, height
        link = next((further for name, further in graph.links(link[0]) if name in _PICTURE_INPUTS), None)
    return None


def _upscaler(graph: Graph, node_id: str) -> str:
    """In A1111's words where it has some."""
    model = graph.link(node_id, "upscale_model")
    if model is not None:
        name = _text(graph.value(model[0], "model_name"))
        return name.rpartition("/")[2].rpartition("\\")[2].rpartition(".")[0] or name if name else "unknown"
    method = _text(graph.value(node_id, "upscale_method")) or ""
    if graph.kind(node_id).startswith("Latent"):
        words = {"nearest-exact": "Latent (nearest-exact)", "bicubic": "Latent (bicubic)", "bilinear": "Latent"}
        return words.get(method, "Latent")
    return {"lanczos": "Lanczos", "nearest-exact": "Nearest"}.get(method, method or "None")


def host_loras(graph: Graph, node: LoraNode) -> tuple[str, float, float] | None:
    """(name, te, unet) of the host's own loaders, `None` for other nodes and for what cannot be told."""
    kind = graph.kind(node.node_id)
    if kind not in _HOST_LOADERS:
        return None
    name = _text(graph.value(node.node_id, "lora_name"))
    unet = _number(graph.value(node.node_id, "strength_model")) if node.on_model else 0.0
    te = _number(graph.value(node.node_id, "strength_clip")) if node.on_clip and _HOST_LOADERS[kind] else 0.0
    return None if name is None or te is None or unet is None else (name.replace("\\", "/"), te, unet)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
        return None
    return None if math.isnan(value) else float(value)


def _whole(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    number = _number(value)
    return int(number) if number is not None and number.is_integer() else None


def as_values(traced: Pass) -> Mapping[str, Any]:
    """The fields of a pass that are known."""
    return {f.name: value for f in fields(Pass) if (value := getattr(traced, f.name)) not in (None, ())}
