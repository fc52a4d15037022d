"""The infotext of a picture that is being saved: from its graph, its record, and what is linked to the saver."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .. import library
from ..library.models import hash_of
from ..stack.entry import LoraEntry
from ..stack.errors import AmbiguousLoraError, LoraNotFoundError, StackFormatError
from ..stack.stack import LoraStack
from ..stack.tag import parse_prompt
from .graph import Graph
from .trace import LoraNode, Pass, Traced, host_loras
from .write_infotext import PassText, WrittenLora, infotext, sampler_fields


@dataclass(frozen=True, slots=True)
class Given:
    """What is linked to the saver; it counts before what is traced. `None`: not linked."""

    prompt: str | None = None
    negative: str | None = None
    steps: int | None = None
    sampler: str | None = None
    scheduler: str | None = None
    cfg: float | None = None
    seed: int | None = None
    model_name: str | None = None


ModelHash = Callable[[str], str | None]
"""sha256 of a model by its name in the host's combo."""


def picture_text(
    graph: Graph, traced: Traced, given: Given, size: tuple[int, int], version: str, with_hashes: bool,
    model_hash: ModelHash, batch: tuple[int, int] = (1, 0),
) -> str:  # fmt: skip
    """The infotext of one picture.

    `size`: (width, height) of the picture; `batch`: (pictures saved together, index of this one); `version`: of the
    host. Blocks on the disk.
    """
    first = _with_given(traced.first, given)
    loras = tuple(_written(graph, first))
    hires, more = None, {}
    begun = size
    if traced.hires is not None:
        again = traced.hires
        begun = first.size or size
        hires = PassText(again.prompt if again.prompt is not None else first.prompt or "",
                         again.negative if again.negative is not None else first.negative or "",
                         tuple(_written(graph, again)))  # fmt: skip
        more = _hires_fields(first, again, size, traced.upscaler)
    denoise = traced.hires.denoise if traced.hires is not None else first.denoise
    values: dict[str, Any] = {
        "Steps": first.steps,
        **sampler_fields(first.sampler, first.scheduler),
        "CFG scale": _number(first.cfg),
        "Distilled CFG Scale": _number(first.guidance),
        "Seed": first.seed,
        "Size": f"{begun[0]}x{begun[1]}",
        **_model_fields(first.model_name, model_hash),
        "Denoising strength": _number(denoise) if denoise is not None and denoise < 1 else None,
        "Batch size": batch[0] if batch[0] > 1 else None,
        "Batch pos": batch[1] if batch[0] > 1 else None,
        **more,
        # The host draws its noise on the CPU, which A1111 does not unless it is told to.
        "RNG": "CPU",
        "Version": version,
    }
    return infotext(PassText(first.prompt or "", first.negative or "", loras), hires, values, with_hashes)


def _with_given(traced: Pass, given: Given) -> Pass:
    known = {name: value for name in Given.__slots__ if (value := getattr(given, name)) is not None}
    if "prompt" in known:
        # Only what was applied is written as a tag.
        known["prompt"] = parse_prompt(known["prompt"]).text
    return replace(traced, **known)


def _hires_fields(first: Pass, hires: Pass, size: tuple[int, int], upscaler: str | None) -> dict[str, Any]:
    fields: dict[str, Any] = {"Hires resize": f"{size[0]}x{size[1]}"}
    if hires.steps != first.steps:
        fields["Hires steps"] = hires.steps
    names, before = sampler_fields(hires.sampler, hires.scheduler), sampler_fields(first.sampler, first.scheduler)
    if names["Sampler"] != before["Sampler"]:
        fields["Hires sampler"] = names["Sampler"]
    if names["Schedule type"] != before["Schedule type"]:
        fields["Hires schedule type"] = names["Schedule type"]
    if hires.cfg != first.cfg:
        fields["Hires CFG Scale"] = _number(hires.cfg)
    return {**fields, "Hires upscaler": upscaler}


def _model_fields(name: str | None, model_hash: ModelHash) -> dict[str, str | None]:
    if not name:
        return {"Model hash": None, "Model": None}
    sha256 = model_hash(name)
    base = name.replace("\\", "/").rpartition("/")[2]
    stem, dot, extension = base.rpartition(".")
    known = dot and extension.lower() in ("safetensors", "sft", "ckpt", "pt", "pth", "bin", "gguf")
    return {"Model hash": sha256[:10] if sha256 else None, "Model": stem if known else base}


def library_model_hash(name: str) -> str | None:
    """`ModelHash` over the running host's folders."""
    own = library.current()
    try:
        return hash_of(own.store, own.roots.models, name)
    except FileNotFoundError:
        return None


def _written(graph: Graph, traced: Pass) -> Iterator[WrittenLora]:
    for node in traced.loras:
        record = graph.run(node.node_id) or {}
        loras = record.get("loras")
        for item in loras if isinstance(loras, list) else ():
            written = _recorded(item, node)
            if written is not None:
                yield written
        host = host_loras(graph, node)
        if host is not None:
            yield _of_host(*host)


def _recorded(item: Any, node: LoraNode) -> WrittenLora | None:
    try:
        (entry,) = LoraStack.from_json({"lora_deck": 1, "entries": [item["entry"]]})
        te, unet, file = float(item["te"]), float(item["unet"]), str(item["file"])
    except (KeyError, TypeError, ValueError, StackFormatError):
        return None
    autov3, sha256 = item.get("autov3"), item.get("sha256")
    digits = autov3 or (sha256[:12] if isinstance(sha256, str) else "")
    blocks = item.get("blocks")
    pairs = tuple((str(k), float(v)) for k, v in blocks.items()) if isinstance(blocks, Mapping) else ()
    return WrittenLora(entry, file, digits, te if node.on_clip else 0.0, unet if node.on_model else 0.0, pairs)


def _of_host(name: str, te: float, unet: float) -> WrittenLora:
    entry = LoraEntry(name, te, unet)
    try:
        file = library.resolve(name)
    except (LoraNotFoundError, AmbiguousLoraError):
        return WrittenLora(entry, name, "", te, unet)
    known = library.hashes(file)
    return WrittenLora(entry, file.name, known.infotext if known else "", te, unet)


def _number(value: float | None) -> str | None:
    """As A1111 prints settings: `7`, `6.5`."""
    return None if value is None else f"{value:.10g}"
