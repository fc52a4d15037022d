"""A real ComfyUI with the pack in it, started for the tests and driven over HTTP."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
PACK = "comfyui-lora-deck"

# Set by `python tools/dev.py test`: the folder with ComfyUI's main.py, and the demo's models folder.
HOST_FOLDER = "LORA_DECK_HOST"
DEMO_MODELS = "LORA_DECK_DEMO"

START_SECONDS = 180

_COPIED_BYTES = 64 << 20

# What the host prints when a pack does not load; it goes on without it.
_PACK_FAILURES = ("IMPORT FAILED", "Error while calling comfy_entrypoint", "did not return a")


def environment_folder(variable: str) -> Path:
    """The folder that ``variable`` names; raises ``RuntimeError`` that says how to get it."""
    value = os.environ.get(variable)
    if not value:
        raise RuntimeError(
            f"{variable} is not set: host tests need a real ComfyUI. Run `python tools/dev.py test`, which sets one "
            'up, or leave them out with `-m "not host"`.'
        )
    return Path(value)


@dataclass(frozen=True)
class Response:
    """An HTTP answer of the host."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Result:
    """What became of one queued prompt.

    ``status`` is ``success``, ``error`` (failed while running) or ``refused`` (failed validation; never queued).
    ``outputs`` maps node ids to what they show. ``cached`` and ``executed`` name the nodes that were taken from the
    cache and those that ran. ``errors`` are the messages that a user would see, each with its node's id.
    """

    status: str
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    cached: frozenset[str] = frozenset()
    executed: frozenset[str] = frozenset()
    errors: tuple[tuple[str, str], ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.status == "success"

    @property
    def message(self) -> str:
        """All error messages as one text."""
        return "\n".join(f"{node}: {text}" for node, text in self.errors)


class HostServer:
    """Runs the host with the pack in a base directory of its own; a context manager.

    Its models folder holds copies of the demo's LoRA files, so tests may add, replace and remove files in it.
    """

    def __init__(self, base: Path, *extra_arguments: str) -> None:
        self.folder = environment_folder(HOST_FOLDER)
        self.base = base
        self.models = base / "models"
        self.loras = self.models / "loras"
        self.extra_arguments = extra_arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._log_path = base / "host.log"
        self.address = ""
        self.port = 0

    def __enter__(self) -> HostServer:
        self.prepare()
        self.start()
        return self

    def prepare(self) -> None:
        """Lays out the base directory, with the demo's models and the pack."""
        prepare_base(self.base)
        link_demo_models(self.models)
        place_pack(self.base / "custom_nodes" / PACK)
        shutil.copyfile(Path(__file__).with_name("probe.py"), self.base / "custom_nodes" / "lora_deck_probe.py")

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, port: int = 0) -> None:
        """Starts the host and waits until it answers; raises ``RuntimeError`` with the log if it does not."""
        port = port or _free_port()
        self.port = port
        self.address = f"http://127.0.0.1:{port}"
        command = [
            sys.executable, "main.py", "--port", str(port), "--base-directory", str(self.base),
            "--database-url", f"sqlite:///{self.base / 'user' / 'comfyui.db'}",
            "--cpu", "--disable-api-nodes", *self.extra_arguments,
        ]  # fmt: skip
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT)
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise RuntimeError(f"ComfyUI did not start. The end of its log:\n{self.log()[-6000:]}")
            time.sleep(0.1)
        if any(sign in self.log() for sign in _PACK_FAILURES):
            self.stop()
            raise RuntimeError(f"ComfyUI could not load the pack. Its log:\n{self.log()[-6000:]}")

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """Ends the host at once, as kill -9 does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def restart(self) -> None:
        """Stops the host and starts it in the same base directory."""
        self.stop()
        self.start()

    def log(self, since: int = 0) -> str:
        """What the host has printed, from the character ``since`` on (an earlier ``len(host.log())``)."""
        return self._log_path.read_text(encoding="utf-8", errors="replace")[since:]

    def request(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Response:
        """One HTTP exchange; ``body`` is sent as JSON, error statuses are returned like any other."""
        data = None if body is None else json.dumps(body).encode()
        given = {"Content-Type": "application/json"} if data is not None else {}
        request = urllib.request.Request(self.address + path, data, {**given, **(headers or {})}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Response(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Response(error.code, dict(error.headers), error.read())

    def get(self, path: str) -> Any:
        """The JSON at ``path``; raises ``RuntimeError`` for an error status."""
        return _checked(self.request("GET", path), path).json()

    def post(self, path: str, body: Any) -> Any:
        """Posts JSON and returns the JSON answer (``None`` if empty); raises as ``get``."""
        answer = _checked(self.request("POST", path, body), path)
        return answer.json() if answer.body else None

    def object_info(self, node: str) -> dict[str, Any]:
        """What the front end is told about a node."""
        found: dict[str, Any] = self.get(f"/object_info/{node}")
        if node not in found:
            raise RuntimeError(f"the host knows no node {node!r}")
        return dict(found[node])

    def queue(
        self, prompt: Mapping[str, Any], extra_data: Mapping[str, Any] | None = None, timeout: float = 180
    ) -> Result:
        """Runs an API-format prompt and waits for its end."""
        body = {"prompt": prompt, "extra_data": dict(extra_data or {}), "client_id": "tests"}
        answer = self.request("POST", "/prompt", body)
        if answer.status != 200:
            return _refused(answer)
        queued = answer.json()["prompt_id"]
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            entry = self.get(f"/history/{queued}").get(queued)
            if entry is not None:
                return _finished(prompt, entry)
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"ComfyUI ended while it ran a prompt. Its log:\n{self.log()[-6000:]}")
            time.sleep(0.03)
        raise TimeoutError(f"the prompt took more than {timeout} s. The host's log:\n{self.log()[-6000:]}")

    def images(self, result: Result, node: str | None = None) -> list[np.ndarray]:
        """The pictures of a result (or of one of its nodes), each ``(height, width, 3)`` uint8."""
        if not result.ok:
            raise AssertionError(f"the prompt did not run ({result.status}): {result.message}")
        shown = [result.outputs[node]] if node is not None else list(result.outputs.values())
        return [self._picture(item) for output in shown for item in output.get("images", ())]

    def run(self, prompt: Mapping[str, Any]) -> np.ndarray:
        """Runs a prompt that must succeed and shows one picture."""
        (image,) = self.images(self.queue(prompt))
        return image

    def _picture(self, item: Mapping[str, str]) -> np.ndarray:
        path = "/view?" + urllib.parse.urlencode(item)
        body = _checked(self.request("GET", path), path).body
        return np.asarray(Image.open(io.BytesIO(body)).convert("RGB"))

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return self.request("GET", "/system_stats").status == 200
        return False


def prepare_base(base: Path) -> None:
    """Makes the folders that the host expects below a base directory."""
    for name in ("custom_nodes", "input", "models/checkpoints", "models/loras", "output", "temp", "user"):
        (base / name).mkdir(parents=True, exist_ok=True)


def link_demo_models(models: Path) -> None:
    """Puts each file of the demo below ``models``: large ones as links, the rest as copies that may be changed."""
    demo = environment_folder(DEMO_MODELS)
    for source in sorted(demo.rglob("*")):
        if source.is_file():
            target = models / source.relative_to(demo)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.stat().st_size > _COPIED_BYTES:
                _link_or_copy(source, target)
            else:
                shutil.copyfile(source, target)


def place_pack(target: Path) -> None:
    """Puts the repository where the host looks for packs."""
    try:
        target.symlink_to(REPOSITORY, target_is_directory=True)
    except OSError:  # a system or user that may not make links
        shutil.copytree(REPOSITORY, target, ignore=shutil.ignore_patterns(".*"))


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.symlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _checked(answer: Response, path: str) -> Response:
    if answer.status >= 400:
        raise RuntimeError(f"{path} answered {answer.status}: {answer.body[:2000].decode(errors='replace')}")
    return answer


def _refused(answer: Response) -> Result:
    try:
        told = answer.json()
    except ValueError:
        raise RuntimeError(f"/prompt answered {answer.status}: {answer.body[:2000]!r}") from None
    errors = [
        (node, f"{error['message']}: {error['details']}" if error.get("details") else error["message"])
        for node, report in dict(told.get("node_errors") or {}).items()
        for error in report["errors"]
    ]
    if not errors:
        errors = [("", f"{told['error']['message']}: {told['error'].get('details', '')}")]
    return Result("refused", errors=tuple(errors), raw=told)


def _finished(prompt: Mapping[str, Any], entry: Mapping[str, Any]) -> Result:
    messages = [(event, data) for event, data in entry["status"]["messages"]]
    cached = frozenset(node for event, data in messages if event == "execution_cached" for node in data["nodes"])
    failures = [data for event, data in messages if event == "execution_error"]
    executed = frozenset(prompt) - cached
    if failures:
        executed &= frozenset(failures[0].get("executed", ()))
    return Result(
        status=entry["status"]["status_str"],
        outputs=entry["outputs"],
        cached=cached,
        executed=executed,
        errors=tuple((str(data["node_id"]), str(data["exception_message"])) for data in failures),
        raw=entry,
    )
