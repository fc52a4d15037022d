"""Steps of a set-up: said aloud, logged, done once, and repaired when interrupted."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .failure import SetupError
from .layout import DEV, LOG

# pip's lines worth showing; everything goes to the log.
_PIP_SHOWN = ("Downloading", "Building", "Installing collected", "ERROR")


def say(text: str) -> None:
    print(text, flush=True)


def digest(*parts: str | Path) -> str:
    """A hash over texts and the contents of files."""
    total = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part.encode()
        total.update(len(data).to_bytes(8, "big"))
        total.update(data)
    return total.hexdigest()


class Stamp:
    """A file that says with which inputs a step was finished; removed before the step, written after it."""

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self.key = key

    def is_current(self) -> bool:
        return self.path.is_file() and self.path.read_text() == self.key

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Runs the body as the step ``title`` and stamps it if the body does not raise."""
        self.path.unlink(missing_ok=True)
        say(f"== {title}")
        started = time.monotonic()
        yield
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(self.path.name + ".part")
        partial.write_text(self.key)
        partial.replace(self.path)
        say(f"   done in {time.monotonic() - started:.0f} s")


def run(command: Sequence[str | Path], *, shown: Sequence[str] = (), env: Mapping[str, str] | None = None) -> None:
    """Runs a command, logs all of its output and prints the lines that start with one of ``shown``.

    Raises ``SetupError`` with the end of the output if the command fails.
    """
    words = [str(word) for word in command]
    tail: list[str] = []
    DEV.mkdir(parents=True, exist_ok=True)
    with LOG.open("a", encoding="utf-8") as log:
        log.write(f"$ {shlex.join(words)}\n")
        with subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=None if env is None else {**os.environ, **env},
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                log.write(line)
                tail = [*tail[-14:], line.rstrip()]
                if line.strip().startswith(tuple(shown)):
                    say("   " + _shortened(line.strip()))
    if process.returncode:
        raise SetupError(
            f"`{shlex.join(words)}` ended with status {process.returncode}. The end of its output:\n  "
            + "\n  ".join(tail)
            + f"\nThe whole output is in {LOG}. Running the command again goes on from here."
        )


def pip(python: Path, *arguments: str | Path, torch: str) -> None:
    """``pip install`` in the environment of ``python`` with torch held at the version ``torch``."""
    DEV.mkdir(parents=True, exist_ok=True)
    constraint = DEV / f"constraint-torch-{torch}.txt"
    constraint.write_text(f"torch=={torch}\n")
    run(
        [
            python,
            "-m",
            "pip",
            "install",
            "--progress-bar",
            "off",
            "--disable-pip-version-check",
            "--no-warn-script-location",
            "--constraint",
            constraint,
            *arguments,
        ],
        shown=_PIP_SHOWN,
    )


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Lets one set-up at a time work on ``.dev/``; the system drops the lock if the process dies."""
    DEV.mkdir(parents=True, exist_ok=True)
    with (DEV / "lock").open("a+b") as handle:
        if not _try_lock(handle.fileno()):
            say("waiting for another set-up in this folder to end")
            while not _try_lock(handle.fileno()):
                time.sleep(0.5)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            os.lseek(descriptor, 0, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _shortened(line: str) -> str:
    return line if len(line) <= 110 else line[:107] + "..."
