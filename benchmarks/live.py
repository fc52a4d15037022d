#!/usr/bin/env python3
"""What LoRAs in the forward pass cost: a model's steps with them against its own, and layers alone.

    python benchmarks/live.py                                        # small, on the CPU
    python benchmarks/live.py --mode default --model sdxl            # NVIDIA; `legacy` for its other memory mode
    python benchmarks/live.py --mode default --model sdxl --size 128 --parts steps

`steps`: the host's sampler (euler, both halves of the guidance in one batch) over a model with random weights, LoRAs on
every layer that trainers choose. Each turn has another strength. The *first* call of the model after a strength has
changed stands against the later ones, and the whole way from the stack to the end of that call against the same way
where nothing has changed, and where the weights are patched. `layers`: Flux' linear layers at 4,608 tokens (a share of
its blocks, to fit), and small ones where a device waits for Python: as many as in SDXL with an input each, and with the
inputs that SDXL gives them (q, k and v of one, k and v of all blocks of the context); nothing but layers. Medians of
several runs; `--width 8 --threads 1` leaves little but Python.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).resolve().parent / "speed"))
FLUX = ((3072, 9216), (3072, 3072), (3072, 12288), (12288, 3072), (3072, 21504), (15360, 3072))
"""(in, out) of the linear layers of a double and a single block."""
CONTEXT = 2048
"""Channels of SDXL's context, where 640 is a width of its layers."""
SMALL_LAYERS = 722
SMALL_BLOCKS = 70
STEPS = 6


@dataclass(frozen=True)
class Given:
    """A linear layer, and which input it is given."""

    name: str
    inner: int
    out: int
    source: str


def flux(blocks: int) -> list[Given]:
    """Flux' layers with an input each."""
    return [
        Given(f"{block}.{number}", *shape, f"{block}.{number}")
        for block in range(blocks)
        for number, shape in enumerate(FLUX)
    ]


def small(width: int) -> list[Given]:
    """As many layers as SDXL has, with an input each."""
    return [Given(f"all.{number}", width, width, str(number)) for number in range(SMALL_LAYERS)]


def small_blocks(width: int) -> list[Given]:
    """SDXL's layers by their inputs, of one width."""
    layers = []
    for block in range(SMALL_BLOCKS):
        for attention, source in (("attn1", f"{block}.attn1"), ("attn2", "context")):
            inner = width if attention == "attn1" else CONTEXT * width // 640
            layers += [
                Given(f"{block}.{attention}.to_q", width, width, f"{block}.{attention}"),
                Given(f"{block}.{attention}.to_k", inner, width, source),
                Given(f"{block}.{attention}.to_v", inner, width, source),
                Given(f"{block}.{attention}.to_out.0", width, width, f"{block}.{attention}.out"),
            ]
        layers.append(Given(f"{block}.ff.0", width, 8 * width, f"{block}.ff.0"))
        layers.append(Given(f"{block}.ff.2", 4 * width, width, f"{block}.ff.2"))
    rest = range(SMALL_LAYERS - len(layers))
    return [*layers, *(Given(f"proj.{number}", width, width, f"proj.{number}") for number in rest)]


