"""A case of the table: a file made by a trainer's library on layers of the real model, and the weights it means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

UNET_LAYERS = {
    "linear": "input_blocks.1.1.transformer_blocks.0.attn2.to_k",
    "linear, square": "input_blocks.1.1.transformer_blocks.0.attn1.to_out.0",
    "conv1×1": "input_blocks.1.1.proj_in",
    "conv3×3": "out.2",
    "conv3×3, wide": "input_blocks.0.0",
}
"""Kind of layer → its name in the host's UNet."""
UNET_NORMS = {"group norm": "input_blocks.1.1.norm", "layer norm": "input_blocks.1.1.transformer_blocks.0.norm1"}
CLIP_LAYERS = {
    "text linear": "text_model.encoder.layers.0.self_attn.q_proj",
    "text linear, wide": "text_model.encoder.layers.1.mlp.fc1",
}
"""Kind of layer → its name in the host's CLIP-L."""
CLIP_NORMS = {"text layer norm": "text_model.encoder.layers.0.layer_norm1"}


@dataclass(frozen=True)
class Layers:
    """The model under test as the writers see it."""

    unet: torch.nn.Module
    """The host's `diffusion_model`."""
    text: torch.nn.Module
    """The host's `clip_l.transformer`."""

    def of(self, kind: str) -> torch.nn.Module:
        """The layer of that kind."""
        for names, root in ((UNET_LAYERS, self.unet), (UNET_NORMS, self.unet)):
            if kind in names:
                return root.get_submodule(names[kind])
        return self.text.get_submodule({**CLIP_LAYERS, **CLIP_NORMS}[kind])

    def key(self, kind: str, parameter: str) -> tuple[str, str]:
        """(side, the model's key of a parameter of that layer)."""
        name = {**UNET_LAYERS, **UNET_NORMS}.get(kind)
        if name is not None:
            return "unet", f"diffusion_model.{name}.{parameter}"
        return "te", f"clip_l.transformer.{ {**CLIP_LAYERS, **CLIP_NORMS}[kind] }.{parameter}"


Wanted = dict[tuple[str, str], Tensor]
"""(kind of layer, `weight` or `bias`) → f₁ of it in fp64, without rounding."""


@dataclass(frozen=True)
class Case:
    """One row of the table; every layer kind and multiplier of it is counted on its own."""

    family: str
    source: str
    """Whose file and truth it is."""
    alpha: str
    dora: str
    make: Callable[[Layers, Path, float], Wanted] = field(repr=False)
    """Writes its files into a folder, differences of the given size against the weights, and gives the truth."""

    @property
    def name(self) -> str:
        """For test ids and reports."""
        return f"{self.source} {self.family}, alpha {self.alpha}, DoRA {self.dora}"


def seeded(seed: str) -> torch.Generator:
    """A generator that every run starts alike."""
    return torch.Generator().manual_seed(sum(ord(c) * 31**i for i, c in enumerate(seed)) % 2**31)


def at_multiplier(weight: Tensor, full: Tensor, multiplier: float) -> Tensor:
    """W + m·(f₁(W) − W) in fp64, W with zeros where it grows."""
    base = weight.detach().double()
    if base.shape != full.shape:
        wide = full.new_zeros(full.shape)
        wide[tuple(slice(0, size) for size in base.shape)] = base
        base = wide
    return torch.lerp(base, full, multiplier)
