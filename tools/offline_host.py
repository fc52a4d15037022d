#!/usr/bin/env python3
"""Packs the smallest host that loads and patches a model, for a machine without a network.

    python tools/offline_host.py            # → .offline/, 1 to 2 MB
    PYTHONPATH=.offline python3 benchmarks/speed --host .offline/ComfyUI …    # on that machine

Rented GPUs are often offline and have a PyTorch image with transformers, Pillow, einops and the like. What it lacks is
the host's `comfy`, without the tokenizers' files over 300 kB, and the host's own packages `comfy_aimdo` (with its
library for NVIDIA) and `comfy_kitchen` (without its kernels), `torchsde` and `trampoline`. Nodes are not loaded, so the
front end, `av` and the server are not needed; `nodes.py` comes along because the benchmark takes the host's
`LoraLoader` out of it.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
LARGEST = 300_000
"""Bytes of a file below `comfy`; what is larger are vocabularies."""
BESIDE = ("folder_paths.py", "cuda_malloc.py", "node_helpers.py", "nodes.py", "comfyui_version.py", "LICENSE")
PACKAGES = {"comfy_aimdo": 500_000, "comfy_kitchen": LARGEST, "torchsde": LARGEST, "trampoline": LARGEST}
"""Package → bytes of its largest file that is packed."""
LEFT_OUT = {"__pycache__", "tests", "aimdo_rocm.so"}


def pack(host: Path, packages: Path, folder: Path) -> int:
    """Copies the host at `host` and its packages from the site `packages`; returns the bytes copied."""
    if folder.exists():
        shutil.rmtree(folder)
    total = _copy(host / "comfy", folder / "ComfyUI" / "comfy", LARGEST)
    for name in BESIDE:
        shutil.copy2(host / name, folder / "ComfyUI" / name)
        total += (host / name).stat().st_size
    for name, largest in PACKAGES.items():
        total += _copy(packages / name, folder / name, largest)
        # comfy_aimdo and comfy_kitchen ask importlib for their own version.
        for info in packages.glob(f"{name}-*.dist-info"):
            _copy(info, folder / info.name, LARGEST)
    return total


def _copy(source: Path, target: Path, largest: int) -> int:
    total = 0
    for path in sorted(source.rglob("*")):
        inside = path.relative_to(source)
        if not path.is_file() or LEFT_OUT & set(inside.parts) or path.stat().st_size > largest:
            continue
        (target / inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target / inside)
        total += path.stat().st_size
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    installed = REPOSITORY / ".dev/hosts/0.30.0"
    parser.add_argument("--host", type=Path, default=installed / "ComfyUI", help="folder of the host's main.py")
    parser.add_argument("--python", default=str(installed / "venv/bin/python"), help="an interpreter with its packages")
    parser.add_argument("--out", type=Path, default=REPOSITORY / ".offline")
    args = parser.parse_args()
    ask = "import comfy_aimdo; print(comfy_aimdo.__path__[0])"
    site = Path(subprocess.run([args.python, "-c", ask], check=True, capture_output=True, text=True).stdout.strip())
    total = pack(args.host, site.parent, args.out)
    archive = shutil.make_archive(str(args.out), "xztar", args.out)
    size = Path(archive).stat().st_size
    sys.stdout.write(f"{args.out}: {total / 2**20:.1f} MiB; {archive}: {size / 2**20:.2f} MiB\n")


if __name__ == "__main__":
    main()
