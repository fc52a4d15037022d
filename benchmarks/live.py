#!/usr/bin/env python3
"""What LoRAs in the forward pass cost, as ratios to the same layers without any.

    python benchmarks/live.py --host /path/to/ComfyUI [--device cuda] [--rank 16] [--loras 8]

Layers alone, seeded, no model: Flux' linear layers at 4,608 tokens (a share of its blocks, to fit), and as many small
layers as an SDXL LoRA changes, where the cost is in starting products rather than in them. Medians of several runs.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
FLUX = ((3072, 9216), (3072, 3072), (3072, 12288), (12288, 3072), (3072, 21504), (15360, 3072))
"""(in, out) of the linear layers of a double and a single block."""
SMALL_LAYERS = 722


def load_pack(host: str, cpu: bool) -> None:
    sys.path.insert(0, host)
    import comfy.cli_args

    comfy.cli_args.args.cpu = cpu
    spec = importlib.util.spec_from_file_location(
        "lora_deck", REPOSITORY / "__init__.py", submodule_search_locations=[str(REPOSITORY)]
    )
    assert spec is not None and spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["lora_deck"] = package
    spec.loader.exec_module(package)


def measure(run: Callable[[], Any], device: str, times: int = 7) -> float:
    """Median seconds of a run."""
    import torch

    seconds = []
    for _ in range(times):
        if device != "cpu":
            torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        if device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


class Bench:
    """Layers with LoRAs beside them."""

    def __init__(self, shapes: list[tuple[int, int]], tokens: int, options: argparse.Namespace) -> None:
        import torch
        from lora_deck.patching.live.factors import Factors
        from lora_deck.patching.live.parts import Step
        from lora_deck.patching.live.plan import Bound
        from lora_deck.strategies.forms import Pair

        self.device, self.count = options.device, options.loras
        dtype = torch.float32 if self.device == "cpu" else torch.bfloat16
        torch.manual_seed(1)
        made = [torch.nn.Linear(*shape, device=self.device, dtype=dtype) for shape in shapes]
        self.root = torch.nn.ModuleList(made).requires_grad_(False)
        self.inputs = {i: torch.randn(2, tokens // 2, i, device=self.device, dtype=dtype) for i, _ in shapes}
        layers = {
            str(number): tuple(
                Step(entry, Pair(torch.randn(out, options.rank) * 0.01, torch.randn(options.rank, inner) * 0.01), None)
                for entry in range(self.count)
            )
            for number, (inner, out) in enumerate(shapes)
        }
        factors = Factors(layers, dtype, object()).to(self.device)
        self.bound = Bound(factors, self.root, torch.device(self.device))

    def bare(self) -> None:
        """One pass through all layers."""
        import torch

        with torch.inference_mode():
            for layer in self.root:
                layer(self.inputs[layer.in_features])

    def live(self, *weights: float) -> None:
        """One pass with the LoRAs: one weight for all rows, or one for each half of the batch."""
        import torch
        from lora_deck.patching.live.engine import in_place

        with torch.inference_mode():
            self.bound.set_weights(tuple((weight,) * self.count for weight in weights))
            with in_place(self.bound):
                self.bare()

    def lines(self, name: str) -> list[str]:
        """Ratios to the bare layers."""
        self.live(0.5)
        bare = measure(self.bare, self.device)
        same = measure(lambda: self.live(0.5), self.device)
        weights = iter(range(1, 1000))
        moving = measure(lambda: self.live(next(weights) / 100), self.device)
        rows = measure(lambda: self.live(0.5, 0.25), self.device)
        return [
            f"{name}: {bare * 1000:.1f} ms without LoRAs",
            f"  constant weight          x{same / bare:.2f}  (+{(same - bare) * 1000:.1f} ms)",
            f"  another weight each time x{moving / bare:.2f}  ({moving / same:.2f} of a constant one)",
            f"  a weight for each row    x{rows / bare:.2f}  ({rows / same:.2f} of one for all)",
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--loras", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=4608)
    options = parser.parse_args()
    load_pack(options.host, options.device == "cpu")
    repeats = 1 if options.device == "cpu" else 10
    print(f"{options.loras} LoRAs of rank {options.rank} on {options.device}")
    print("\n".join(Bench([*FLUX] * repeats, options.tokens, options).lines("Flux' layers")))
    print("\n".join(Bench([(640, 640)] * SMALL_LAYERS, 64, options).lines(f"{SMALL_LAYERS} small layers")))


if __name__ == "__main__":
    main()
