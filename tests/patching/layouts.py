"""The shared key layouts of real LoRA files, as tensors without memory, and the host's models on the meta device."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "layouts"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json") if path.stem != "models")
ABSENT = "the key layouts (shared/layouts) are not beside this checkout"


def need_layouts() -> None:
    if not NAMES:
        pytest.skip(ABSENT)


def layout(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
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
    for pattern, shape in data["keys"].items():
        for key in expand(pattern):
            name = next((d for e, d in data["dtypes"].items() if e and key.endswith(e)), data["dtypes"][""])
            one = torch.ones((), dtype=types[name])
            made[key] = one.expand(shape) if shape else one
    return made


def diffusion_model(comfy: Any, name: str) -> Any:
    """The host's model of that name at its true size, on the meta device."""
    import torch

    configs = json.loads((FOLDER / "models.json").read_text(encoding="utf-8"))
    config = comfy.model_detection.model_config_from_unet_config(dict(configs[name]))
    config.set_inference_dtype(torch.float16, None)
    return config.get_model({}, "", device=torch.device("meta"))


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
