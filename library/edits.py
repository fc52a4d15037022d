"""Saves what the user edits on a card into `<base>.json`, and nothing else."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import fields
from .atomic import remove_left_overs, write_atomically
from .beside import SIDECAR
from .entries import Indexed, contained, indexed, look_again
from .fields import BY_KEY, Value
from .names import without_extension
from .schema import Store
from .sidecar import Sidecar, read_sidecar, version_of


class EditError(Exception):
    """The edit was not saved; the message says why. Nothing on disk was changed."""


class ConflictError(EditError):
    """The sidecar changed since it was read. Nothing on disk was changed."""

    def __init__(self, theirs: Mapping[str, Value], version: str, yours: Mapping[str, Value],
                 saved_at: float | None) -> None:
        self.theirs = theirs
        """Values of the touched fields as they are on disk."""
        self.version = version
        """Of the file on disk."""
        self.yours = yours
        self.saved_at = saved_at
        """When the file on disk was written, seconds since 1970; `None` where it is gone."""
        super().__init__("This card was changed elsewhere since it was opened. Nothing was saved.")


@dataclass(frozen=True, slots=True)
class Saved:
    """A finished edit."""

    path: Path
    version: str
    """What the next edit has to name."""


def edit(store: Store, file_id: int, version: str, changes: Mapping[str, Any]) -> Saved:
    """Writes `changes` (field key → value) into the sidecar; keys that are not touched stay, in their order.

    `version`: of the sidecar when it was read, empty if there was none. The write lock of the index is held from
    check to rename, so two processes on one index cannot both pass the check.

    Raises:
        KeyError: the index holds no such file.
        ConflictError: the sidecar is another version by now.
        EditError: a value has the wrong type, or the sidecar cannot be written.
    """
    values = _checked(changes)
    file = indexed(store, file_id)
    if not os.path.exists(file.path):
        raise EditError(f"{file.name} is not there any more. Nothing was saved.")
    path = sidecar_path(file)
    if not contained(file, path):
        raise EditError(f"The link {path.name} leads out of the LoRA folders. Nothing was saved.")
    with store.writing():
        current = read_sidecar(path)
        _writable(path, current)
        if current.version != version:
            theirs = {key: _shown(current, key) for key in values}
            raise ConflictError(theirs, current.version, values, _written(path))
        content = updated(current.content, values)
        raw = _as_json(content)
        if content == dict(current.content):
            return Saved(path, version)
        _save(path, raw, keep=bool(current.version))
    look_again(store, file)
    return Saved(path, version_of(raw))


def sidecar_path(file: Indexed) -> Path:
    """Where the file's sidecar lies or will lie; a link is followed, so that it stays a link."""
    folder = Path(file.path).parent
    wanted = file.beside.sidecar.name if file.beside.sidecar else without_extension(Path(file.path).name) + SIDECAR
    path = folder / wanted
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def updated(content: Mapping[str, Any], values: Mapping[str, Value]) -> dict[str, Any]:
    """The sidecar's content with the values in place; an empty value is not added where there was no key."""
    result = dict(content)
    for key, value in values.items():
        row = BY_KEY[key]
        if row.sidecar in result or value != row.empty:
            result[row.sidecar] = int(value) if isinstance(value, float) and value.is_integer() else value
    return result


def _checked(changes: Mapping[str, Any]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for key, value in changes.items():
        row = BY_KEY.get(key)
        if row is None or not row.editable:
            raise EditError(f"There is no field {key!r:.80} to edit.")
        try:
            values[key] = fields.check(row, value)
        except ValueError as error:
            raise EditError(str(error)) from error
    return values


def _shown(current: Sidecar, key: str) -> Value:
    row = BY_KEY[key]
    value = fields.read(row, current.content.get(row.sidecar))
    return row.empty if value is None else value


def _written(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _writable(path: Path, current: Sidecar) -> None:
    if current.problem is not None:
        raise EditError(f"{current.problem.reason} Nothing was saved.")
    folder = path.parent
    if not os.access(folder, os.W_OK):
        raise EditError(f"The folder {folder} cannot be written to. Nothing was saved.")
    # A rename would replace a read-only file without asking.
    if current.version and not stat.S_IMODE(path.stat().st_mode) & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
        raise EditError(f"{path.name} is read-only. Nothing was saved.")


def _save(path: Path, raw: bytes, keep: bool) -> None:
    backup = path.with_name(path.name + ".bak")
    try:
        if keep and not backup.exists():
            write_atomically(backup, path.read_bytes())
        write_atomically(path, raw)
    except OSError as error:
        reason = error.strerror or str(error)
        raise EditError(f"{path.name} cannot be written: {reason}. Nothing was saved.") from error
    remove_left_overs(path.parent)


def _as_json(content: Mapping[str, Any]) -> bytes:
    text = json.dumps(content, indent=4, ensure_ascii=False)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can hold
        return json.dumps(content, indent=4).encode("ascii")
