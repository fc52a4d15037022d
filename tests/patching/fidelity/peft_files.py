"""Files that PEFT writes on the host's layers, and what its own merge makes of the weights."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from .case import CLIP_LAYERS, UNET_LAYERS, Case, Layers, Wanted, seeded

_RANK = 4
_INPUT_SIDE = ["attn1.to_out.0", "input_blocks.0.0", "mlp.fc1"]
"""Layers whose IA3 is on the input side."""


def cases() -> Iterator[Case]:
    """Every method of PEFT that the pack reads × where its settings put alpha."""
    alphas: dict[str, dict[str, Any]] = {
        "= rank": {"lora_alpha": _RANK},
        "≠ rank": {"lora_alpha": 6},
        "rank-stabilised": {"lora_alpha": 6, "use_rslora": True},
        "per module": {
            "lora_alpha": 6,
            "alpha_pattern": {"to_k": 2, "mlp.fc1": 3},
            "rank_pattern": {"proj_in": 8, "attn1.to_out.0": 2},
        },
    }
    for alpha, options in alphas.items():
        yield _case("LoRA", alpha, "off", "LoraConfig", {"r": _RANK, **options})
        yield _case("LoRA", alpha, "out", "LoraConfig", {"r": _RANK, "use_dora": True, **options})
        yield _case("LoRA, bias", alpha, "off", "LoraConfig", {"r": _RANK, "lora_bias": True, **options})
    yield _case(
        "LoRA, trained biases", "≠ rank", "off", "LoraConfig", {"r": _RANK, "lora_alpha": 6, "bias": "lora_only"}
    )
    for alpha, value in (("= rank", _RANK), ("≠ rank", 6)):
        for tucker in (False, True):
            more = {"r": _RANK, "alpha": value, "use_effective_conv2d": tucker}
            suffix = ", tucker" if tucker else ""
            yield _case("LoHa" + suffix, alpha, "off", "LoHaConfig", more)
            yield _case("LoKr" + suffix, alpha, "off", "LoKrConfig", {**more, "decompose_factor": 8})
        both = {"r": _RANK, "alpha": value, "decompose_both": True, "decompose_factor": 20}
        yield _case("LoKr, both factored", alpha, "off", "LoKrConfig", both)
        yield _case("LoKr, whole", alpha, "off", "LoKrConfig", {"r": 512, "alpha": 128 * value, "decompose_factor": 8})
    yield _case("IA3", "–", "off", "IA3Config", {"feedforward_modules": _INPUT_SIDE})
    for family, options in {
        "OFT": {"oft_block_size": 16},
        "OFT, 3 terms": {"oft_block_size": 16, "num_cayley_neumann_terms": 3},
        "OFT, 8 terms": {"oft_block_size": 16, "num_cayley_neumann_terms": 8},
        "OFT, exact": {"oft_block_size": 16, "use_cayley_neumann": False},
        "OFT, one block": {"oft_block_size": 16, "block_share": True},
        "OFT, constrained": {"oft_block_size": 16, "coft": True, "eps": 10.0},
    }.items():
        yield _case(family, "–", "off", "OFTConfig", options)
    # PEFT holds one dense permutation for each stage, so the convolution is the one with few inputs.
    yield _case("BOFT", "–", "off", "BOFTConfig", {"boft_block_size": 4}, ("linear", "conv1", "conv3×3, wide", "text"))
    stages = {"boft_block_size": 8, "boft_n_butterfly_factor": 3}
    yield _case("BOFT, 3 stages", "–", "off", "BOFTConfig", stages, ("linear", "conv1", "text"))
    stages = {"boft_block_size": 6, "boft_n_butterfly_factor": 2}
    yield _case("BOFT, 2 stages", "–", "off", "BOFTConfig", stages, ("conv3×3, wide",))


def _case(
    family: str, alpha: str, dora: str, config: str, options: dict[str, Any], only: tuple[str, ...] = ("",)
) -> Case:
    make = partial(_make, config, options, f"{family} {alpha} {dora}", only)
    return Case(family, "PEFT", alpha, dora, make)


def _make(
    config: str,
    options: dict[str, Any],
    seed: str,
    only: tuple[str, ...],
    layers: Layers,
    folder: Path,
    size: float,
) -> Wanted:
    import peft

    generator = seeded(seed)
    wanted: Wanted = {}
    trained = options.get("bias", "none") != "none"
    for name, root, kinds in (("unet", layers.unet, UNET_LAYERS), ("text", layers.text, CLIP_LAYERS)):
        kinds = {kind: target for kind, target in kinds.items() if kind.startswith(only)}
        if not kinds:
            continue
        if options.get("lora_bias"):
            kinds = {kind: target for kind, target in kinds.items() if root.get_submodule(target).bias is not None}
        targets = list(kinds.values())
        more = dict(options)
        if "feedforward_modules" in more:
            more["feedforward_modules"] = [t for t in targets if t.endswith(tuple(_INPUT_SIDE))]
        biases = {t: bias.detach().clone() for t in targets if (bias := root.get_submodule(t).bias) is not None}
        with warnings.catch_warnings(), _butterfly_on_cpu():
            warnings.simplefilter("ignore")
            model = peft.get_peft_model(root, getattr(peft, config)(target_modules=targets, **more))
            try:
                for kind, target in kinds.items():
                    layer = root.get_submodule(target)
                    _fill(layer, size, generator)
                    if trained and target in biases:
                        with torch.no_grad():
                            layer.get_base_layer().bias.add_(torch.randn(biases[target].shape, generator=generator))
                    merged = _merged(layer)
                    wanted[kind, "weight"] = merged.weight.detach()
                    if merged.bias is not None and (trained or not torch.equal(merged.bias, biases[target].double())):
                        wanted[kind, "bias"] = merged.bias.detach()
                model.save_pretrained(str(folder / name))
            finally:
                model.unload()
                root.requires_grad_(False)
                for target, bias in biases.items():
                    root.get_submodule(target).bias.copy_(bias)
    return wanted


def _merged(layer: Any) -> torch.nn.Module:
    """The layer after PEFT's own merge in fp64."""
    merged = copy.deepcopy(layer).double()
    merged.merge()
    base: torch.nn.Module = merged.get_base_layer()
    return base


