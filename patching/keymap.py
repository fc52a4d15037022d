"""From a file's module name to the model's weights, by the host's own maps."""

from __future__ import annotations

import re
import weakref
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import comfy.lora
import comfy.utils
import torch

from ..stack.architectures import detect
from ..stack.blocks import BlockLayout, layout_of
from .adapter import Offset, Rearrange
from .head_order import HEAD_BY_HEAD
from .host_names import corrections, more_names
from .names import FlatNames, Found, flat, flat_text, flat_text_key
from .parameters import Parameters, shapes_of
from .renames import Part

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


_NUMBER = re.compile(r"\d+")
_OWN = "diffusion_model."
_IN_BLOCK = re.compile(r"\.\d+\.")


class KeyMap:
    """Module names of one model or text encoder, and the shapes of its parameters."""

    def __init__(self, side: Side, model: torch.nn.Module) -> None:
        build = comfy.lora.model_lora_keys_unet if side == "unet" else comfy.lora.model_lora_keys_clip
        self._side: Side = side
        self._model = weakref.ref(model)
        shapes = shapes_of(model)
        self._keys = frozenset(shapes)
        self.is_reachable = any(k.endswith(".weight") and len(s) > 1 and _IN_BLOCK.search(k) for k, s in shapes.items())
        """Whether the patcher sees the weights of the blocks: packs with kernels of their own keep them elsewhere."""
        names: dict[str, Any] = build(model, {})
        if side == "unet":
            names = {**more_names(model), **names, **corrections(model, names)}
        # The host's maps are made from a config, and also name what this model has not.
        self._names = {name: to for name, to in names.items() if (to if isinstance(to, str) else to[0]) in shapes}
        self.architecture = detect(shapes)
        self.layout = layout_of(shapes)

    def find(self, module: str, parameter: str) -> Target | None:
        """The weight (or bias) that `module` of a file changes, `None` where this model has none."""
        known = self._names.get(module)
        return self._target(Found(known) if known is not None else self._by_rule(module), parameter)

    def find_rows(self, module: str, parameter: str) -> tuple[Target, ...]:
        """The weights (or biases) that are together the rows of a fused projection of the file, in order."""
        found = self._flat.find_rows(flat(module)) if self._side == "unet" else None
        targets = [self._target(target, parameter) for target in found or ()]
        return tuple(t for t in targets if t is not None) if None not in targets else ()

    def heads_in_turn(self, module: str, target: Target) -> int | None:
        """The number of heads where the file's rows are q, k and v of one head after the other, and ours are not."""
        if self.architecture not in HEAD_BY_HEAD or not HEAD_BY_HEAD[self.architecture].fullmatch(module):
            return None
        model = self._model()
        assert model is not None
        heads: int = comfy.utils.get_attr(model, target.key.rsplit(".", 2)[0]).heads
        return heads

    def has_other_block(self, module: str) -> bool:
        """Whether the module would exist here with another block number."""
        return _NUMBER.sub("#", flat(module)) in self._kinds

    @cached_property
    def _kinds(self) -> frozenset[str]:
        return frozenset(_NUMBER.sub("#", name) for name in self._flat)

    def _target(self, found: Found[Any] | None, parameter: str) -> Target | None:
        if found is None:
            return None
        key, *rest = found.target if isinstance(found.target, tuple) else (found.target,)
        if found.part is not None:
            rest = self._part(key, found.part)
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

    def _part(self, key: str, part: Part) -> list[Any]:
        """Offset and function of a part of a weight's rows."""
        if part == "swapped":
            return [None, comfy.utils.swap_scale_shift]
        assert part is not None
        index, count = part
        model = self._model()
        assert model is not None
        height = weight_shape(model, key)[0] // count
        return [(0, index * height, height)]

    def _by_rule(self, module: str) -> Found[Any] | None:
        if self._side == "unet":
            return self._flat.find(flat(module))
        found = flat_text(module)
        if found is None:
            return None
        encoder, path = found
        encoders = self._text.get(path, {})
        if len(encoders) > 1 and encoder not in encoders:
            # CLIP-L and CLIP-G have the same layers: the first is te, te1, the second te2, as kohya numbers them.
            encoder = "clip_g" if encoder == "2" else "clip_l"
        key = encoders.get(encoder) if len(encoders) > 1 else next(iter(encoders.values()), None)
        return None if key is None else Found(key)

    @cached_property
    def _flat(self) -> FlatNames[Any]:
        # A model's own names mean itself, whatever else may be called so elsewhere; some begin as a prefix does.
        own = {
            key.removeprefix(_OWN).removesuffix(".weight").replace(".", "_"): key
            for key in self._keys
            if key.startswith(_OWN) and key.endswith(".weight")
        }
        others = ((flat(name), target) for name, target in self._names.items())
        return FlatNames((*own.items(), *((name, target) for name, target in others if name not in own)))

    @cached_property
    def _text(self) -> dict[str, dict[str, str]]:
        """Flat path → encoder → key."""
        paths: dict[str, dict[str, str]] = {}
        for key in self._keys:
            if key.endswith(".weight"):
                encoder, path = flat_text_key(key)
                paths.setdefault(path, {})[encoder] = key
        return paths


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


def target_shape(parameters: Parameters, target: Target) -> tuple[int, ...]:
    """Shape of a target: of the weight, or of its slice."""
    shape = parameters.shape(target.key)
    if target.offset is None:
        return shape
    dim, _, length = target.offset
    return (*shape[:dim], length, *shape[dim + 1 :])
