"""The user's preset files for block and element weights, in the pack's folder of the host's user directory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock

from ..stack.errors import LoraFileError
from ..stack.presets import read_block_presets, read_element_presets
from .atomic import write_atomically
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


_writing = Lock()


def put_block_preset(name: str, spec: str | None) -> None:
    """Writes a preset for `lbw=`, over one of the same name; `None` takes it out. Every other line stays as it is.

    Raises:
        LoraFileError: the file cannot be read or written; nothing was changed.
        ValueError: a name or text that a line cannot hold.
    """
    name = name.strip()
    if not name or name[0] in "@#" or any(sign in name for sign in ":#,;=\n\r"):
        raise ValueError(f"{name!r:.80} cannot be the name of a preset: use letters and digits.")
    if spec is not None and (not spec.strip() or any(sign in spec for sign in "#\n\r")):
        raise ValueError("A preset is one line of block weights, without #.")
    path = Path(block_presets().path)
    with _writing:
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines() if path.exists() else []
            kept = [line for line in lines if name not in read_block_presets(line)]
            if spec is not None:
                kept.append(f"{name}:{spec.strip()}")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, "".join(f"{line}\n" for line in kept).encode())
        except (OSError, UnicodeDecodeError) as error:
            raise LoraFileError(str(path), f"the presets cannot be written ({error}).") from error


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
