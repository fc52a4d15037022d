"""Files that LyCORIS writes on the host's layers, and what its modules make of the weights in their forward pass."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from .case import CLIP_LAYERS, CLIP_NORMS, UNET_LAYERS, UNET_NORMS, Case, Layers, Wanted, seeded

RANK = 4
_ALPHA = {"= rank": 1.0, "≠ rank": 0.375, "absent": 1.0}
_DORA: dict[str, dict[str, Any]] = {
    "off": {},
    "in": {"weight_decompose": True, "wd_on_out": False},
    "out": {"weight_decompose": True, "wd_on_out": True},
}
_SIZED = {
    "LoConModule": ("lora_up",), "LohaModule": ("hada_w1_a",), "GLoRAModule": ("a1", "b1"), "IA3Module": ("weight",),
    "LokrModule": ("lokr_w1", "lokr_w1_a"), "NormModule": ("w_norm", "b_norm"), "FullModule": ("weight", "bias"),
}  # fmt: skip
"""Module → the parameters in which its difference is linear, or nearly."""
_TURNED = ("DiagOFTModule", "ButterflyOFTModule")


def cases() -> Iterator[Case]:
    """Every algorithm of LyCORIS × alpha × DoRA, as far as it has them."""
    additive: dict[str, dict[str, Any]] = {
        "LoRA / LoCon": {"algo": "lora"},
        "LoCon, tucker": {"algo": "lora", "use_tucker": True},
        "LoHa": {"algo": "loha"},
        "LoHa, tucker": {"algo": "loha", "use_tucker": True},
        "LoKr": {"algo": "lokr", "factor": 8},
        "LoKr, both factored": {"algo": "lokr", "factor": 20, "decompose_both": True},
        "LoKr, tucker": {"algo": "lokr", "factor": 8, "use_tucker": True},
        "LoKr, whole": {"algo": "lokr", "factor": 8, "full_matrix": True},
    }
    for family, options in additive.items():
        for alpha in _ALPHA:
            for dora in _DORA:
                yield _case(family, alpha, dora, {**options, **_DORA[dora]})
    for alpha in _ALPHA:
        yield _case("GLoRA", alpha, "off", {"algo": "glora"})
    yield _case("IA3, output", "–", "off", {"algo": "ia3"})
    yield _case("IA3, input", "–", "off", {"algo": "ia3", "train_on_input": True})
    yield _case("Full", "–", "off", {"algo": "full"})
    yield _case("Norm", "–", "off", {"algo": "norm"})
    for family, algo in (("OFT", "diag-oft"), ("BOFT", "boft")):
        for alpha, constraint in (("constraint", 0.01), ("0", 0.0), ("absent", 0.0)):
            for rescale in (False, True):
                name = family + (", rescale" if rescale else "")
                yield _case(name, alpha, "off", {"algo": algo, "constraint": constraint, "rescaled": rescale})


def _case(family: str, alpha: str, dora: str, options: dict[str, Any]) -> Case:
    return Case(family, "LyCORIS", alpha, dora, partial(_make, options, alpha, f"{family} {alpha} {dora}"))


def _make(options: dict[str, Any], alpha: str, seed: str, layers: Layers, folder: Path, size: float) -> Wanted:
    names = {"norm": (UNET_NORMS, CLIP_NORMS)}.get(options["algo"], (UNET_LAYERS, CLIP_LAYERS))
    generator = seeded(seed)
    tensors: dict[str, torch.Tensor] = {}
    wanted: Wanted = {}
    for root, kinds, prefix in ((layers.unet, names[0], "lora_unet"), (layers.text, names[1], "lora_te")):
        network = _network(root, list(kinds.values()), prefix, dict(options), _ALPHA.get(alpha, 1.0))
        by_name = {f"{prefix}_{name.replace('.', '_')}": kind for kind, name in kinds.items()}
        assert len(network.loras) == len(by_name)
        for module in network.loras:
            _fill(module, size, generator)
        whole = options["algo"] == "full"
        if whole:
            network.apply_to()
        else:
            for module in network.loras:
                network.add_module(module.lora_name, module)
        file = folder / f"{prefix}.safetensors"
        network.save_weights(str(file), torch.float32, {})
        if whole:
            network.restore()
        written = load_file(file)
        file.unlink()
        for module in network.loras:
            kind = by_name[module.lora_name]
            if whole:
                saved = (written[f"{module.lora_name}.diff"], written.get(f"{module.lora_name}.diff_b"))
                with torch.no_grad():
                    module = type(module).make_module_from_state_dict(module.lora_name, layers.of(kind), *saved)
            for parameter, change in _forward(module).items():
                own = getattr(layers.of(kind), parameter)
                wanted[kind, parameter] = own.detach().double() + change
        tensors.update(written)
    if alpha == "absent":
        tensors = {key: tensor for key, tensor in tensors.items() if not key.endswith(".alpha")}
    save_file(tensors, folder / "case.safetensors")
    return wanted


def _network(root: torch.nn.Module, names: list[str], prefix: str, options: dict[str, Any], alpha: float) -> Any:
    from lycoris import LycorisNetwork

    logging.getLogger("LyCORIS").setLevel(logging.ERROR)
    algo = options.pop("algo")
    rank = {"boft": 16 if prefix == "lora_te" else 10, "diag-oft": 8}.get(algo, RANK)
    LycorisNetwork.apply_preset(
        {
            "target_module": [],
            "target_name": names,
            "lora_prefix": prefix,
            "module_algo_map": {},
            "name_algo_map": {n: {"train_on_input": True} for n in names} if options.pop("train_on_input", 0) else {},
        }
    )
    options = {"train_norm": algo == "norm", "warn_on_unmatched": False, **options}
    options |= {"network_module": "lora" if algo == "norm" else algo, "alpha": alpha * rank, "conv_alpha": alpha * rank}
    return LycorisNetwork(root, 1.0, lora_dim=rank, conv_lora_dim=rank, **options)


@torch.no_grad()
def _fill(module: Any, size: float, generator: torch.Generator) -> None:
    """Random parameters; then what the difference is linear in is scaled so that ‖Δ‖ = size · ‖W‖."""
    kind = type(module).__name__
    for name, parameter in module.named_parameters():
        if name == "dora_scale":
            parameter.mul_(1 + 0.5 * size * torch.randn(parameter.shape, generator=generator))
        elif name == "rescale":
            parameter.copy_(1 + 0.5 * size * torch.randn(parameter.shape, generator=generator))
        else:
            spread = 0.2 * size if kind in _TURNED else 1.0
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
    if kind in _TURNED:
        return
    lengths = getattr(module, "wd", False)
    module.wd = False
    for parameter, change in _forward(module).items():
        own = getattr(module.org_module[0], parameter).detach()
        for name in _SIZED[kind]:
            found = [p for n, p in module.named_parameters() if n in (name, f"{name}.weight")]
            if found and (parameter == "bias") == (name in ("bias", "b_norm")):
                found[0].mul_(float(size * own.norm() / change.norm()))
    module.wd = lengths


@torch.no_grad()
def _forward(module: Any) -> dict[str, torch.Tensor]:
    """Parameter → the difference that the module's forward pass makes at multiplier 1, in fp64."""
    layer = copy.deepcopy(module.org_module[0]).double()
    module = copy.deepcopy(module, {id(module.org_module[0]): layer}).double().eval()
    if isinstance(layer, torch.nn.GroupNorm | torch.nn.LayerNorm):
        weight, bias = module.make_weight(1.0)
        return {"weight": weight - layer.weight, "bias": bias - layer.bias}
    seen: dict[str, torch.Tensor] = {}

    def capture(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, **_: Any) -> torch.Tensor:
        seen["weight"] = weight
        if bias is not None:
            seen["bias"] = bias
        return torch.zeros(())

    module.op = capture
    inputs = layer.weight.shape[1]
    x = torch.zeros(1, inputs, *[1] * (layer.weight.ndim - 2))
    with _no_single_precision():
        module(x.double())
    return seen


@contextmanager
def _no_single_precision() -> Iterator[None]:
    """LyCORIS inverts in fp32 by `.float()`; the truth is wanted in fp64."""
    single = torch.Tensor.float
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        torch.Tensor.float = single  # type: ignore[method-assign]
