"""The verbs ``test``, ``lint`` and ``bench``: the same commands here, in CI and in the hosted workflows."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .environment import Host
from .failure import SetupError
from .layout import DEV, REPOSITORY, TOOLS
from .links import link_folder
from .steps import say

# Rooms whose types are checked strictly, as far as they exist; the others lean on the host's untyped API.
TYPED_ROOMS = ("stack", "library", "strategies", "patching", "sharing")

BENCHMARKS = REPOSITORY / "benchmarks"


def run_tests(host: Host, assets: Path, arguments: Sequence[str]) -> int:
    """pytest in the host's environment, on all tests unless ``arguments`` name some; returns its status."""
    environment = {**os.environ, "LORA_DECK_HOST": str(host.folder), "LORA_DECK_DEMO": str(assets)}
    # Not `python -m pytest`: that puts the repository on the path, whose folder `nodes` would hide the host's module.
    start = "import sys; sys.path.remove(''); import pytest; sys.exit(pytest.main(sys.argv[1:]))"
    command: list[str | Path] = [host.python, "-c", start, *arguments]
    return subprocess.run(command, cwd=REPOSITORY, env=environment).returncode


def run_benchmark(host: Host, arguments: Sequence[str]) -> int:
    """A program of ``benchmarks/``, by its name, with what follows; returns its status."""
    name, *rest = arguments or ("",)
    found = next((place for place in (BENCHMARKS / name, BENCHMARKS / f"{name}.py") if name and place.exists()), None)
    if found is None:
        known = sorted(
            path.stem for path in BENCHMARKS.iterdir() if path.suffix == ".py" or (path / "__main__.py").exists()
        )
        raise SetupError(f"There is no benchmark {name!r}. Known are {', '.join(known)}.")
    source = found if found.is_file() else found / "__main__.py"
    if '"--host"' in source.read_text(encoding="utf-8") and "--host" not in rest:
        rest = ["--host", str(host.folder), *rest]
    return subprocess.run([host.python, found, *rest], cwd=REPOSITORY).returncode


def run_lint(host: Host) -> int:
    """ruff, mypy and the TypeScript compiler; returns the first status that is not 0, after all have run."""
    # mypy needs the pack under an importable name; a checkout's folder may be called anything.
    view = DEV / "types"
    link_folder(REPOSITORY, view / "lora_deck")
    rooms = [word for room in TYPED_ROOMS if (REPOSITORY / room).is_dir() for word in ("-p", f"lora_deck.{room}")]
    mypy: list[str | Path] = [host.python, "-m", "mypy", "--config-file", REPOSITORY / "pyproject.toml"]
    mypy += ["--cache-dir", DEV / "mypy"]
    steps: list[tuple[str, list[str | Path], Path]] = [
        ("ruff check", [host.python, "-m", "ruff", "check", "."], REPOSITORY),
        ("types of the pack", [*mypy, *rooms], view),
        ("types of the tools", [*mypy, "-p", "devhost", "-p", "demofiles", "-m", "dev"], TOOLS),
        ("types of the front end", [host.python, TOOLS / "web_types.py"], REPOSITORY),
    ]
    statuses = []
    for title, command, folder in steps:
        say(f"== {title}")
        statuses.append(subprocess.run(command, cwd=folder).returncode)
    return next((status for status in statuses if status), 0)
