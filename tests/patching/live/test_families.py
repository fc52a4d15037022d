"""Every family in the forward pass, against the weights that its trainer's own library means."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ..fidelity.case import UNET_LAYERS, Case, at_multiplier
from ..fidelity.measure import FULL_SIZE, Bench, all_cases


def _one_of_each() -> list[Case]:
    """Of every family and kind of DoRA the first row of the table: alpha changes nothing but the scale."""
    found: dict[tuple[str, str, str], Case] = {}
    for case in all_cases():
        if " as " not in case.family and case.family != "Norm":
            found.setdefault((case.source, case.family, case.dora), case)
    return list(found.values())


CASES = _one_of_each()
CLOSE = 2e-5
"""Of the change of the output, in fp32, where that is about as large as the output."""


@pytest.fixture(scope="module")
def bench(comfy: Any, build_model: Callable[..., Any], build_clip: Callable[..., Any]) -> Bench:
    import torch

    return Bench(comfy, build_model(torch.float32), build_clip(torch.float32))


def errors(bench: Bench, applied: Any, wanted: Any, multiplier: float, rows: tuple[Any, ...] = ()) -> dict[str, float]:
    """Kind of layer → error of what the change adds to its output."""
    import torch
    from torch.nn.functional import conv2d, linear

    from . import sampling as s

    found: dict[str, float] = {}
    for kind in {kind for kind, _ in wanted if kind in UNET_LAYERS}:
        layer = bench.layers.of(kind)
        bias = None if layer.bias is None else layer.bias.detach().double()
        weight = layer.weight.detach().double()
        is_linear = weight.ndim == 2
        generator = torch.Generator().manual_seed(4)
        size = (4, 9, weight.shape[1]) if is_linear else (4, weight.shape[1], 6, 6)
        x = torch.randn(size, generator=generator)

        def product(weight: Any, bias: Any, x: Any = x, layer: Any = layer, is_linear: bool = is_linear) -> Any:
            if is_linear:
                return linear(x.double(), weight, bias)
            return conv2d(x.double(), weight, bias, layer.stride, layer.padding)

        full = wanted.get((kind, "weight"), weight)
        truth_bias = bias if (kind, "bias") not in wanted else at_multiplier(bias, wanted[kind, "bias"], multiplier)
        truth = product(at_multiplier(weight, full, multiplier), truth_bias)
        base = product(weight, bias)
        patches = applied.model.patches
        assert not any(UNET_LAYERS[kind] in key for key in patches), "it was patched"
        got = s.inside(applied.model, lambda layer=layer, x=x: layer(x), rows=4)  # type: ignore[misc]
        found[kind] = s.difference(got, truth, base)
    return found


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_family(bench: Bench, lora_folder: Path, case: Case) -> None:
    from lora_deck.patching import apply_stack
    from lora_deck.stack.tag import parse_prompt

    wanted = case.make(bench.layers, lora_folder, FULL_SIZE)
    files = sorted(lora_folder.rglob("*.safetensors"))
    names = [path.relative_to(lora_folder).with_suffix("").as_posix() for path in files]
    for multiplier in (1.0, -0.5):
        prompt = "".join(f"<lora:{name}:{multiplier}>" for name in names)
        applied = apply_stack(bench.model, None, parse_prompt(prompt).stack, method="live")
        found = errors(bench, applied, wanted, multiplier)
        assert found and not {kind: error for kind, error in found.items() if error > CLOSE}


MIXED = ("LoRA / LoCon", "OFT", "IA3, input", "GLoRA", "LoKr", "IA3, output", "BOFT")


def test_families_in_a_row(bench: Bench, lora_folder: Path) -> None:
    """Each sees the layer as those before left it; what is patched after a live one would see too little."""
    import torch
    from comfy.model_management import unload_all_models
    from lora_deck.patching import apply_stack
    from lora_deck.stack.tag import parse_prompt

    from . import sampling as s

    names = []
    for family in MIXED:
        case = next(c for c in CASES if c.source == "LyCORIS" and c.family == family and c.dora == "off")
        case.make(bench.layers, lora_folder, 0.3)
        for path in sorted(lora_folder.glob("*.safetensors")):
            if not path.stem.startswith("row"):
                names.append(f"row{len(names)}")
                path.rename(lora_folder / f"{names[-1]}.safetensors")
    layer = bench.layers.of("linear, square")
    key = f"diffusion_model.{UNET_LAYERS['linear, square']}.weight"
    x = torch.randn(2, 5, layer.weight.shape[1], generator=torch.Generator().manual_seed(1))
    base = layer(x).detach()
    pairs = ["".join(f"<lora:{name}:0.7>" for name in pair) for pair in pairwise(names)]
    for prompt in (
        *pairs,
        "".join(f"<lora:{name}:0.7>" for name in names),
        "".join(f"<lora:{name}:-0.4>" for name in reversed(names)),
        "".join(f"<lora:{name}:0.7{':start=0' if i == 2 else ''}>" for i, name in enumerate(names)),
    ):
        stack = parse_prompt(prompt).stack
        patched = apply_stack(bench.model, None, stack, method="patch").model
        weight = patched.patch_weight_to_device(key, return_weight=True)
        truth = torch.nn.functional.linear(x, weight, layer.bias).detach()
        unload_all_models()
        live = apply_stack(bench.model, None, stack, method="auto" if "start" in prompt else "live")
        assert s.difference(s.inside(live.model, lambda: layer(x)), truth, base) < CLOSE, prompt
    assert len(live.model.patches) and "because it comes after a live one" in str(live.report)
