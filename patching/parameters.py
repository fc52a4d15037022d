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


class Parameters:
    """The parameters of one model, for the length of one run."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._model = model

    @cached_property
    def by_name(self) -> Mapping[str, Tensor]:
        """All of them; a shared one under each of its names."""
        return dict(parameters_of(self._model))

    def shape(self, key: str) -> tuple[int, ...]:
        """True shape of a weight: quantised models list packed shapes in their state dict."""
        found = self.by_name.get(key)
        return tuple((comfy.utils.get_attr(self._model, key) if found is None else found).shape)


def parameters_of(model: torch.nn.Module) -> Iterator[tuple[str, Tensor]]:
    """(name, parameter) of all of them, in no particular order."""
    waiting: list[tuple[str, torch.nn.Module]] = [("", model)]
    while waiting:
        prefix, module = waiting.pop()
        for name, parameter in module._parameters.items():
            if parameter is not None:
                yield prefix + name, parameter
        waiting.extend([(f"{prefix}{name}.", inner) for name, inner in module._modules.items() if inner is not None])
