"""Where things lie in the repository and under ``.dev/``."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TOOLS = REPOSITORY / "tools"
DEV = REPOSITORY / ".dev"
DOWNLOADS = DEV / "downloads"
DEMO = DEV / "demo"
DEMO_ASSETS = DEMO / "assets"
DEMO_BASE = DEMO / "base"
LOG = DEV / "setup.log"
DEMO_FILES = TOOLS / "demofiles"
REQUIREMENTS = TOOLS / "requirements-dev.txt"
INERT_MODULES = TOOLS / "devhost" / "standins" / "inert_modules.py"


def host_folder(version: str) -> Path:
    return DEV / "hosts" / version


def venv_python(venv: Path) -> Path:
    """The interpreter of a virtual environment on this system."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
