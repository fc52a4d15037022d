"""What a stack costs: the host's chain of `LoraLoader`s, the pack, and a reload that changes no weight, in turns."""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

Graph = Callable[[Sequence[float]], Any]
"""(a strength for each file) → a patched clone."""


@dataclass(frozen=True)
class Phases:
    """Seconds of one run."""

    graph: float
    load: float
    first: float
    """First forward."""
    second: float

    @property
    def whole(self) -> float:
        """What patching costs: nothing of a forward that finds its weights patched."""
        return self.graph + self.load + self.first - self.second


@dataclass(frozen=True)
class Memory:
    """Highest use during a run, in bytes: of the device, of anonymous memory, of pages of mapped files."""

    device: int
    anonymous: int
    mapped: int


class Bench:
    """A model, its files, and the ways of applying them. `forward`: without it only graph and load are measured."""

    def __init__(self, base: Any, loader: type[Any], names: Sequence[str], forward: Callable[[Any], None] | None):
        self.base = base
        self.names = names
        self._loader = loader
        self._forward = forward
        self._loaders = [loader() for _ in names]
        self.keys: list[str] = []
        """The model's weights that the files change."""

    def chain(self, strengths: Sequence[float]) -> Any:
        """The host's loader nodes in a row, each with its one kept file."""
        patcher = self.base
        for node, name, strength in zip(self._loaders, self.names, strengths, strict=True):
            (patcher,) = node.load_lora_model_only(patcher, f"{name}.safetensors", strength)
        return patcher

    def ours(self, strengths: Sequence[float]) -> Any:
        """The pack, from the prompt's text on."""
        from lora_deck.patching import apply_stack
        from lora_deck.stack.tag import parse_prompt

        text = "".join(f"<lora:{n}:{s:.6g}>" for n, s in zip(self.names, strengths, strict=True))
        return apply_stack(self.base, None, parse_prompt(text).stack).model

    def floor(self, strengths: Sequence[float]) -> Any:
        """The same weights marked as patched, by an adapter that returns them as they are."""
        from comfy.weight_adapter.base import WeightAdapterBase

        class Untouched(WeightAdapterBase):  # type: ignore[misc]
            name = "untouched"

            def __init__(self, loaded_keys: set[str], weights: tuple[Any]) -> None:
                self.loaded_keys = loaded_keys
                self.weights = weights

            def calculate_weight(self, weight: Any, *_: Any, **__: Any) -> Any:
                return weight

        # The host pins the tensors of a patch, and fails where a patch has none at all.
        something = torch.zeros(1)
        clone = self.base.clone()
        clone.add_patches({key: Untouched(set(), (something,)) for key in self.keys})
        return clone

    def forget(self) -> None:
        """Both sides as after a start: no file read, nothing matched."""
        from lora_deck.patching import keymap, mapped, match, open, patches
        from lora_deck.strategies import registry

        self._loaders = [self._loader() for _ in self.names]
        for cache in (open._files, open._layouts, match._matchings, match._places_of, keymap._maps):
            cache.clear()
        for function in (mapped._table, registry.split):
            function.cache_clear()
        patches.forget()
        gc.collect()

    def run(self, graph: Graph, strengths: Sequence[float]) -> tuple[Phases, Any]:
        """One pass through all phases; the patched clone is given back so that it lives until the next."""
        import comfy.model_management as management

        # Nobody pays for garbage of the run before.
        gc.collect()
        started = _now()
        patcher = graph(strengths)
        built = _now()
        management.load_models_gpu([patcher])
        loaded = _now()
        times = [0.0, 0.0]
        if self._forward is not None:
            for i in range(2):
                before = _now()
                self._forward(patcher)
                times[i] = _now() - before
        return Phases(built - started, loaded - built, *times), patcher


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def strengths_of(count: int, turn: int) -> list[float]:
    """All 0.8 but the first, which is another one at each turn."""
    return [0.5 + 0.01 * turn] + [0.8] * (count - 1)


def interleaved(bench: Bench, ways: Sequence[str], turns: int, fresh: bool, warm: int = 1) -> dict[str, list[Phases]]:
    """A B C A B C …, each turn with another strength of the first file; the first `warm` turns do not count."""
    times: dict[str, list[Phases]] = {way: [] for way in ways}
    kept: Any = None
    for turn in range(turns + warm):
        for i, way in enumerate(ways):
            if fresh:
                bench.forget()
            strengths = strengths_of(len(bench.names), turn * len(ways) + i)
            phases, kept = bench.run(getattr(bench, way), strengths)
            if turn >= warm:
                times[way].append(phases)
    del kept
    return times


def median(phases: Sequence[Phases], field: str) -> float:
    """Median of a field of `Phases`."""
    return statistics.median(getattr(p, field) for p in phases)


def bare(bench: Bench, files: Sequence[Path], modules: Mapping[str, str]) -> float:
    """Seconds of what a CPU cannot do without: all weights to fp32, one product in fp32 each, and back.

    `modules`: name in the files → the model's key. Factors are joined and read before.
    """
    import comfy.utils
    from safetensors import safe_open

    opened = [safe_open(path, "pt") for path in files]
    seconds = 0.0
    for module, key in modules.items():
        weight = comfy.utils.get_attr(bench.base.model, key)
        factors = [[f.get_tensor(f"{module}.lora_{part}.weight").flatten(1) for f in opened] for part in ("up", "down")]
        joined = torch.cat(factors[0], 1), torch.cat(factors[1], 0)
        out = torch.empty_like(weight)
        started = time.perf_counter()
        wide = weight.detach().flatten(1).to(torch.float32)
        wide.addmm_(joined[0].to(torch.float32), joined[1].to(torch.float32))
        out.copy_(wide.view(weight.shape))
        seconds += time.perf_counter() - started
    return seconds


@contextmanager
def watched(found: list[Memory]) -> Iterator[None]:
    """Appends the highest use while the block runs, read every 5 ms."""
    done = threading.Event()
    highest = [0, 0, 0]

    def watch() -> None:
        while not done.is_set():
            _raise(highest)
            done.wait(0.005)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        found.append(Memory(*highest))


def _raise(highest: list[int]) -> None:
    device = 0
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        device = total - free
    fields = {}
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            name, _, value = line.partition(":")
            if name in ("RssAnon", "RssFile", "RssShmem"):
                fields[name] = int(value.split()[0]) * 1024
    now = (device, fields["RssAnon"] + fields["RssShmem"], fields["RssFile"])
    for i, value in enumerate(now):
        highest[i] = max(highest[i], value)


def patched_weight(patcher: Any, key: str) -> Any:
    """The weight as the last forward used it, on the CPU."""
    import comfy.utils

    module = comfy.utils.get_attr(patcher.model, key.rpartition(".")[0])
    resident = getattr(module, "_v_weight", None)
    return (resident if resident is not None else module.weight).detach().cpu().clone()