@torch.no_grad()
def _fill(layer: Any, size: float, generator: torch.Generator) -> None:
    """Random parameters; then what the difference is linear in is scaled so that ‖Δ‖ = size · ‖W‖, or nearly."""
    parameters = {name: p for name, p in layer.named_parameters() if not name.startswith("base_layer.")}
    for name, parameter in parameters.items():
        noise = torch.randn(parameter.shape, generator=generator)
        if "magnitude" in name:
            parameter.mul_(1 + 0.5 * size * noise)
        elif "ia3_l" in name or "boft_s" in name:
            parameter.copy_(1 + size * noise)
        elif "_R" in name:
            parameter.copy_(noise * 0.15 * size)
        else:
            parameter.copy_(noise)
    plain = copy.deepcopy(layer)
    if hasattr(plain, "lora_variant"):
        plain.lora_variant.clear()
    linear = [p for name, p in parameters.items() if name.startswith(("lora_B", "hada_w1_a", "lokr_w1.", "lokr_w1_a"))]
    if linear:
        own = layer.get_base_layer().weight
        delta = plain.double().get_delta_weight("default")
        for parameter in linear:
            parameter.mul_(float(size * own.norm() / delta.norm()))


@contextmanager
def _butterfly_on_cpu() -> Iterator[None]:
    """PEFT joins the blocks of several stages in an extension for CUDA; here torch does."""
    from peft.tuners.boft import layer

    def forward(blocks: torch.Tensor) -> list[torch.Tensor]:
        return [torch.stack([torch.block_diag(*stage) for stage in blocks])]

    before, layer._FBD_CUDA = layer._FBD_CUDA, SimpleNamespace(forward=forward)
    try:
        yield
    finally:
        layer._FBD_CUDA = before
