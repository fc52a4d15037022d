"""What rank limits left of files, kept on disk: a second start of the host computes nothing again.

One safetensors file per content and limit in the pack's folder of the user directory. Its header lists every module
that was looked at, with the figures for the report; its tensors are the factors, mapped when they are used. The folder
is bounded, the least recently used go first, and nothing in it is needed: what cannot be read is computed again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..library.atomic import remove_left_overs
from ..library.roots import index_folder
from ..strategies import Limited

logger = logging.getLogger("lora_deck")

KEPT_BYTES = 4 << 30
"""Of all files together; SDXL at rank 32 takes 0.3 GB."""
_METHOD = 1
"""Counts up when the same limit would leave something else."""

Modules = Mapping[tuple[str, str], Limited | None]
"""(module, parameter) → what is left, `None` where the limit cuts nothing."""


def cache_folder() -> Path:
    """Where the files lie."""
    return index_folder() / "ranks"


def cache_key(content: str, limit: str) -> str:
    """Name of a file. `content`: the same for the same content; `limit`: the same for the same limit."""
    return hashlib.sha256(f"{_METHOD}\n{content}\n{limit}".encode()).hexdigest()[:40]


def load(key: str) -> dict[tuple[str, str], Limited | None]:
    """What is kept under a key; empty where nothing is, or where it cannot be read."""
    path = cache_folder() / f"{key}.safetensors"
    found: dict[tuple[str, str], Limited | None] = {}
    try:
        with safe_open(path, framework="pt") as file:
            for index, (module, parameter, figures) in enumerate(json.loads(file.metadata()["modules"])):
                if figures is None:
                    found[module, parameter] = None
                    continue
                *numbers, parts = figures
                factors = tuple((file.get_tensor(f"{index}.{p}.up"), file.get_tensor(f"{index}.{p}.down"))
                                for p in range(parts))  # fmt: skip
                found[module, parameter] = Limited(factors, *numbers)
        os.utime(path)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        if path.exists():
            logger.warning("%s cannot be read (%s); its rank limit is computed again.", path, error)
        return {}
    return found


def save(key: str, modules: Modules) -> None:
    """Writes what a limit left, in place of what was kept under the key, and makes room.

    Raises:
        OSError: it cannot be written; nothing was changed.
    """
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    remove_left_overs(folder)
    tensors, listed = {}, []
    for index, ((module, parameter), limited) in enumerate(modules.items()):
        figures: list[Any] | None = None
        if limited is not None:
            for part, (up, down) in enumerate(limited.factors):
                tensors[f"{index}.{part}.up"], tensors[f"{index}.{part}.down"] = up, down
            figures = [limited.rank_before, limited.rank, limited.energy_before, limited.share, len(limited.factors)]
        listed.append((module, parameter, figures))
    temporary = folder / f".lora-deck-{secrets.token_hex(8)}.tmp"
    try:
        save_file(tensors, temporary, {"modules": json.dumps(listed)})
        temporary.replace(folder / f"{key}.safetensors")
    except SafetensorError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(str(error)) from error
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _make_room(folder, key)


def _make_room(folder: Path, newest: str) -> None:
    files = sorted(((path.stat(), path) for path in folder.glob("*.safetensors")), key=lambda f: f[0].st_mtime_ns)
    total = sum(stat.st_size for stat, _ in files)
    for stat, path in files:
        if total <= KEPT_BYTES or path.stem == newest:
            continue
        try:
            path.unlink()
            total -= stat.st_size
        except OSError as error:
            logger.info("%s stays for now (%s).", path, error)  # Windows keeps what is mapped.
