"""Where PEFT and diffusers keep alpha and the like: the sibling `adapter_config.json`, or the file's own header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..library.files import Fingerprint
from ..library.names import EXTENSIONS
from ..stack.errors import LoraFileError
from ..strategies import AdapterSettings, FileSettings

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model"
_LARGEST = 1_000_000
"""Bytes; PEFT's are a few thousand."""
_DIFFUSERS = "lora_adapter_metadata"
"""diffusers/loaders/lora_base.py, `LORA_ADAPTER_METADATA_KEY`."""


def config_beside(path: str) -> Path | None:
    """The `adapter_config.json` that belongs to a LoRA file: PEFT's own pair, or the only LoRA file beside one."""
    file = Path(path)
    config = file.with_name(CONFIG)
    if not config.is_file():
        return None
    if file.stem == WEIGHTS or sum(1 for other in file.parent.iterdir() if other.suffix in EXTENSIONS) == 1:
        return config
    return None


def fingerprint_of(config: Path | None) -> Fingerprint | None:
    """Version of a settings file, `None` where there is none."""
    return None if config is None else Fingerprint.of(config)


def read_settings(config: Path | None, metadata: Mapping[str, str] | None) -> FileSettings | None:
    """The settings of a file; the header's win, since they cannot have been parted from it.

    Raises:
        LoraFileError: the sibling file is no PEFT configuration.
    """
    return _from_header(metadata or {}) or (None if config is None else _from_file(config))


def _from_file(config: Path) -> FileSettings:
    try:
        if config.stat().st_size > _LARGEST:
            raise ValueError(f"it is larger than {_LARGEST:,} bytes")
        value = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LoraFileError(
            str(config), f"cannot be read ({error}). It holds the scale of the LoRA beside it; copy it again."
        ) from error
    if not isinstance(value, dict):
        raise LoraFileError(str(config), "is no adapter configuration. Copy it again, or remove it.")
    return FileSettings((AdapterSettings.from_json(value),))


def _from_header(metadata: Mapping[str, str]) -> FileSettings | None:
    value = _parsed(metadata.get(_DIFFUSERS))
    if value is not None:
        return FileSettings.from_components(value)
    if "lora_alpha" in metadata:
        fields = {key: _plain(text) for key, text in metadata.items()}
        return FileSettings((AdapterSettings.from_json(fields),))
    return None


def _parsed(text: str | None) -> dict[str, Any] | None:
    try:
        value = json.loads(text) if text else None
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _plain(text: str) -> Any:
    """A header's value, all of which are strings, as what it stands for."""
    try:
        return json.loads(text)
    except ValueError:
        return {"True": True, "False": False}.get(text, text)
