"""Small WebP pictures for the cards, made on demand and kept in the user folder up to a size."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import warnings
from pathlib import Path
from typing import Any

from .atomic import write_atomically
from .pictures import Preview
from .previews import MAX_SIDE, VIDEO

SIDES = (128, 256, 512, 1024)
"""Pixels of the longer side; a wish is rounded up to one of these."""
QUALITY = 82
MAX_BYTES = 512 * 1024 * 1024
"""Of the folder; the ones not asked for the longest go first."""
MAX_PIXELS = 100_000_000


class ThumbnailError(Exception):
    """No picture can be made; the message says why."""


class Thumbnails:
    """The folder of small pictures. Blocks; two requests for one picture make it once."""

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._making: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._written = max_bytes  # The first one made checks what earlier runs left.

    def get(self, path: str, preview: Preview, side: int) -> bytes:
        """WebP bytes. `path`: of the LoRA file; with the preview's version it names the picture.

        Raises:
            ThumbnailError: the preview cannot be decoded, or is too large to be.
        """
        side = next((s for s in SIDES if s >= side), SIDES[-1])
        source = str(preview.path) if preview.path else path
        key = hashlib.blake2b(f"{source}\0{preview.version}\0{side}".encode("utf-8", "surrogatepass"),
                              digest_size=16).hexdigest()  # fmt: skip
        with self._lock:
            lock = self._making.setdefault(key, threading.Lock())
        try:
            with lock:
                return self._cached(key) or self._made(key, preview, side)
        finally:
            with self._lock:
                self._making.pop(key, None)

    def _cached(self, key: str) -> bytes | None:
        place = self._folder / key[:2] / f"{key}.webp"
        try:
            content = place.read_bytes()
            os.utime(place)
        except OSError:
            return None
        return content

    def _made(self, key: str, preview: Preview, side: int) -> bytes:
        content = make(preview, side)
        place = self._folder / key[:2] / f"{key}.webp"
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(place, content)
        except OSError:
            return content  # A full disk costs the cache, not the picture.
        with self._lock:
            self._written += len(content)
            full = self._written >= self._max_bytes // 16
            if full:
                self._written = 0
        if full:
            self._shrink()
        return content

    def _shrink(self) -> None:
        files: list[tuple[float, int, Path]] = []
        for path in self._folder.glob("*/*.webp"):
            try:
                status = path.stat()
            except OSError:
                continue
            files.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self._max_bytes:
                break
            path.unlink(missing_ok=True)
            total -= size


def make(preview: Preview, side: int) -> bytes:
    """Decodes the preview (a video's or animation's first frame) and scales it down to `side`, as WebP."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    name = preview.path.name if preview.path else "the picture in the header"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = _first_frame(preview) if preview.kind in VIDEO else Image.open(_source(preview))
        width, height = picture.size
        if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
            raise ThumbnailError(f"{name} has {width} × {height} pixels; up to {MAX_SIDE} each way are shown.")
        with picture:
            picture.draft("RGB", (side, side))
            turned = ImageOps.exif_transpose(picture)
            turned = turned.convert("RGBA" if "A" in turned.getbands() or "transparency" in turned.info else "RGB")
            turned.thumbnail((side, side))
            out = io.BytesIO()
            turned.save(out, "WEBP", quality=QUALITY, method=4)
    except (OSError, ValueError, SyntaxError, EOFError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ThumbnailError(f"{name} cannot be shown: {error}") from error
    return out.getvalue()


def _source(preview: Preview) -> Any:
    return preview.path if preview.content is None else io.BytesIO(preview.content)


def _first_frame(preview: Preview) -> Any:
    try:
        import av
    except ImportError as error:
        raise ThumbnailError("Videos need the package av, which this host does not bring.") from error
    try:
        with av.open(preview.path or io.BytesIO(preview.content or b"")) as video:
            return next(video.decode(video=0)).to_image()
    except (av.error.FFmpegError, StopIteration, IndexError) as error:
        raise ThumbnailError(f"The video cannot be decoded: {error}") from error
