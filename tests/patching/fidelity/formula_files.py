"""Files that no library writes today, or that writers only spell in other ways, with the trainers' formulas in fp64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from . import lycoris_files
from .case import CLIP_LAYERS, UNET_LAYERS, Case, Layers, Wanted, seeded

RANK = 4
Tensors = dict[str, Tensor]
Formula = Callable[[Tensor, float, torch.Generator, float | None], tuple[Tensors, Tensor]]
"""(W in fp64, size, generator, alpha) → (tensors by ending, f₁(W) in fp64)."""


def cases() -> Iterator[Case]:
    """Old layouts, keys of other trainers, and the spellings that the host reads."""
    for alpha, number in (("= rank", RANK), ("≠ rank", 1.5), ("absent", None), ("0", 0.0)):
        yield _case("GLoRA, old layout", "LyCORIS ≤ 2.3.0.dev11", alpha, _old_glora, number, ("linear", "conv1×1"))
        yield _case("LoRA + bias, scale", "A1111", alpha, partial(_with_rest, scale=0.625), number)
        yield _case("LoRA + bias", "A1111", alpha, _with_rest, number)
        yield _case("LoRA, sparse rest", "LyCORIS extraction", alpha, _sparse, number)
        if alpha != "absent":
            for spelling in _SPELLINGS:
                yield _spelled(spelling, alpha)
    for alpha, number in (("constraint", 0.02), ("0", 0.0), ("absent", None)):
        yield _case("OFT", "sd-scripts networks/oft.py", alpha, _kohya_oft, number)
        yield _case("OFT, parts", "sd-scripts networks/oft_flux.py", alpha, _flux_oft, number, ("linear",))
    yield _case("OFT, R itself", "LyCORIS 2.0.0", "–", _oft_diag, None)
    yield _case("set_weight", "host", "–", _assigned, None)
    for family in ("LoRA / LoCon", "LoHa", "LoKr, both factored"):
        yield Case(family, "LyCORIS, alpha 0", "0", "off", partial(_alpha_zero, family))
    for family, base in (("OFT", "OFT"), ("BOFT", "BOFT"), ("Full", "Full"), ("IA3, output", "IA3, output")):
        for axis in ("in", "out"):
            yield Case(family, "A1111 (DoRA around any family)", "–", axis, partial(_dora_around, base, axis))


def _case(
    family: str, source: str, alpha: str, formula: Formula, number: float | None, kinds: tuple[str, ...] | None = None
) -> Case:
    make = partial(_make, formula, number, f"{family} {alpha}", kinds)
    return Case(family, source, alpha, "off", make)


def _make(
    formula: Formula,
    number: float | None,
    seed: str,
    kinds: tuple[str, ...] | None,
    layers: Layers,
    folder: Path,
    size: float,
) -> Wanted:
    generator = seeded(seed)
    tensors: Tensors = {}
    wanted: Wanted = {}
    for prefix, names in (("lora_unet", UNET_LAYERS), ("lora_te", CLIP_LAYERS)):
        for kind, name in names.items():
            if kinds is not None and not kind.startswith(kinds):
                continue
            weight = layers.of(kind).weight.detach().double()
            found, full = formula(weight, size, generator, number)
            if number is not None:
                found["alpha"] = torch.tensor(number)
            module = f"{prefix}_{name.replace('.', '_')}"
            tensors |= {f"{module}.{ending}": tensor.contiguous() for ending, tensor in found.items()}
            wanted[kind, "weight"] = full.reshape(weight.shape)
    save_file(tensors, folder / "case.safetensors")
    return wanted


def _noise(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator)


def _scale(alpha: float | None) -> float:
    """alpha/rank; an absent alpha and zero mean rank."""
    return (alpha or RANK) / RANK


def _old_glora(weight: Tensor, size: float, generator: torch.Generator, alpha: float | None) -> tuple[Tensors, Tensor]:
    """lycoris/modules/glora.py of 2.3.0.dev11, `forward`: W(x + s·a2(s·a1(x))) + s·b2(s·b1(x))."""
    out, inner = weight.shape[:2]
    ones = (1,) * (weight.ndim - 2)
    a1, a2 = _noise(generator, RANK, inner), _noise(generator, inner, RANK)
    b1, b2 = _noise(generator, RANK, inner), _noise(generator, out, RANK)
    a1 *= size / (inner * RANK) ** 0.5
    b1 *= size * weight.std() / RANK**0.5
    flat, s = weight.flatten(1), _scale(alpha)
    full = flat + s * s * (b2.double() @ b1.double() + flat @ a2.double() @ a1.double())
    factors = {"a1.weight": a1, "a2.weight": a2, "b1.weight": b1, "b2.weight": b2}
    return {ending: factor.reshape(*factor.shape, *ones) for ending, factor in factors.items()}, full


def _factors(weight: Tensor, size: float, generator: torch.Generator) -> tuple[Tensors, Tensor]:
    """(lora_up and lora_down, their product) with ‖product‖ near size·‖W‖."""
    up = _noise(generator, weight.shape[0], RANK)
    down = _noise(generator, RANK, *weight.shape[1:]) * (size * weight.std().float() / RANK**0.5)
    product = (up.double() @ down.double().flatten(1)).reshape(weight.shape)
    return {"lora_up.weight": up.reshape(*up.shape, *[1] * (weight.ndim - 2)), "lora_down.weight": down}, product


def _with_rest(
    weight: Tensor, size: float, generator: torch.Generator, alpha: float | None, scale: float | None = None
) -> tuple[Tensors, Tensor]:
    """A1111's network.py, `finalize_updown`: (up·down + bias) · s, where the key `scale` wins over alpha/dim."""
    tensors, product = _factors(weight, size, generator)
    rest = _noise(generator, *weight.shape) * (size * weight.std().float())
    tensors["bias"] = rest
    if scale is not None:
        tensors["scale"] = torch.tensor(scale)
    return tensors, weight + (product + rest.double()) * (scale if scale is not None else _scale(alpha))


