"""Key layouts of LoRA files as tensors without memory, and the host's models on the meta device.

`fixtures/layouts/*.json`: what trainers write, one file each, as `[{ending: shape}, [modules]]` with number ranges in
braces. `fixtures/models.json`: the configs of the host's models at their true sizes, by the host's class.
`fixtures/diffusers.json`: the modules of diffusers' classes for the same models, as `[shape, [modules]]`.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

FIXTURES = Path(__file__).resolve().parent / "fixtures"
FOLDER = FIXTURES / "layouts"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def read(name: str) -> Any:
    return json.loads((FIXTURES / name).read_text(encoding="utf-8"))


@cache
def models() -> dict[str, dict[str, Any]]:
    """Name → the host's class and its config."""
    found: dict[str, dict[str, Any]] = read("models.json")
    return found


@cache
def diffusers() -> dict[str, dict[str, tuple[int, ...]]]:
    """`model Class` → module → shape of its weight."""
    return {
        name: {module: tuple(shape) for shape, patterns in groups for p in patterns for module in expand(p)}
        for name, groups in read("diffusers.json").items()
    }


def layout(name: str) -> dict[str, Any]:
    data: dict[str, Any] = read(f"layouts/{name}.json")
    return data


def expand(key: str) -> list[str]:
    """`blocks.{0-2}.ffn.{0,2}` stands for six keys."""
    found = re.search(r"\{([\d,-]+)\}", key)
    if not found:
        return [key]
    ends = [part.partition("-") for part in found[1].split(",")]
    numbers = [i for first, _, last in ends for i in range(int(first), int(last or first) + 1)]
    return [k for i in numbers for k in expand(key[: found.start()] + str(i) + key[found.end() :])]


def tensors(data: dict[str, Any]) -> dict[str, Any]:
    """Every key with its shape and type; each tensor is one number, expanded."""
    import torch

    types = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "I64": torch.int64, "U8": torch.uint8}
    made = {}
    for endings, patterns in data["modules"]:
        for module in (name for pattern in patterns for name in expand(pattern)):
            for ending, shape in endings.items():
                key = module + ending
                kind = next((d for e, d in data["dtypes"].items() if e and key.endswith(e)), data["dtypes"][""])
                one = torch.ones((), dtype=types[kind])
                made[key] = one.expand(shape) if shape else one
    return made


def lora_keys(modules: dict[str, tuple[int, ...]], prefix: str, rank: int = 4) -> dict[str, tuple[int, ...]]:
    """The keys of a LoRA in PEFT's form over `modules`, with their shapes."""
    keys: dict[str, tuple[int, ...]] = {}
    for module, (out, *rest) in modules.items():
        if rest:
            keys[f"{prefix}{module}.lora_A.weight"] = (rank, *rest)
            keys[f"{prefix}{module}.lora_B.weight"] = (out, rank, *(1 for _ in rest[1:]))
    return keys


def host_class(comfy: Any, name: str) -> Any | None:
    """The host's class of the model, `None` where this host has none of that name."""
    wanted = models()[name]["class"]
    return next((each for each in comfy.supported_models.models if each.__name__ == wanted), None)


def diffusion_model(comfy: Any, name: str) -> Any:
    """The host's model of that name at its true size, on the meta device."""
    import torch

    config = dict(models()[name]["config"])
    if "nerf_embedder_dtype" in config:
        config["nerf_embedder_dtype"] = getattr(torch, config["nerf_embedder_dtype"])
    made = host_class(comfy, name)(config)
    made.set_inference_dtype(torch.float16, None)
    # ACE-Step 1.5 reads a number out of a tensor to know the length of a table that is none of its weights.
    item = torch.Tensor.item
    with mock.patch.object(torch.Tensor, "item", lambda self: 8 if self.is_meta else item(self)):
        return made.get_model(beside(name), "", device=torch.device("meta"))


def beside(name: str) -> dict[str, Any]:
    """What the host takes from a checkpoint beside the diffusion model."""
    import torch

    if name == "zero123":
        return {"cc_projection.weight": torch.zeros(768, 772), "cc_projection.bias": torch.zeros(768)}
    if name.startswith("stable-audio"):
        numbers: dict[str, tuple[int, ...]] = {"0.weights": (128,), "1.weight": (768, 257), "1.bias": (768,)}
        stem = "conditioner.conditioners.seconds_{}.embedder.embedding.{}"
        if name == "stable-audio-3":
            numbers = {"1.weight": (768, 256), "1.bias": (768,)}
        return {stem.format(w, k): torch.zeros(s) for w in ("start", "total") for k, s in numbers.items()}
    return {}


def text_encoder(arch: str) -> Any:
    """The host's text encoders for an architecture, on the meta device."""
    import torch

    options: dict[str, Any] = {"device": torch.device("meta"), "dtype": torch.float16}
    if arch == "sd15":
        from comfy.sd1_clip import SD1ClipModel

        return SD1ClipModel(**options)
    if arch == "sdxl":
        from comfy.sdxl_clip import SDXLClipModel

        return SDXLClipModel(**options)
    if arch == "lumina2":
        import comfy.text_encoders.lumina2

        return comfy.text_encoders.lumina2.te()(**options)
    from comfy.text_encoders.flux import FluxClipModel

    return FluxClipModel(**options)
