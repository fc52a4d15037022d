"""The demo's files: made once, in the host's environment, and again when the code that makes them changes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .environment import Host
from .layout import DEMO, DEMO_ASSETS, DEMO_FILES, TOOLS
from .steps import Stamp, digest, run

# What each kind of file is made by; a change there makes that kind anew.
_MAKERS = {
    "checkpoints": ("weights.py", "checkpoint.py"),
    "diffusion_models": ("weights.py", "checkpoint.py", "diffusion_models.py"),
    "loras": ("weights.py", "catalogue.py", "loras.py", "canvas.py", "pictures.py"),
}


def ensure_assets(host: Host) -> Path:
    """A models folder with the demo's models and LoRA files; the tests read it, and nobody else writes to it."""
    for kind, makers in _MAKERS.items():
        stamp = Stamp(DEMO / f"{kind}.stamp", digest(*(DEMO_FILES / maker for maker in makers)))
        if stamp.is_current() and (DEMO_ASSETS / kind).is_dir():
            continue
        with stamp.step(f"demo {kind}"):
            fresh = DEMO / f"{kind}.new"
            shutil.rmtree(fresh, ignore_errors=True)
            path = os.pathsep.join((str(TOOLS), str(host.folder)))
            run([host.python, "-m", "demofiles.make", kind, fresh], env={"PYTHONPATH": path})
            shutil.rmtree(DEMO_ASSETS / kind, ignore_errors=True)
            DEMO_ASSETS.mkdir(parents=True, exist_ok=True)
            fresh.rename(DEMO_ASSETS / kind)
    return DEMO_ASSETS
