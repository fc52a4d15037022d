"""Which folders the host lists, as a value; the one place where the library asks the host."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LORAS = "loras"
MODELS = ("checkpoints", "diffusion_models")
EXTENSIONS = frozenset({".safetensors", ".sft", ".pt", ".pt2", ".pth", ".ckpt", ".bin", ".pkl"})


@dataclass(frozen=True, slots=True)
class Roots:
    """Folders to look into, in the host's order."""

    loras: tuple[str, ...]
    models: tuple[tuple[str, str], ...] = ()
    """(kind, folder) of checkpoints and diffusion models, of which only the architecture is wanted."""
    extensions: frozenset[str] = EXTENSIONS


def host_roots() -> Roots:
    """What the host lists now; packs and `extra_model_paths.yaml` may add to it while it starts."""
    host = host_paths()
    models = tuple((kind, folder) for kind in MODELS for folder in _folders(host, kind))
    extensions = host.folder_names_and_paths[LORAS][1] if hasattr(host, "folder_names_and_paths") else ()
    return Roots(tuple(dict.fromkeys(_folders(host, LORAS))), models, frozenset(extensions) or EXTENSIONS)


def index_folder() -> Path:
    """Where the pack keeps its files: a folder of the user directory that the host does not serve."""
    return Path(host_paths().get_system_user_directory("lora_deck"))


def host_paths() -> Any:
    """The host's module; imported late, because the library loads without the host."""
    return importlib.import_module("folder_paths")


def _folders(host: Any, kind: str) -> list[str]:
    try:
        folders: list[str] = host.get_folder_paths(kind)
    except KeyError:
        return []
    return folders
