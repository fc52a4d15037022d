"""A stack against the host's own chain of `LoraLoader`s: `python tools/dev.py bench speed --help`.

Each memory mode runs in a process of its own, which starts the host as the host's `main.py` does. In it both ways run
in turns (chain, pack, floor, chain, …) over the same files, with another strength at each turn; medians are printed.
The *floor* is what the host's own reload of the same weights costs; own cost = whole − floor. It fails where the pack's
numbers are further from fp64 than the chain's.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from host import MODES, REPOSITORY, load_pack, lora_loader, start

HOST = REPOSITORY / ".dev/hosts/0.30.0/ComfyUI"
TOLERANCE = 1e-3
"""By which an error may be larger that comes from rounding alone."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", type=Path, default=HOST, help="folder of the host's main.py")
    parser.add_argument("--modes", default="cpu", help=f"of {', '.join(MODES)}; separated by commas")
    parser.add_argument("--model", default="thin", help="sd15, sdxl, flux, or thin (SDXL's names, small weights)")
    parser.add_argument("--dtype", default="float16")
    parser.add_argument("--cases", default="8x16", help="N x rank, or mixed; separated by commas")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--first-turns", type=int, default=1, help="turns in which nothing is known before; 0 for none")
    parser.add_argument("--forward", action="store_true", help="forwards on the CPU too; a device always has them")
    parser.add_argument("--check", action="store_true", help="check what must hold on the device, measure nothing")
    parser.add_argument("--out", type=Path, help="file to which each case is added as a line of JSON")
    parser.add_argument("--in-process", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.in_process:
        print(f"\n## {args.model} {args.dtype}, {args.in_process}", flush=True)
        sys.exit(not run(args, args.in_process))
    failed = False
    for mode in args.modes.split(","):
        command = [sys.executable, __file__.removesuffix("/__main__.py"), *sys.argv[1:], "--in-process", mode]
        failed |= subprocess.run(command, check=False).returncode != 0
    sys.exit(failed)


def run(args: argparse.Namespace, mode: str) -> bool:
    """All cases of one mode, in this process; whether all checks held."""
    failed: list[str] = []
    memory_mode = start(args.host.resolve(), mode)
    import folder_paths
    import torch
    from measure import Bench
    from models import build, targets, write_loras, write_mixed

    with tempfile.TemporaryDirectory(prefix="lora_deck_speed_") as temporary:
        folder = Path(temporary)
        folder_paths.folder_names_and_paths["loras"] = ([str(folder)], {".safetensors"})
        folder_paths.set_user_directory(str(folder / "user"))
        load_pack()
        device = torch.cuda.get_device_name() if mode != "cpu" else platform.machine()
        print(f"{memory_mode}; {device}; {torch.get_num_threads()} threads; torch {torch.__version__}")
        dtype = getattr(torch, args.dtype)
        base = build(args.model, dtype)
        modules = targets(args.model, base.model)
        forward = _forward(args.model, dtype, base) if args.forward or mode != "cpu" else None
        print(f"{len(modules)} modules", flush=True)
        for case in args.cases.split(","):
            if case == "mixed":
                names = write_mixed(folder, modules, 16, dtype)
            else:
                count, rank = map(int, case.split("x"))
                names = write_loras(folder, modules, count, rank, dtype)
            folder_paths.filename_list_cache.pop("loras", None)
            bench = Bench(base, lora_loader(args.host), names, forward)
            if args.check:
                failed += _check(bench, folder)
                continue
            try:
                figures = _case(args, case, bench, folder)
            except Exception:  # noqa: BLE001
                # One case of many; the others' figures are worth having.
                traceback.print_exc()
                failed.append(case)
                continue
            error = figures.get("error")
            if error and not error["ours"] <= error["chain"] * (1 + TOLERANCE):
                print(f"FAIL {case}: the pack's error is above the chain's")
                failed.append(case)
            if args.out:
                about = {
                    "model": args.model,
                    "dtype": args.dtype,
                    "mode": mode,
                    "memory": memory_mode,
                    "device": device,
                }
                with args.out.open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps({**about, **figures}) + "\n")
            for name in names:
                (folder / f"{name}.safetensors").unlink()
    return not failed


def _check(bench: Any, folder: Path) -> list[str]:
    import report
    from check import check
    from measure import strengths_of

    bench.keys = sorted(bench.ours(strengths_of(len(bench.names), 0)).patches)
    files = [folder / f"{name}.safetensors" for name in bench.names]
    return check(bench, files, report.sample(bench, files[0]))


def _case(args: argparse.Namespace, case: str, bench: Any, folder: Path) -> dict[str, Any]:
    import report
    import torch
    from accuracy import errors
    from lora_deck.library import resolve
    from measure import bare, interleaved, strengths_of, watched

    for name in bench.names:
        # The server's library knows its files before anything is queued.
        resolve(name)
    bench.keys = sorted(bench.ours(strengths_of(len(bench.names), 0)).patches)
    found: dict[str, Any] = {"case": case, "keys": len(bench.keys)}
    for way in ("floor", "chain", "ours"):
        bench.run(getattr(bench, way), strengths_of(len(bench.names), 80))
    if args.first_turns:
        found["first time"] = report.rows(interleaved(bench, ("chain", "ours", "floor"), args.first_turns, True, 0))
    found["a strength changed"] = report.rows(interleaved(bench, ("chain", "ours", "floor"), args.turns, False))
    found["unchanged, graph"] = report.unchanged(bench)
    if case != "mixed" and args.model != "flux":
        files = [folder / f"{name}.safetensors" for name in bench.names]
        if not torch.cuda.is_available() or args.in_process == "cpu":
            found["bare"] = bare(bench, files, report.named(bench, files[0]))
        chosen = report.sample(bench, files[0])
        strengths = [0.7, -0.45, 0.8, 0.35, 1.1, 0.6, -0.25, 0.9][: len(files)]
        found["error"] = {
            way: errors(bench, getattr(bench, way), files, chosen, strengths) for way in ("chain", "ours")
        }
    found["memory"] = {}
    for way in ("chain", "ours", "floor"):
        memory: list[Any] = []
        bench.forget()
        with watched(memory):
            bench.run(getattr(bench, way), strengths_of(len(bench.names), 90))
        found["memory"][way] = vars(memory[0])
    report.show(found)
    return found


def _forward(name: str, dtype: Any, base: Any) -> Any:
    import torch
    from models import SHAPES

    shape = SHAPES[name]
    device = base.load_device
    generator = torch.Generator().manual_seed(3)

    def noise(*size: int) -> Any:
        return torch.randn(size, generator=generator).to(device, dtype)

    latent, context = noise(*shape.latent), noise(1, *shape.context)
    extra: dict[str, Any] = {} if shape.pooled is None else {"y": noise(1, shape.pooled)}
    step = torch.tensor([0.5 if name == "flux" else 10.0], device=device)

    def forward(patcher: Any) -> None:
        patcher.model.apply_model(latent, step, c_crossattn=context, transformer_options={}, **extra)

    return forward


if __name__ == "__main__":
    main()
