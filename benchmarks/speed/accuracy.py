"""How far patched weights are from the truth in fp64."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from measure import Bench, Graph, patched_weight


def truth(model_key: Any, files: Sequence[Path], module: str, strengths: Sequence[float]) -> Any:
    """Σ strength · alpha/rank · up·down in fp64, shaped as the weight `model_key`."""
    from safetensors import safe_open

    total = torch.zeros(model_key.shape, dtype=torch.float64)
    for path, strength in zip(files, strengths, strict=True):
        with safe_open(path, "pt") as file:
            up, down = (file.get_tensor(f"{module}.lora_{part}.weight").double() for part in ("up", "down"))
            scale = float(file.get_tensor(f"{module}.alpha")) / down.shape[0]
        total += strength * scale * (up.flatten(1) @ down.flatten(1)).reshape(total.shape)
    return total


def errors(
    bench: Bench, graph: Graph, files: Sequence[Path], modules: dict[str, str], strengths: Sequence[float]
) -> float:
    """Root mean square of ‖got − truth‖ / ‖truth‖, of the deltas of `modules` (name in the file → the model's key)."""
    import comfy.model_management
    import comfy.utils

    comfy.model_management.unload_all_models()
    base = {key: comfy.utils.get_attr(bench.base.model, key).detach().cpu().clone() for key in modules.values()}
    _, patcher = bench.run(graph, strengths)
    squares = []
    for module, key in modules.items():
        delta = truth(base[key], files, module, strengths)
        got = patched_weight(patcher, key).double() - base[key].double()
        squares.append(float((got - delta).norm() / delta.norm()) ** 2)
    return float((sum(squares) / len(squares)) ** 0.5)
