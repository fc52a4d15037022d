"""A model's parameters as they are now, looked through once in a run.

torch's own generators are nested as deep as the model, and take ten times as long for a UNet; a look-up by name is
eight attributes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

import comfy.utils
import torch
from torch import Tensor

CAST_TO = "_comfy_model_dtype"
"""Ending of a module's attribute that says which type the host casts a parameter to."""


class Parameters:
    """The parameters of one model, for the length of one run."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._model = model

    @cached_property
    def by_name(self) -> Mapping[str, Tensor]:
        """All of them; a shared one under each of its names."""
        return {
            prefix + name: parameter
            for prefix, module in _modules_of(self._model)
            for name, parameter in module._parameters.items()
            if parameter is not None
        }

    def shape(self, key: str) -> tuple[int, ...]:
        """True shape of a weight: quantised models list packed shapes in their state dict."""
        found = self.by_name.get(key)
        return tuple((comfy.utils.get_attr(self._model, key) if found is None else found).shape)


def type_in(module: torch.nn.Module, name: str, parameter: Tensor) -> torch.dtype:
    """The type that a model has a parameter in. In the host's default mode on NVIDIA a parameter is as its file has it
    until the layer is used."""
    found: torch.dtype | None = module.__dict__.get(name + CAST_TO)
    return found or parameter.dtype


def shapes_of(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """Key → true shape of everything in a model's state dict, where quantised weights may have packed shapes."""
    shapes: dict[str, tuple[int, ...]] = {}
    is_usual = True
    for prefix, module in _modules_of(model):
        is_usual = is_usual and _keeps_as_torch_does(module)
        for name, buffer in module._buffers.items():
            if buffer is not None and name not in module._non_persistent_buffers_set:
                shapes[prefix + name] = tuple(buffer.shape)
        for name, parameter in module._parameters.items():
            if parameter is not None:
                shapes[prefix + name] = tuple(parameter.shape)
    if is_usual:
        return shapes
    state = {key: value for key, value in model.state_dict().items() if isinstance(value, Tensor)}
    return {key: shapes.get(key, tuple(value.shape)) for key, value in state.items()}


_HOW = ("state_dict", "_save_to_state_dict", "get_extra_state")


def _keeps_as_torch_does(module: torch.nn.Module) -> bool:
    """Whether a module's state dict is its parameters and buffers."""
    kind = type(module)
    return not module._state_dict_hooks and all(getattr(kind, how) is getattr(torch.nn.Module, how) for how in _HOW)


def _modules_of(model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
    """(prefix of its names, module)."""
    waiting: list[tuple[str, torch.nn.Module]] = [("", model)]
    while waiting:
        prefix, module = waiting.pop()
        yield prefix, module
        waiting.extend([(f"{prefix}{name}.", inner) for name, inner in module._modules.items() if inner is not None])
