"""What must hold on a device, on the real host: `--check`. Small weights, a minute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accuracy import errors
from measure import Bench, patched_weight, strengths_of


def check(bench: Bench, files: list[Path], modules: dict[str, str]) -> list[str]:
    """Runs every check; what failed, in sentences."""
    import comfy.model_management as management
    import comfy.utils
    from lora_deck.patching.store import STORE

    failed: list[str] = []

    def expect(holds: bool, what: str) -> None:
        print(f"{'ok  ' if holds else 'FAIL'} {what}", flush=True)
        if not holds:
            failed.append(what)

    management.unload_all_models()
    device = bench.base.load_device
    base = {key: comfy.utils.get_attr(bench.base.model, key).detach().cpu().clone() for key in bench.keys}
    strengths = [0.7, -0.45, 0.8, 0.35, 1.1, 0.6, -0.25, 0.9][: len(files)]

    def weights(graph: Callable[[Any], Any]) -> dict[str, Any]:
        _, patcher = bench.run(graph, strengths)
        return {key: patched_weight(patcher, key) for key in modules.values()}

    kept = weights(bench.ours)
    size = STORE.size(device)
    expect(size > 0, f"factors are kept on the device ({size / 2**20:.0f} MiB)")
    chain = errors(bench, bench.chain, files, modules, strengths)
    ours = errors(bench, bench.ours, files, modules, strengths)
    expect(ours <= chain * (1 + 1e-4), f"error of the delta {ours:.4e}, the chain's {chain:.4e}")

    for one in (1, 2):
        alone = Bench(bench.base, type(bench._loaders[0]), bench.names[:one], bench._forward)
        alone.keys = bench.keys
        chain = errors(alone, alone.chain, files[:one], modules, strengths[:one])
        ours = errors(alone, alone.ours, files[:one], modules, strengths[:one])
        expect(ours <= chain * (1 + 1e-4), f"N = {one}: error of the delta {ours:.4e}, the chain's {chain:.4e}")

    management.free_memory(1e30, device)
    expect(STORE.size(device) == 0, "memory pressure lets them go")
    restored = {key: comfy.utils.get_attr(bench.base.model, key).detach().cpu() for key in bench.keys}
    expect(all(torch.equal(base[key], restored[key]) for key in base), "unloaded weights have the bytes they had")

    bench.run(bench.floor, strengths)
    patcher = bench.ours(strengths_of(len(files), 3))
    STORE.clear()
    management.load_models_gpu([patcher])
    if bench._forward is not None:
        bench._forward(patcher)
    first = {key: patched_weight(patcher, key) for key in modules.values()}
    bench.run(bench.floor, strengths)
    again = bench.run(bench.ours, strengths_of(len(files), 3))[1]
    second = {key: patched_weight(again, key) for key in modules.values()}
    expect(_close(first, second, base), "the same weights without kept factors, to one rounding")

    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        bench.run(bench.floor, strengths)
        loose = weights(bench.ours)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
    expect(all(torch.equal(loose[key], kept[key]) for key in kept), "the same bits where another pack allows TF32")
    return failed


def _close(one: dict[str, Any], other: dict[str, Any], base: dict[str, Any]) -> bool:
    """Whether weights are equal to one step of their type."""
    return all(
        bool(
            (
                (one[key].double() - other[key].double()).abs()
                <= 1.001 * torch.finfo(base[key].dtype).eps * torch.maximum(one[key].abs(), base[key].abs()).double()
                + torch.finfo(base[key].dtype).tiny
            ).all()
        )
        for key in one
    )
