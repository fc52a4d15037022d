"""From a file's module name to the model's weights, by the host's own maps."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any, Literal

import comfy.lora
import comfy.utils
import torch

from ..stack.architectures import detect
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
        self._names: dict[str, Any] = build(model, {})
        shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
        self._keys = frozenset(shapes)
        self.architecture = detect(shapes)

    def find(self, module: str, parameter: str) -> Target | None:
        """The weight (or bias) that `module` of a file changes, `None` where this model has none."""
        found = self._names.get(module)
        if found is None:
            return None
        key, *rest = found if isinstance(found, tuple) else (found,)
        if parameter == "bias":
            if rest or not key.endswith(".weight"):
                return None
            key = key[: -len("weight")] + "bias"
        if key not in self._keys:
            return None
        return Target(self._side, key, *rest)


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


def shape_of(model: torch.nn.Module, target: Target) -> tuple[int, ...]:
    """Shape of a target, read from the module: quantised models list packed shapes in their state dict."""
    shape = list(comfy.utils.get_attr(model, target.key).shape)
    if target.offset is not None:
        dim, _, length = target.offset
        shape[dim] = length
    return tuple(shape)
