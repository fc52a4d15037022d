"""A later front end than the host's own: `next_frontend.txt` pins which."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from .harness import REPOSITORY

PIN = Path(__file__).with_suffix(".txt")


def front_end() -> Path:
    """The static folder of the pinned front end, fetched once."""
    folder = REPOSITORY / ".dev" / "frontends" / PIN.read_text(encoding="utf-8").strip()
    static = folder / "comfyui_frontend_package" / "static"
    if not (static / "index.html").exists():
        fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*fetch, "--dest", folder, "--requirement", PIN], check=True)
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        wheel.unlink()
    return static
