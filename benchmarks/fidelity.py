#!/usr/bin/env python3
"""Where LyCORIS, PEFT and A1111 disagree about the same keys, how far, and which of them the pack gives.

    python benchmarks/fidelity.py

Needs torch, lycoris-lora and peft (tools/requirements-dev.txt), no host. Every figure is a relative error of the
difference that a file makes, ‖Δ − Δ'‖ / ‖Δ'‖ in fp64, on one seeded layer of 48 × 64. How many cases of the whole table
the pack and the host's own loader get right is printed by

    python tools/dev.py test tests/patching/test_fidelity.py -k full_size
"""

from __future__ import annotations

import copy
import logging
import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from speed.host import load_pack
from torch import Tensor, nn

load_pack()

from lora_deck.strategies import AdapterSettings, FileSettings, read  # noqa: E402

RANK = 4
OUT, IN = 48, 64
Row = tuple[str, str, str, str, float]


def linear() -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(IN, OUT)


def filled(module: nn.Module, size: float = 0.5) -> Any:
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "dora" in name or "rescale" in name:
                parameter.mul_(1 + 0.3 * noise)
            else:
                parameter.copy_(noise * size)
    return module.double().eval()


def ours(tensors: dict[str, Tensor], weight: Tensor, multiplier: float = 1.0, settings: Any = None) -> Tensor:
    """W' of the pack."""
    found = read({f"m.{ending}": tensor.detach().float() for ending, tensor in tensors.items()}, settings)
    strategy = found.modules["m"].parameters["weight"]
    strategy.fit(tuple(weight.shape))
    return strategy.apply(weight.detach().double().clone(), multiplier, torch.float64)


def error(got: Tensor, truth: Tensor, weight: Tensor) -> float:
    return float((got - truth).norm() / (truth - weight.double()).norm())


def lycoris(name: str, size: float = 0.5, **options: Any) -> tuple[Any, Tensor]:
    """(LyCORIS' module on a double layer, the layer's weight)."""
    import lycoris.modules as modules

    logging.getLogger("LyCORIS").setLevel(logging.ERROR)
    layer = linear().double()
    return filled(getattr(modules, name)("m", layer, 1.0, **options), size), layer.weight


def effective(module: Any, multiplier: float) -> Tensor:
    """W' of LyCORIS' forward pass at its own multiplier."""
    module.multiplier = multiplier
    layer = module.org_module[0]
    eye = torch.eye(IN, dtype=torch.float64)
    single = torch.Tensor.float
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign,assignment]
    try:
        return (module(eye) - layer.bias).T.detach()
    finally:
        torch.Tensor.float = single  # type: ignore[method-assign]


def multipliers() -> list[Row]:
    rows: list[Row] = []
    cases: list[tuple[str, str, dict[str, Any], float, str]] = [
        ("`oft_blocks`, `rescale` at weight 0.5", "DiagOFTModule", {"lora_dim": 8, "rescaled": True}, 0.2, "R alone"),
        ("`oft_blocks` (4-d) at weight 0.5", "ButterflyOFTModule", {"lora_dim": 6}, 0.2, "every stage alone"),
        ("`dora_scale` (out, 1) at weight 0.5", "LoConModule", {"weight_decompose": True}, 0.12, "the lengths alone"),
        ("`dora_scale` (1, in) at weight 0.5", "LoConModule", {"weight_decompose": True, "wd_on_out": False}, 0.12,
         "the lengths alone"),
    ]  # fmt: skip
    for keys, name, options, size, how in cases:
        module, weight = lycoris(name, size, **{"lora_dim": RANK, "alpha": RANK, **options})
        tensors = module.state_dict()
        got = ours(tensors, weight, 0.5)
        assert error(ours(tensors, weight), effective(module, 1.0), weight) < 1e-6
        other = error(effective(module, 0.5), got, weight)
        rows.append((keys, "A1111: W + m·(f(W) − W)", f"LyCORIS' own multiplier scales {how}", "one rule", other))
    return rows


def scaling() -> list[Row]:
    rows: list[Row] = []
    for keys, name in (("`hada_…`, alpha = rank/2", "LohaModule"), ("`lokr_…`, alpha = rank/2", "LokrModule")):
        module, weight = lycoris(name, lora_dim=RANK, alpha=RANK / 2, factor=4)
        truth = effective(module, 1.0)
        assert error(ours(module.state_dict(), weight), truth, weight) < 1e-6
        merged = module.get_merged_weight(1.0, weight.shape)[0].detach()
        rows.append((keys, "LyCORIS' forward pass", "LyCORIS' merge applies alpha twice", "trained so",
                     error(merged, truth, weight)))  # fmt: skip
    module, weight = lycoris("LoConModule", lora_dim=RANK, alpha=RANK)
    tensors = {**module.state_dict(), "alpha": torch.zeros(())}
    truth = effective(module, 1.0)
    assert error(ours(tensors, weight), truth, weight) < 1e-6
    rows.append(("`alpha` = 0", "kohya, LyCORIS: zero is rank", "A1111: no effect", "trained so", 1.0))
    module, weight = lycoris("LokrModule", lora_dim=RANK, alpha=RANK / 2, factor=4, full_matrix=True)
    tensors = module.state_dict()
    alone = effective(module, 1.0)
    assert error(ours({**tensors, "alpha": torch.tensor(RANK / 2)}, weight), alone, weight) < 1e-6
    peft = AdapterSettings.from_json({"peft_type": "LOKR", "r": RANK, "alpha": RANK / 2})
    by_peft = ours({k: v for k, v in tensors.items() if k != "alpha"}, weight, 1.0, FileSettings((peft,)))
    rows.append(("`lokr_w1`, `lokr_w2` both whole", "LyCORIS: scale 1; with PEFT's configuration alpha/r",
                 "each on the other's file", "each writer's own", error(by_peft, alone, weight)))  # fmt: skip
    return rows


