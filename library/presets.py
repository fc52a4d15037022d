"""The user's preset files for block and element weights, in the pack's folder of the host's user directory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..stack.errors import LoraFileError
from ..stack.presets import read_block_presets, read_element_presets
from .files import ABSENT, Fingerprint
from .roots import index_folder

BLOCKS = "block_presets.txt"
ELEMENTS = "element_presets.txt"


@dataclass(frozen=True, slots=True)
class PresetFile:
    """One version of a preset file; an absent file has no presets."""

    path: str
    fingerprint: Fingerprint
    presets: dict[str, str]
    """Name → what stands behind it."""


def block_presets() -> PresetFile:
    """Presets for `lbw=`, lines `NAME:vector` as hako-mikan and Inspire write them, or `NAME:selectors`.

    Raises:
        LoraFileError: the file is there and cannot be read as UTF-8 text.
    """
    return _read(str(index_folder() / BLOCKS))


def element_presets() -> PresetFile:
    """Presets for `lbwe=`, in hako-mikan's format: entries parted by blank lines. Raises as `block_presets`."""
    return _read(str(index_folder() / ELEMENTS))


def _read(path: str) -> PresetFile:
    try:
        fingerprint = Fingerprint.of(path)
    except FileNotFoundError:
        return PresetFile(path, ABSENT, {})
    return _parse(path, fingerprint)


@lru_cache(maxsize=8)
def _parse(path: str, fingerprint: Fingerprint) -> PresetFile:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LoraFileError(path, f"the presets cannot be read ({error}). Save the file as UTF-8 text.") from error
    read = read_element_presets if Path(path).name == ELEMENTS else read_block_presets
    return PresetFile(path, fingerprint, read(text))
