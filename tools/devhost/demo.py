"""The verb ``demo``: ComfyUI with the pack, the demo's files and an example to run."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

from .environment import Host
from .failure import SetupError
from .layout import DEMO_BASE, REPOSITORY
from .links import link_file, link_folder
from .steps import say

PACK = "comfyui-lora-deck"

# Without the first the front end opens its own tour over everything; the rest keeps the page quiet.
SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Notification.ShowVersionUpdates": False,
}

START_SECONDS = 180


def run_demo(host: Host, assets: Path, first_port: int) -> int:
    """Starts the host on the demo's base directory and stays with it until it ends."""
    _prepare_base(assets)
    port = _free_port(first_port)
    command: list[str | Path] = [
        host.python, "main.py", "--listen", "127.0.0.1", "--port", str(port), "--base-directory", DEMO_BASE,
        "--database-url", f"sqlite:///{DEMO_BASE / 'user' / 'comfyui.db'}", "--disable-api-nodes",
    ]  # fmt: skip
    if not _has_accelerator(host):
        command.append("--cpu")
    say(f"== ComfyUI on port {port}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a kill ends the host with us, as Ctrl-C does
    with subprocess.Popen(command, cwd=host.folder) as server:
        announcer = threading.Thread(target=_announce, args=(server, f"http://127.0.0.1:{port}"), daemon=True)
        announcer.start()
        try:
            return server.wait()
        except KeyboardInterrupt:
            server.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(10)
            server.kill()
            say("stopped")
            return 0


def _prepare_base(assets: Path) -> None:
    for name in ("custom_nodes", "input", "output", "user/default/workflows"):
        (DEMO_BASE / name).mkdir(parents=True, exist_ok=True)
    link_folder(REPOSITORY, DEMO_BASE / "custom_nodes" / PACK)
    for source in sorted(path for path in assets.rglob("*") if path.is_file()):
        target = DEMO_BASE / "models" / source.relative_to(assets)
        if source.relative_to(assets).parts[0] == "checkpoints":
            link_file(source, target)
        elif not target.exists():  # what was changed in the demo stays
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    settings = DEMO_BASE / "user" / "default" / "comfy.settings.json"
    if not settings.exists():
        settings.write_text(json.dumps(SETTINGS, indent=4))


def _announce(server: subprocess.Popen[bytes], address: str) -> None:
    end = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/system_stats", timeout=5):
            break
        time.sleep(0.2)
    else:
        return
    time.sleep(0.5)  # so that the line stands below the host's own
    example = _example()
    if example is None:
        say(f"\nLoRA Deck is ready: {address}   (Ctrl-C stops it)\n")
        return
    query = urllib.parse.urlencode({"template": example, "source": PACK})
    say(f"\nLoRA Deck is ready. Open {address}/?{query} and press Run.   (Ctrl-C stops it)\n")


def _example() -> str | None:
    """The first example workflow whose name the front end takes in an address."""
    names = sorted(path.stem for path in (REPOSITORY / "example_workflows").glob("*.json"))
    return next((name for name in names if re.fullmatch(r"[A-Za-z0-9_.-]+", name)), None)


def _has_accelerator(host: Host) -> bool:
    code = (
        "import sys, torch\n"
        "mps = getattr(torch.backends, 'mps', None)\n"
        "sys.exit(not (torch.cuda.is_available() or mps and mps.is_available()))"
    )
    return subprocess.run([host.python, "-c", code]).returncode == 0


def _free_port(first: int) -> int:
    for port in range(first, first + 50):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise SetupError(f"No free port between {first} and {first + 49}. Name another one with --port.")