def glora() -> list[Row]:
    generator = torch.Generator().manual_seed(3)
    weight = linear().weight.detach().double()
    a1, b1 = (torch.randn(RANK, IN, generator=generator) * 0.2 for _ in range(2))
    a2, b2 = (torch.randn(n, RANK, generator=generator) * 0.2 for n in (IN, OUT))
    change = b2.double() @ b1.double() + weight @ a2.double() @ a1.double()
    tensors = {"a1.weight": a1, "a2.weight": a2, "b1.weight": b1, "b2.weight": b2, "alpha": torch.tensor(RANK / 2)}
    truth = weight + change / 4
    assert error(ours(tensors, weight), truth, weight) < 1e-6
    old = "`a1` (r, in), alpha = rank/2"
    follow = "LyCORIS ≤ 2.3.0.dev11's forward pass: (alpha/r)²"
    module, new = lycoris("GLoRAModule", 0.2, lora_dim=RANK, alpha=RANK, rs_lora=True)
    stabilised = effective(module, 1.0)
    return [
        (old, follow, "its own merge, the host: alpha/r", "trained so", error(weight + change / 2, truth, weight)),
        (old, follow, "A1111: alpha ignored", "trained so", error(weight + change, truth, weight)),
        ("`a1` (in, r) trained with `rs_lora`", "alpha/r", "LyCORIS trained with alpha/√r", "the file does not say",
         error(ours(module.state_dict(), new), stabilised, new)),
    ]  # fmt: skip


def peft_oft() -> list[Row]:
    import peft

    def adapted(layer: nn.Module, **options: Any) -> Any:
        model = peft.get_peft_model(
            nn.Sequential(layer), peft.OFTConfig(target_modules=["0"], oft_block_size=8, **options)
        )
        return filled(model.base_model.model[0], 0.15)

    rows: list[Row] = []
    layer = linear()
    weight = layer.weight.detach().double()
    tuned = adapted(layer)
    tuned.base_layer.weight.data.copy_(weight)
    tensors = {"oft_R.weight": tuned.oft_R["default"].weight}
    copied = copy.deepcopy(tuned)
    copied.merge()
    truth = copied.base_layer.weight.detach()
    series = FileSettings((AdapterSettings.from_json({"peft_type": "OFT"}),))
    exact = FileSettings((AdapterSettings.from_json({"peft_type": "OFT", "use_cayley_neumann": False}),))
    assert error(ours(tensors, weight, 1.0, series), truth, weight) < 1e-6
    rows.append(("`oft_R`", "PEFT's default, a series of 5 terms",
                 "PEFT's exact rotation, of the other sign", "the configuration says which",
                 error(ours(tensors, weight, 1.0, exact), truth, weight)))  # fmt: skip
    torch.manual_seed(4)
    conv = nn.Conv2d(8, 8, 3, padding=0, bias=False)
    weight = conv.weight.detach().double()
    tuned = adapted(conv)
    tuned.base_layer.weight.data.copy_(weight)
    merged = copy.deepcopy(tuned)
    merged.merge()
    truth = merged.base_layer.weight.detach()
    x = torch.randn(2, 8, 7, 7, dtype=torch.float64)
    base, forward, rotated = (nn.functional.conv2d(x, weight), tuned(x), nn.functional.conv2d(x, truth))
    apart = float((forward - rotated).norm() / (rotated - base).norm())
    rows.append(("`oft_R` of a 3×3 convolution", "PEFT's merge", "PEFT's forward pass adds up overlapping patches",
                 "only the merge is a weight", apart))  # fmt: skip
    return rows


def biases() -> list[Row]:
    module, weight = lycoris("IA3Module", 0.2)
    bias = module.org_module[0].bias.detach()
    scaled = float((bias * module.weight.detach()).norm() / bias.norm())
    assert error(ours(module.state_dict(), weight), effective(module, 1.0), weight) < 1e-6
    return [
        ("`weight`, `on_input` = 0", "LyCORIS 4: the bias stays", "LyCORIS ≤ 1.9 and PEFT's `ia3_l` scale it",
         "today's writer; PEFT's files as PEFT", scaled),
    ]  # fmt: skip


def dora_axis() -> list[Row]:
    module, weight = lycoris("LoConModule", 0.12, lora_dim=RANK, alpha=RANK, weight_decompose=True)
    truth = effective(module, 1.0)
    whole = weight.detach().double() + module.get_diff_weight(1.0, weight.shape)[0].detach()
    a1111 = whole / whole.norm(dim=0, keepdim=True) * module.dora_scale.detach()
    host = whole * module.dora_scale.detach() / weight.detach().double().norm(dim=1, keepdim=True)
    keys, follow = "`dora_scale` (out, 1)", "LyCORIS, PEFT: ‖W + Δ‖ per output"
    return [
        (keys, follow, "A1111: ‖W + Δ‖ per input", "trained so", error(a1111, truth, weight)),
        (keys, follow, "the host: ‖W‖ per output", "trained so", error(host, truth, weight)),
    ]


TABLES: tuple[Callable[[], list[Row]], ...] = (multipliers, scaling, glora, dora_axis, biases, peft_oft)


def main() -> None:
    warnings.simplefilter("ignore")
    print("| keys | LoRA Deck follows | others | why | difference |\n|---|---|---|---|---|")
    for table in TABLES:
        for keys, follows, others, why, difference in table():
            assert math.isfinite(difference)
            print(f"| {keys} | {follows} | {others} | {why} | {difference:.2g} |")


if __name__ == "__main__":
    main()