def _sparse(weight: Tensor, size: float, generator: torch.Generator, alpha: float | None) -> tuple[Tensors, Tensor]:
    """lycoris/utils of 2.2.0, `extract_diff` with `use_bias`: int16 indices, values and size of a sparse remainder."""
    tensors, product = _factors(weight, size, generator)
    rest = _noise(generator, *weight.shape) * (size * weight.std().float())
    rest[rest.abs() < rest.std()] = 0
    sparse = rest.to_sparse().coalesce()
    tensors |= {
        "bias_indices": sparse.indices().to(torch.int16),
        "bias_values": sparse.values(),
        "bias_size": torch.tensor(rest.shape).to(torch.int16),
    }
    return tensors, weight + (product + rest.double()) * _scale(alpha)


def _rotation(blocks: Tensor, constraint: float) -> Tensor:
    """sd-scripts' networks/oft.py, `get_weight` at multiplier 1."""
    q = blocks - blocks.transpose(1, 2)
    norm = torch.norm(q.flatten())
    if constraint:
        q = q * ((torch.clamp(norm, max=constraint) + 1e-8) / (norm + 1e-8))
    eye = torch.eye(q.shape[1], dtype=q.dtype)
    return torch.matmul(eye + q, (eye - q).inverse())


def _rotated(weight: Tensor, r: Tensor) -> Tensor:
    rows = weight.reshape(r.shape[0], r.shape[1], -1)
    return torch.einsum("k n m, k n ... -> k m ...", r, rows).reshape(weight.shape)


