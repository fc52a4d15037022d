#!/usr/bin/env python3
"""How much faster `svd` is than decomposing full matrices: an SDXL file of rank 128 taken to rank 32.

    python benchmarks/dynamic_rank.py [--device cuda] [--rank 128] [--to 32] [--repeats 3]

Needs torch, no host. SDXL's attention and feed-forward layers, as a usual file changes them: one module per distinct
shape is timed both ways, in turn, and weighted by how many such modules the file has. Both ways start from the file's
factors on the device and end with factors of the new rank. The full matrices are decomposed in fp32 and one after the
other, as resize scripts do. Ours works in fp64, and on CUDA on several modules at a time; there the time of one is a
share of that of 24. The device is CUDA where there is one, else the CPU.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from speed.host import load_pack
from torch import Tensor

load_pack()

from lora_deck.strategies import Limit, Strategy, in_streams, limited, read  # noqa: E402

TOGETHER = 24

# (out, in) → modules of that shape in SDXL's transformer blocks: 10 blocks of width 640 in 5 transformers, 60 of width
# 1280 in 6. Each block has q, k, v, out of self-attention, q and out of cross-attention, its k and v from a context of
# 2048, and a gated feed-forward; each transformer has proj_in and proj_out.
SHAPES = {
    (640, 640): 10 * 6 + 5 * 2,
    (640, 2048): 10 * 2,
    (5120, 640): 10,
    (640, 2560): 10,
    (1280, 1280): 60 * 6 + 6 * 2,
    (1280, 2048): 60 * 2,
    (10240, 1280): 60,
    (1280, 5120): 60,
}


def module(out: int, inner: int, rank: int, device: torch.device) -> Strategy:
    """A module with a spectrum that falls, as trained ones have; in fp16, as files are."""
    generator = torch.Generator().manual_seed(out + inner)
    fall = torch.arange(1, rank + 1) ** -0.5
    up = torch.randn(out, rank, generator=generator) * fall
    tensors = {"m.lora_up.weight": up, "m.lora_down.weight": torch.randn(rank, inner, generator=generator)}
    found = read({key: tensor.half().to(device) for key, tensor in tensors.items()})
    return found.modules["m"].parameters["weight"]


def by_factors(strategy: Strategy, rank: int, device: torch.device) -> tuple[Tensor, Tensor]:
    result = limited(strategy, Limit(rank=rank), device)
    assert result is not None
    return result.factors[0]


def several(strategy: Strategy, rank: int, device: torch.device, count: int) -> None:
    """As the pack does a file's modules."""
    for _ in in_streams(lambda _: by_factors(strategy, rank, device), range(count), device):
        pass


def by_full_matrix(strategy: Strategy, rank: int, device: torch.device) -> tuple[Tensor, Tensor]:
    matrix = strategy.matrix(device)
    assert matrix is not None
    u, s, vt = torch.linalg.svd(matrix.dense().float(), full_matrices=False)
    return u[:, :rank] * s[:rank], vt[:rank]


def seconds(run: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rank", type=int, default=128)
    parser.add_argument("--to", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    device = torch.device(options.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{name}; torch {torch.__version__}; rank {options.rank} to {options.to}; the best of {options.repeats}")
    print(f"{'shape':>14} {'modules':>8} {'factors':>10} {'full':>10} {'ratio':>7} {'difference':>11}")
    sums = [0.0, 0.0]
    for (out, inner), count in SHAPES.items():
        strategy = module(out, inner, options.rank, device)
        ways = [
            lambda s=strategy: by_factors(s, options.to, device),
            lambda s=strategy: by_full_matrix(s, options.to, device),
        ]
        ways[0]()  # Libraries load at the first call.
        at_once = TOGETHER if device.type == "cuda" else 1
        times = [
            [seconds(lambda s=strategy, n=at_once: several(s, options.to, device, n), device), seconds(ways[1], device)]
            for _ in range(options.repeats)
        ]
        ours, theirs = (min(column) for column in zip(*times, strict=True))
        ours /= at_once
        (up, down), (full_up, full_down) = (way() for way in ways)
        wanted = full_up.double() @ full_down.double()
        error = float((up.double() @ down.double() - wanted).norm() / wanted.norm())
        row = f"{out:>7}×{inner:<6} {count:>8} {ours * 1e3:>8.1f}ms {theirs * 1e3:>8.1f}ms"
        print(f"{row} {theirs / ours:>7.1f} {error:>11.1e}", flush=True)
        sums = [sums[0] + count * ours, sums[1] + count * theirs]
    print(f"{'whole file':>14} {sum(SHAPES.values()):>8} {sums[0]:>9.1f}s {sums[1]:>9.1f}s {sums[1] / sums[0]:>7.1f}")


if __name__ == "__main__":
    main()
