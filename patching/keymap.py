"""From a file's module name to the model's weights, by the host's own maps."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import comfy.lora
import comfy.utils
import torch

from ..stack.architectures import detect
from ..stack.blocks import BlockLayout, layout_of
from .adapter import Offset, Rearrange

Side = Literal["te", "unet"]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a module's change goes."""

    side: Side
    key: str
    """The model's own name of the weight."""
    offset: Offset | None = None
    """(dim, start, length) where the module is a slice of the weight."""
    function: Rearrange | None = None
    """The host's rearrangement of the change."""


class KeyMap:
    """Module names of one model or text encoder, and the shapes of its parameters."""

    def __init__(self, side: Side, model: torch.nn.Module) -> None:
        build = comfy.lora.model_lora_keys_unet if side == "unet" else comfy.lora.model_lora_keys_clip
        self._side: Side = side
        shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
        self._names: dict[str, Any] = {**(_clip_layers(shapes) if side == "te" else {}), **build(model, {})}
        self._keys = frozenset(shapes)
        self.architecture = detect(shapes)
        self.layout = layout_of(shapes)

    def find(self, module: str, parameter: str) -> Target | None:
        """The weight (or bias) that `module` of a file changes, `None` where this model has none."""
        found = next((f for f in map(self._names.get, _spellings(module)) if f is not None), None)
        if found is None:
            return None
        key, *rest = found if isinstance(found, tuple) else (found,)
        if parameter == "bias":
            if not key.endswith(".weight"):
                return None
            key = key[: -len("weight")] + "bias"
            if rest and rest[0] is not None and rest[0][0] != 0:
                # A slice of the inputs has the whole bias.
                rest = [None, *rest[1:]]
        if key not in self._keys:
            return None
        return Target(self._side, key, *rest)


def _spellings(module: str) -> Iterator[str]:
    """A module's name as the file has it, then as the host's map may have it.

    `oft_unet_…` and `oft_te…`: sd-scripts' OFT. `base_model.model.…`: PEFT, with the model's own names or diffusers'
    behind it. `unet.…attn1.to_q`: diffusers without its processors.
    """
    yield module
    if module.startswith(("oft_unet_", "oft_te")):
        yield "lora_" + module.removeprefix("oft_")
    bare = module.removeprefix("base_model.model.")
    if bare != module:
        yield bare
        yield f"diffusion_model.{bare}"
        yield f"text_encoders.{bare}"
        yield f"text_encoder.{bare}"
    if "." in bare:
        flat = bare.removeprefix("unet.").removeprefix("diffusion_model.").replace(".", "_")
        yield f"lora_unet_{flat}"
        if bare.startswith("text_model."):
            yield f"lora_te_{flat}"


def _clip_layers(keys: Iterable[str]) -> dict[str, str]:
    """`lora_te_…` and its like for every weight of CLIP-L and CLIP-G: the host's map lacks the normalisation layers."""
    keys = [key for key in keys if key.endswith(".weight") and key.startswith(("clip_l.", "clip_g.", "clip_h."))]
    both = len({key.partition(".")[0] for key in keys}) > 1
    names: dict[str, str] = {}
    for key in keys:
        encoder, _, path = key.removesuffix(".weight").partition(".transformer.")
        flat = path.replace(".", "_")
        second = both and encoder == "clip_g"
        for prefix in ("lora_te2",) if second else ("lora_te", "lora_te1"):
            names[f"{prefix}_{flat}"] = key
    return names


_maps: weakref.WeakKeyDictionary[torch.nn.Module, KeyMap] = weakref.WeakKeyDictionary()


def key_map(side: Side, model: torch.nn.Module) -> KeyMap:
    """The map of a loaded model, built once in its life."""
    found = _maps.get(model)
    if found is None:
        found = _maps[model] = KeyMap(side, model)
    return found


def architecture_of(model: torch.nn.Module) -> str | None:
    """The architecture of a loaded diffusion model, by its keys."""
    return key_map("unet", model).architecture


def blocks_of(model: torch.nn.Module) -> BlockLayout:
    """The blocks of a loaded diffusion model."""
    return key_map("unet", model).layout


def weight_shape(model: torch.nn.Module, key: str) -> tuple[int, ...]:
    """Shape of a weight, read from the module: quantised models list packed shapes in their state dict."""
    return tuple(comfy.utils.get_attr(model, key).shape)


def shape_of(model: torch.nn.Module, target: Target) -> tuple[int, ...]:
    """Shape of a target: of the weight, or of its slice."""
    shape = list(weight_shape(model, target.key))
    if target.offset is not None:
        dim, _, length = target.offset
        shape[dim] = length
    return tuple(shape)