def now() -> float:
    """Seconds, when the device has done what it was given."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def measure(run: Callable[[], Any], times: int = 7) -> float:
    """Median seconds of a run."""
    seconds = []
    for _ in range(times):
        start = now()
        run()
        seconds.append(now() - start)
    return statistics.median(seconds[1:])


class Layers:
    """Layers with LoRAs beside them."""

    def __init__(self, given: list[Given], tokens: int, device: Any, options: argparse.Namespace) -> None:
        import torch
        from lora_deck.patching.live.bound import bind
        from lora_deck.patching.live.factors import Factors
        from lora_deck.patching.live.parts import Step
        from lora_deck.strategies.forms import Pair

        self.count = options.loras
        dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
        torch.manual_seed(1)
        self.root = torch.nn.Module()
        numbers = {layer.inner: torch.randn(2, tokens // 2, layer.inner, device=device, dtype=dtype) for layer in given}
        # Different objects over the same numbers, or the inputs would not fit.
        inputs = {(layer.source, layer.inner): numbers[layer.inner].view(2, -1, layer.inner) for layer in given}
        self.calls = []
        layers = {}
        for layer in given:
            *path, own = layer.name.split(".")
            parent = self.root
            for part in path:
                if not hasattr(parent, part):
                    parent.add_module(part, torch.nn.Module())
                parent = getattr(parent, part)
            module = torch.nn.Linear(layer.inner, layer.out, device=device, dtype=dtype).requires_grad_(False)
            parent.add_module(own, module)
            self.calls.append((module, inputs[layer.source, layer.inner]))
            layers[layer.name] = tuple(
                Step(entry, Pair(torch.randn(layer.out, rank) * 0.01, torch.randn(rank, layer.inner) * 0.01), None)
                for entry, rank in enumerate([options.rank] * self.count)
            )
        self.factors = Factors(layers, dtype, object()).to(device)
        self.bound = bind(self.factors, self.root, device)

    def bare(self) -> None:
        """One pass through all layers."""
        import torch

        with torch.inference_mode():
            for layer, x in self.calls:
                layer(x)

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
        bare = measure(self.bare)
        same = measure(lambda: self.live(0.5))
        weights = iter(range(1, 1000))
        moving = measure(lambda: self.live(next(weights) / 100))
        rows = measure(lambda: self.live(0.5, 0.25))
        each = (same - bare) / len(self.calls) * 1e6
        return [
            f"{name}: {bare * 1000:.1f} ms without LoRAs",
            f"  constant weight          x{same / bare:.2f}  (+{(same - bare) * 1000:.1f} ms, {each:.1f} µs a layer)",
            f"  another weight each time x{moving / bare:.2f}  ({moving / same:.2f} of a constant one)",
            f"  a weight for each row    x{rows / bare:.2f}  ({rows / same:.2f} of one for all)",
        ]


class Steps:
    """A model and its LoRAs, sampled."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        import folder_paths
        import torch
        from models import SHAPES, build, targets, write_loras

        folder_paths.folder_names_and_paths["loras"] = ([str(folder)], {".safetensors"})
        folder_paths.set_user_directory(str(folder / "user"))
        dtype = getattr(torch, options.dtype)
        self.base = build(options.model, dtype)
        modules = targets(options.model, self.base.model)
        self.names = write_loras(folder, modules, options.loras, options.rank, dtype)
        self.modules = len(modules)
        self.shape = SHAPES[options.model]
        batch, channels, *_ = self.shape.latent
        self.latent = torch.zeros(batch, channels, options.size, options.size)

    def applied(self, method: str, strength: float, schedule: str = "") -> Any:
        """The stack on the model, from the prompt's text on; all strengths are the same."""
        from lora_deck.patching import apply_stack
        from lora_deck.stack.tag import parse_prompt

        text = "".join(f"<lora:{name}:{schedule or format(strength, '.6g')}>" for name in self.names)
        return apply_stack(self.base, None, parse_prompt(text).stack, method=method).model

    def run(self, make: Callable[[], Any]) -> tuple[float, list[float]]:
        """(seconds until the first call of the model is done, seconds of every call)."""
        import comfy.sample
        import torch
        from comfy.patcher_extension import WrappersMP

        calls: list[float] = []
        done: list[float] = []

        def timed(executor: Any, *args: Any, **kwargs: Any) -> Any:
            start = now()
            result = executor(*args, **kwargs)
            done.append(now())
            calls.append(done[-1] - start)
            return result

        started = now()
        with torch.inference_mode():
            model = make().clone()
            wrappers = model.wrappers.setdefault(WrappersMP.APPLY_MODEL, {})
            model.wrappers[WrappersMP.APPLY_MODEL] = {"timed": [timed], **wrappers}
            comfy.sample.sample(
                model, torch.randn(self.latent.shape), STEPS, 5.0, "euler", "normal", *self._conditions(), self.latent,
                disable_pbar=True, seed=1,
            )  # fmt: skip
        return done[0] - started, calls

    def _conditions(self) -> tuple[Any, Any]:
        import torch

        def made(seed: int) -> list[Any]:
            generator = torch.Generator().manual_seed(seed)
            pooled = None if self.shape.pooled is None else torch.randn(1, 1280, generator=generator)
            return [[torch.randn(1, *self.shape.context, generator=generator), {"pooled_output": pooled}]]

        return made(1), made(2)

    def lines(self, turns: int) -> list[str]:
        """Ratios to the model without LoRAs, and of a first call to the later ones."""
        moving = ",".join(f"{i / STEPS:g}@{i}" for i in range(1, STEPS))
        ways: dict[str, Callable[[float], Any]] = {
            "plain": lambda _: self.base,
            "unchanged": lambda _: self.applied("live", 0.8),
            "changed": lambda turn: self.applied("live", 0.3 + turn / 100),
            "again": lambda turn: self.applied("live", 0.3 + turn / 100),
            "moving": lambda _: self.applied("live", 0.8, moving),
            "patched": lambda turn: self.applied("patch", 0.3 + turn / 100),
        }
        whole: dict[str, list[float]] = {way: [] for way in ways}
        first: dict[str, list[float]] = {way: [] for way in ways}
        later: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(turns + 1):
            for way, make in ways.items():
                seconds, calls = self.run(lambda make=make, turn=turn: make(turn))
                if turn:
                    whole[way].append(seconds)
                    first[way].append(calls[0])
                    later[way].append(statistics.median(calls[1:]))

        def ms(values: list[float]) -> float:
            return statistics.median(values) * 1000

        step, plain, moved = ms(later["changed"]), ms(later["plain"]), ms(later["moving"])
        changed, again = ms(first["changed"]), ms(first["again"]) / ms(later["again"])
        return [
            f"{self.modules} layers of a model, {plain:.1f} ms a step without LoRAs",
            f"  live                     x{step / plain:.2f}  (+{step - plain:.1f} ms a step)",
            f"  live, moving weights     x{moved / plain:.2f}  (+{moved - plain:.1f} ms a step)",
            f"  patched                  x{ms(later['patched']) / plain:.2f}",
            f"  first call after a strength change: {changed:.1f} ms, {changed / step:.2f} of a later one",
            f"    (unchanged {again:.2f}, without LoRAs {ms(first['plain']) / plain:.2f})",
            "  from the stack to the end of the first call, ms: "
            + ", ".join(f"{name} {ms(whole[way]):.0f}" for name, way in (
                ("live changed", "changed"), ("unchanged", "again"), ("without LoRAs", "plain"), ("patched", "patched")
            )),
        ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", type=Path, default=REPOSITORY / ".dev/hosts/0.30.0/ComfyUI")
    parser.add_argument("--mode", default="cpu", help="of the host's memory: cpu, default, legacy")
    parser.add_argument("--parts", default="steps,layers", help="of steps, layers, small (the small layers alone)")
    parser.add_argument("--model", default="thin", help="sd15, sdxl, or thin (SDXL's names, small weights)")
    parser.add_argument("--dtype", default="float16")
    parser.add_argument("--size", type=int, help="side of the latent; the model's own if not said")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--loras", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=4608)
    parser.add_argument("--width", type=int, default=640, help="of the small layers")
    parser.add_argument("--threads", type=int, help="of the CPU")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    from host import load_pack, start

    memory = start(options.host.resolve(), options.mode)
    import comfy.model_management
    from models import SHAPES

    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    load_pack()
    options.size = options.size or SHAPES[options.model].latent[-1]
    device = comfy.model_management.get_torch_device()
    print(f"{options.loras} LoRAs of rank {options.rank}, {memory}, {device}", flush=True)
    if "steps" in options.parts:
        with tempfile.TemporaryDirectory(prefix="lora_deck_live_") as folder:
            print("\n".join(Steps(options, Path(folder)).lines(options.turns)), flush=True)
    if "layers" in options.parts:
        repeats = 1 if device.type == "cpu" else 10
        tokens = options.tokens if device.type != "cpu" else min(options.tokens, 1024)
        print("\n".join(Layers(flux(repeats), tokens, device, options).lines("Flux' layers")), flush=True)
    if "layers" in options.parts or "small" in options.parts:
        alone = f"{SMALL_LAYERS} small layers"
        for given, name in ((small, alone), (small_blocks, f"{alone} with SDXL's inputs")):
            print("\n".join(Layers(given(options.width), 64, device, options).lines(name)), flush=True)


if __name__ == "__main__":
    main()
