"""Preview pictures: where they are, and saving a new one. A user's file is never replaced unasked."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path

from .atomic import write_atomically
from .entries import Indexed, contained, look_again
from .header import HeaderError, read_header
from .names import without_extension
from .previews import EXTENSIONS, VIDEO, embedded, embedded_version, file_version, look, sniff
from .schema import Store

MAX_UPLOAD = 50_000_000
"""Bytes."""


class PreviewError(Exception):
    """The picture cannot be used or saved; the message says why. Nothing on disk was changed."""


class PreviewExistsError(PreviewError):
    """There is a preview already; `name` is its file."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name} is there already. Nothing was saved; say that it may be replaced.")


@dataclass(frozen=True, slots=True)
class Preview:
    """A picture or video to show."""

    kind: str
    """Media type by its content."""
    path: Path | None
    """`None` for one inside the LoRA's header."""
    content: bytes | None
    version: str
    """Changes with the picture."""


def preview_of(file: Indexed) -> Preview | None:
    """The preview in force: a file beside the LoRA, else the picture in its header; `None` where there is none."""
    entry = file.beside.preview
    if entry is not None:
        path = file.folder / entry.name
        if not contained(file, path):
            return None
        found, _ = look(path)
        return Preview(found, path, None, file_version(entry)) if found else None
    try:
        content = embedded(read_header(file.path).metadata)
    except HeaderError:
        return None
    kind = sniff(content[:32]) if content else None
    return Preview(kind, None, content, embedded_version(file.entry)) if content and kind else None


def save_preview(store: Store, file: Indexed, content: bytes, replace: bool = False) -> Path:
    """Saves `content` as `<base>.preview.<ext>`, its extension by what it is.

    With `replace`, pictures that would be shown before it are kept once as `<name>.bak`.

    Raises:
        PreviewExistsError: there is one, and `replace` is false.
        PreviewError: it is no picture or video, or it cannot be written.
    """
    kind = sniff(content[:32])
    if kind is None or kind not in EXTENSIONS:
        raise PreviewError("This is no picture and no video that can be shown. Nothing was saved.")
    if len(content) > MAX_UPLOAD:
        raise PreviewError(f"The picture has {len(content):,} bytes; up to {MAX_UPLOAD:,} are taken.")
    if kind not in VIDEO:
        _check_picture(content)
    there = list(file.siblings.previews(file.entry.name))
    if there and not replace:
        raise PreviewExistsError(there[0].name)
    target = file.folder / f"{without_extension(file.entry.name)}.preview.{EXTENSIONS[kind]}"
    try:
        for old in (file.folder / entry.name for entry in there):
            backup = old.with_name(old.name + ".bak")
            if not backup.exists():
                write_atomically(backup, old.read_bytes())
        write_atomically(target, content)
        for old in (file.folder / entry.name for entry in there):
            if not (target.exists() and os.path.samefile(old, target)):
                old.unlink()
    except OSError as error:
        raise PreviewError(f"{target.name} cannot be written: {error.strerror or error}.") from error
    look_again(store, file)
    return target


def _check_picture(content: bytes) -> None:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture.verify()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PreviewError(f"The picture cannot be read: {error}. Nothing was saved.") from error