def _kohya_oft(weight: Tensor, size: float, generator: torch.Generator, alpha: float | None) -> tuple[Tensors, Tensor]:
    """Blocks by number: `dim` is how many there are."""
    out = weight.shape[0]
    count = min(RANK, out // 2)
    blocks = _noise(generator, count, out // count, out // count) * (0.2 * size / count)
    return {"oft_blocks": blocks}, _rotated(weight, _rotation(blocks.double(), (alpha or 0.0) * out))


def _flux_oft(weight: Tensor, size: float, generator: torch.Generator, alpha: float | None) -> tuple[Tensors, Tensor]:
    """Parts of unequal size, each with its constraint."""
    out = weight.shape[0]
    rows = [out // 2, out // 4, out // 4]
    tensors: Tensors = {}
    turned = []
    start = 0
    for i, count in enumerate(rows):
        blocks = _noise(generator, 2, count // 2, count // 2) * (0.1 * size)
        tensors[f"oft_blocks.{i}"] = blocks
        part = weight[start : start + count]
        turned.append(_rotated(part, _rotation(blocks.double(), (alpha or 0.0) * count)))
        start += count
    return tensors, torch.cat(turned)


def _oft_diag(weight: Tensor, size: float, generator: torch.Generator, alpha: float | None) -> tuple[Tensors, Tensor]:
    """lycoris/modules/diag_oft.py of 2.0.0: the file holds R, gains (rescale) multiplied in."""
    size_of_block = min(8, weight.shape[0] // 2)
    blocks = _noise(generator, weight.shape[0] // size_of_block, size_of_block, size_of_block) * (0.2 * size)
    gains = 1 + 0.3 * size * _noise(generator, blocks.shape[0], size_of_block, 1)
    r = (gains.double() * _rotation(blocks.double(), 0.0)).float()
    return {"oft_diag": r}, _rotated(weight, r.double())


def _assigned(weight: Tensor, size: float, generator: torch.Generator, alpha: float | None) -> tuple[Tensors, Tensor]:
    """comfy/lora.py: the value takes the weight's place."""
    value = (weight + _noise(generator, *weight.shape) * (size * weight.std())).float()
    return {"set_weight": value}, value.double()


_SPELLINGS: dict[str, tuple[str, str]] = {
    "PEFT": ("{}.lora_B.weight", "{}.lora_A.weight"),
    "PEFT, named adapter": ("{}.lora_B.default.weight", "{}.lora_A.default.weight"),
    "Mochi": ("{}.lora_B", "{}.lora_A"),
    "diffusers, first form": ("{}_lora.up.weight", "{}_lora.down.weight"),
    "diffusers": ("{}.lora.up.weight", "{}.lora.down.weight"),
    "transformers": ("{}.lora_linear_layer.up.weight", "{}.lora_linear_layer.down.weight"),
}
"""(up, down) as comfy/weight_adapter/lora.py of the host reads them."""


def _lycoris(family: str, alpha: str, dora: str) -> Case:
    return next(c for c in lycoris_files.cases() if (c.family, c.alpha, c.dora) == (family, alpha, dora))


def _spelled(spelling: str, alpha: str) -> Case:
    dora = {"= rank": "in", "≠ rank": "out", "0": "off"}[alpha]
    return Case(f"LoRA as {spelling}", "LyCORIS", alpha, dora, partial(_respell, spelling, alpha, dora))


def _respell(spelling: str, alpha: str, dora: str, layers: Layers, folder: Path, size: float) -> Wanted:
    """LyCORIS' file under another spelling; alpha and DoRA scale stay, as OneTrainer and ai-toolkit write them."""
    wanted = _lycoris("LoRA / LoCon", "= rank" if alpha == "0" else alpha, dora).make(layers, folder, size)
    up, down = _SPELLINGS[spelling]
    file = folder / "case.safetensors"
    tensors: Tensors = {}
    for key, tensor in load_file(file).items():
        module, _, ending = key.partition(".")
        pattern = {"lora_up.weight": up, "lora_down.weight": down}.get(ending, f"{{}}.{ending}")
        tensors[pattern.format(module)] = tensor.zero_() if alpha == "0" and ending == "alpha" else tensor
    save_file(tensors, file)
    return wanted


def _alpha_zero(family: str, layers: Layers, folder: Path, size: float) -> Wanted:
    """Zero means rank: lycoris/modules/locon.py, sd-scripts' networks/lora.py."""
    wanted = _lycoris(family, "= rank", "off").make(layers, folder, size)
    file = folder / "case.safetensors"
    save_file({k: t.zero_() if k.endswith(".alpha") else t for k, t in load_file(file).items()}, file)
    return wanted


def _dora_around(family: str, axis: str, layers: Layers, folder: Path, size: float) -> Wanted:
    """A1111's network.py, `apply_weight_decompose`: V·dora_scale/‖V‖, V = W + Δ; the norm along the scale's shape."""
    case = next(c for c in lycoris_files.cases() if c.family == family)
    wanted = case.make(layers, folder, size)
    generator = seeded(f"{family} {axis}")
    file = folder / "case.safetensors"
    tensors = load_file(file)
    for prefix, names in (("lora_unet", UNET_LAYERS), ("lora_te", CLIP_LAYERS)):
        for kind, name in names.items():
            full = wanted[kind, "weight"]
            others = [i for i in range(full.ndim) if i != (1 if axis == "in" else 0)]
            norm = torch.linalg.vector_norm(full, dim=others, keepdim=True)
            scale = (norm * (1 + 0.3 * size * torch.randn(norm.shape, generator=generator))).float()
            tensors[f"{prefix}_{name.replace('.', '_')}.dora_scale"] = scale
            wanted[kind, "weight"] = full * scale.double() / norm
    save_file(tensors, file)
    return wanted
