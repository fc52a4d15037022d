"""The Python environment a host runs in: its own for a host set up here, an overlay for an existing one."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .failure import SetupError
from .layout import DEV, INERT_MODULES, REQUIREMENTS, host_folder, venv_python
from .sources import ensure_source
from .steps import Stamp, digest, pip, run, say
from .versions import TORCH, TORCH_FAMILY, release

# Another index for torch, for example PyTorch's own CPU wheels; without it pip's usual sources are asked.
TORCH_INDEX = "LORA_DECK_TORCH_INDEX"


@dataclass(frozen=True)
class Host:
    """A host that can be started: the folder of its ``main.py`` and the interpreter that has its packages."""

    folder: Path
    python: Path


def ensure_host(version: str) -> Host:
    """The host ``version`` with its environment and the test tools under ``.dev/hosts/``."""
    wanted = release(version)
    source = ensure_source(wanted)
    home = host_folder(version)
    python = venv_python(home / "venv")
    fresh = _ensure_venv(home / "venv")

    torch = Stamp(home / "torch.stamp", TORCH)
    if fresh or not torch.is_current():
        with torch.step(f"torch {TORCH} ({'for this GPU' if _has_nvidia() else 'for the CPU'})"):
            _install_torch(python)
    needs = Stamp(home / "requirements.stamp", digest(TORCH, _host_requirements(source)))
    if fresh or not needs.is_current():
        with needs.step(f"ComfyUI {version}: requirements"):
            listed = home / "requirements.txt"
            listed.write_text(_host_requirements(source))
            pip(python, "-r", listed, torch=TORCH)
    tools = Stamp(home / "tools.stamp", digest(TORCH, REQUIREMENTS))
    if fresh or not tools.is_current():
        with tools.step("test tools"):
            pip(python, "-r", REQUIREMENTS, torch=TORCH)
    standins = Stamp(home / "standins.stamp", digest(needs.key, tools.key, INERT_MODULES))
    if fresh or not standins.is_current():
        with standins.step("torchvision and torchaudio"):
            _stand_in(python)
    return Host(source, python)


def existing_host(folder: Path) -> Host:
    """The installation in ``folder`` with the test tools in an overlay.

    Nothing is written into the installation or its environment.
    """
    folder = folder.expanduser().resolve()
    if not (folder / "main.py").is_file():
        raise SetupError(f"COMFYUI_PATH is {folder}, which has no main.py. Name ComfyUI's own folder.")
    base = _python_of(folder)
    home = DEV / "existing" / hashlib.sha256(f"{folder}\0{base}".encode()).hexdigest()[:12]
    say(f"using ComfyUI in {folder} with {base}; the test tools go to {home}, nothing into ComfyUI's own")
    if not _imports(base, "torch"):
        raise SetupError(
            f"{base} has no working torch, so ComfyUI in {folder} does not run with it. If ComfyUI has a Python of its "
            "own elsewhere, start tools/dev.py with that one."
        )
    torch = _ask(base, "import importlib.metadata as m; print(m.version('torch'))")
    fresh = _ensure_venv(home / "venv", base)
    python = venv_python(home / "venv")
    # Through `site`, so that the installation's own .pth files count too.
    lines = [f"import site; site.addsitedir({str(folder)!r})\n" for folder in _site_folders(base)]
    (_site_packages(python) / "host.pth").write_text("".join(lines))
    tools = Stamp(home / "tools.stamp", digest(torch, REQUIREMENTS))
    if fresh or not tools.is_current():
        with tools.step("test tools"):
            pip(python, "-r", REQUIREMENTS, torch=torch)
    return Host(folder, python)


def _ensure_venv(venv: Path, base: Path | None = None) -> bool:
    """Makes the environment anew if it is missing or its interpreter is gone; says whether it did."""
    stamp = Stamp(venv.with_name(venv.name + ".stamp"), str(base or ""))
    if stamp.is_current() and _runs(venv_python(venv)):
        return False
    with stamp.step(f"virtual environment {venv}"):
        shutil.rmtree(venv, ignore_errors=True)
        run([base or sys.executable, "-m", "venv", venv])
    return True


def _runs(python: Path) -> bool:
    return python.exists() and _imports(python, "pip")


def _imports(python: Path, name: str) -> bool:
    return subprocess.run([python, "-c", f"import {name}"], capture_output=True).returncode == 0


def _install_torch(python: Path) -> None:
    index = os.environ.get(TORCH_INDEX)
    if index:
        pip(python, f"torch=={TORCH}", "--index-url", index, torch=TORCH)
        return
    if not _has_nvidia() and sys.platform == "linux":
        say(f"   no GPU here; if pip takes a build of several GB, set {TORCH_INDEX} to an index of CPU builds")
    pip(python, f"torch=={TORCH}", torch=TORCH)


def _has_nvidia() -> bool:
    return shutil.which("nvidia-smi") is not None


def _host_requirements(source: Path) -> str:
    """The host's own list without torch and its family."""
    lines = (source / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if _project(line) not in TORCH_FAMILY) + "\n"


def _project(requirement: str) -> str:
    found = re.match(r"\s*([A-Za-z0-9._-]*)", requirement)
    return found.group(1).lower() if found else ""


def _stand_in(python: Path) -> None:
    """Replaces torchvision and torchaudio by inert import stand-ins where they do not import.

    Their compiled parts need the torch build they were made for, which a CPU build on Linux is not. The host
    imports both at module level; nothing of them lies on the way from a checkpoint to a picture.
    """
    site = _site_packages(python)
    (site / "standins.pth").unlink(missing_ok=True)
    used = []
    for name in ("torchvision", "torchaudio"):
        if not _imports(python, name):
            # Its metadata has to go too: other packages look there to decide whether to use it.
            run([python, "-m", "pip", "uninstall", "--yes", name])
            used.append(name)
    for name in used:
        say(f"   {name} does not import beside this torch: an inert stand-in is used")
    if used:
        names = ", ".join(map(repr, used))
        # A copy, not a path to ours: this checkout may move while the environment stays.
        shutil.copyfile(INERT_MODULES, site / INERT_MODULES.name)
        (site / "standins.pth").write_text(f"import inert_modules; inert_modules.install({names})\n")


def _python_of(folder: Path) -> Path:
    candidates = [
        venv_python(folder / "venv"),
        venv_python(folder / ".venv"),
        folder.parent / "python_embeded" / "python.exe",
    ]
    return next((python for python in candidates if python.exists()), Path(sys.executable))


def _site_packages(python: Path) -> Path:
    return Path(_ask(python, "import sysconfig; print(sysconfig.get_path('purelib'))"))


def _site_folders(python: Path) -> list[Path]:
    listing = _ask(python, "import site; print('\\n'.join(site.getsitepackages()))")
    return [Path(line) for line in listing.splitlines()]


def _ask(python: Path, code: str) -> str:
    answer = subprocess.run([python, "-c", code], capture_output=True, text=True)
    if answer.returncode:
        raise SetupError(f"{python} could not run `{code}`:\n{answer.stderr.strip()}")
    return answer.stdout.strip()
