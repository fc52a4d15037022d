"""The figures of a case as a table."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from measure import Bench, Phases, median, strengths_of

_FIELDS = ("graph", "load", "first", "second", "whole")


def rows(times: Mapping[str, Sequence[Phases]]) -> dict[str, dict[str, float]]:
    """Way → medians."""
    return {way: {field: median(phases, field) for field in _FIELDS} for way, phases in times.items()}


def unchanged(bench: Bench) -> float:
    """Seconds of the pack's graph phase where nothing changed, as after an edit of the prompt's words."""
    strengths = strengths_of(len(bench.names), 50)
    first = bench.ours(strengths)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        again = bench.ours(strengths)
        times.append(time.perf_counter() - started)
        assert again.patches_uuid == first.patches_uuid, "the host would patch its weights again"
    return sorted(times)[2]


def named(bench: Bench, file: Path) -> dict[str, str]:
    """The modules of a file → the model's keys."""
    import comfy.lora
    from safetensors import safe_open

    names = comfy.lora.model_lora_keys_unet(bench.base.model, {})
    with safe_open(file, "pt") as opened:
        modules = sorted({key.split(".")[0] for key in opened.keys()})  # noqa: SIM118
    return {module: names[module] for module in modules}


def sample(bench: Bench, file: Path) -> dict[str, str]:
    """Twelve modules of a file, evenly spaced → the model's keys."""
    modules = named(bench, file)
    return dict(list(modules.items())[:: max(1, len(modules) // 12)])


def show(found: Mapping[str, Any]) -> None:
    """Prints a case."""
    print(f"\n### {found['case']} ({found['keys']} weights)")
    for when in ("first time", "a strength changed"):
        if when not in found:
            continue
        table = found[when]
        print(f"{when:20} {'graph':>8} {'load':>8} {'first':>8} {'second':>8} {'whole':>8} {'own':>8}")
        floor = table["floor"]["whole"]
        for way, medians in table.items():
            values = "".join(f"{medians[field]:9.3f}" for field in _FIELDS)
            print(f"  {way:18}{values} {medians['whole'] - floor:8.3f}")
        chain, ours = table["chain"], table["ours"]
        own = (chain["whole"] - floor) / max(ours["whole"] - floor, 1e-9)
        graph, whole = chain["graph"] / ours["graph"], chain["whole"] / ours["whole"]
        print(f"  chain / ours       graph ×{graph:.1f}, whole ×{whole:.2f}, own ×{own:.1f}")
    steps = {way: medians["second"] for way, medians in found["a strength changed"].items()}
    if any(steps.values()):
        added = {way: steps[way] - steps["floor"] for way in ("chain", "ours")}
        print(f"each later step: floor {steps['floor']:.3f}, chain {added['chain']:+.3f}, ours {added['ours']:+.3f}")
    print(f"unchanged: graph {found['unchanged, graph'] * 1e3:.1f} ms")
    if "bare" in found:
        bare, ours = found["bare"], found["a strength changed"]["ours"]["whole"]
        print(f"bare fp32 products and casts {bare:.3f}, ours ×{ours / bare:.2f} of it")
    if "error" in found:
        print("error of the delta   " + ", ".join(f"{way} {value:.3e}" for way, value in found["error"].items()))
    for way, memory in found["memory"].items():
        print(f"peak, {way:14} " + ", ".join(f"{kind} {value / 2**20:.0f} MiB" for kind, value in memory.items()))
    sys.stdout.flush()
