"""What kind of picture a preview really is, by its first bytes, whatever its name says."""

from __future__ import annotations

import base64
import binascii
import json
import warnings
from collections.abc import Mapping
from pathlib import Path

from .beside import Entry
from .problems import Problem, os_reason
from .regular import read_start

MAX_SIDE = 16_383
"""Pixels; what WebP can hold."""

VIDEO = ("video/mp4", "video/webm")
EXTENSIONS: Mapping[str, str] = {
    "image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif", "image/avif": "avif",
    "video/mp4": "mp4", "video/webm": "webm",
}  # fmt: skip


def sniff(start: bytes) -> str | None:
    """Media type by the first 32 bytes; `None` for anything that is no picture and no video."""
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if start.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if start.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "image/webp"
    if start[4:8] == b"ftyp":
        return "image/avif" if start[8:12] in (b"avif", b"avis") else "video/mp4"
    if start.startswith(b"\x1aE\xdf\xa3"):
        return "video/webm"
    return None


def look(path: Path) -> tuple[str, Problem | None]:
    """Media type of a preview file (empty where it is none) and what is wrong with it; reads the first bytes only."""
    try:
        start = read_start(path, 32)
    except IsADirectoryError:
        return "", Problem("preview", "directory", f"{path.name} is a folder, not a picture.")
    except OSError as error:
        return "", Problem("preview", "unreadable", f"{path.name} cannot be read: {os_reason(error)}.")
    kind = sniff(start)
    if kind is None:
        what = "is a web page" if start.lstrip()[:1] == b"<" else "is empty" if not start else "is unknown data"
        return "", Problem("preview", "not_picture", f"{path.name} {what}, not a picture. Choose another preview.")
    size = _size(kind, start) or _size_by_pillow(kind, path)
    if size and max(size) > MAX_SIDE:
        return kind, too_large(path.name, *size)
    return kind, None


def too_large(name: str, width: int, height: int) -> Problem:
    reason = f"{name} has {width} × {height} pixels; up to {MAX_SIDE} each way are shown."
    return Problem("preview", "too_large", reason)


def file_version(preview: Entry) -> str:
    """Changes with a preview file."""
    return f"{preview.size:x}-{preview.mtime_ns:x}"


def embedded_version(lora: Entry) -> str:
    """Changes with the LoRA file that holds a picture."""
    return f"h{lora.size:x}-{lora.mtime_ns:x}"


def embedded(metadata: Mapping[str, str]) -> bytes | None:
    """The picture inside the header: `modelspec.thumbnail` (a data URI), else the first of `ssmd_cover_images`."""
    thumbnail = metadata.get("modelspec.thumbnail", "")
    if thumbnail.startswith("data:") and "," in thumbnail:
        return _decoded(thumbnail.split(",", 1)[1])
    covers = metadata.get("ssmd_cover_images", "")
    if covers.startswith("["):
        try:
            first = json.loads(covers)[0]
        except (ValueError, IndexError, KeyError, RecursionError):
            return None
        return _decoded(first) if isinstance(first, str) else None
    return None


def _decoded(text: str) -> bytes | None:
    if text.startswith("data:"):
        text = text.split(",", 1)[-1]
    try:
        raw = base64.b64decode(text)
    except (binascii.Error, ValueError):
        return None
    return raw if sniff(raw[:32]) else None


def _size(kind: str, start: bytes) -> tuple[int, int] | None:
    """Width and height where they stand in the first 32 bytes."""
    if kind == "image/png":
        return int.from_bytes(start[16:20], "big"), int.from_bytes(start[20:24], "big")
    if kind == "image/gif":
        return int.from_bytes(start[6:8], "little"), int.from_bytes(start[8:10], "little")
    return None


def _size_by_pillow(kind: str, path: Path) -> tuple[int, int] | None:
    """Width and height where they stand further in; reads the picture's header, decodes nothing."""
    if kind in VIDEO:
        return None
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                width, height = picture.size
                return int(width), int(height)
    except Image.DecompressionBombError:
        return MAX_SIDE + 1, MAX_SIDE + 1
    except (OSError, ValueError, SyntaxError):
        return None  # Said when somebody asks for the picture.
