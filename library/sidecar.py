"""Reads `<base>.json` and the helper files beside a LoRA, and merges them with the header. Nothing is written here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from . import fields
from .beside import Beside
from .facts import hash_claims
from .fields import FIELDS, Value
from .problems import Problem, os_reason
from .regular import read_start

MAX_SIDECAR = 8_000_000
"""Bytes; a larger sidecar is not read."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """`<base>.json` as it was read."""

    content: Mapping[str, Any]
    """Every key of the file in its order; empty where there is none or it cannot be read."""
    version: str
    """Changes with the file's bytes; empty where there is no file."""
    problem: Problem | None = None


ABSENT = Sidecar({}, "")


def version_of(raw: bytes) -> str:
    return blake2b(raw, digest_size=16).hexdigest()


def read_sidecar(path: Path) -> Sidecar:
    """Reads `<base>.json`; whatever is wrong with it becomes the value's `problem`."""
    name = path.name
    try:
        raw = read_start(path, MAX_SIDECAR + 1)
    except FileNotFoundError:
        return ABSENT
    except IsADirectoryError:
        return Sidecar({}, "", Problem("sidecar", "directory", f"{name} is a folder. Rename it to save a card."))
    except OSError as error:
        return Sidecar({}, "", Problem("sidecar", "unreadable", f"{name} cannot be read: {os_reason(error)}."))
    version = version_of(raw)
    if len(raw) > MAX_SIDECAR:
        reason = f"{name} is larger than {MAX_SIDECAR // 1_000_000} MB and is not read."
        return Sidecar({}, version, Problem("sidecar", "too_large", reason))
    try:
        content = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return Sidecar({}, version, Problem("sidecar", "not_utf8", f"{name} is not UTF-8 text. Save it as UTF-8."))
    except (ValueError, RecursionError) as error:
        return Sidecar({}, version, Problem("sidecar", "not_json", f"{name} holds no JSON: {_brief(error)}."))
    if not isinstance(content, dict):
        reason = f"{name} holds a {_kind(content)} where an object is expected."
        return Sidecar({}, version, Problem("sidecar", "not_object", reason))
    return Sidecar(content, version)


@dataclass(frozen=True, slots=True)
class Help:
    """What the files of other programs say."""

    files: tuple[tuple[str, Any], ...] = ()
    """(kind, content): an object of JSON, or the text of a text file."""
    adult: bool = False
    base_model: str = ""
    """Civitai's word, such as `Illustrious`."""
    title: str = ""
    claims: tuple[str, ...] = ()
    """Hashes that they say the file has, unproven."""
    problems: tuple[Problem, ...] = ()


def read_help(folder: Path, beside: Beside) -> Help:
    """Reads the helper files; one that cannot be read becomes a problem and is passed over."""
    files: list[tuple[str, Any]] = []
    problems: list[Problem] = []
    for kind, entry in beside.helpers:
        path = folder / entry.name
        if kind in ("text", "description"):
            try:
                files.append((kind, read_start(path, MAX_SIDECAR).decode("utf-8-sig", "replace")))
            except OSError as error:
                problems.append(
                    Problem("sidecar", "unreadable", f"{entry.name} cannot be read: {os_reason(error)}.")
                )
            continue
        read = read_sidecar(path)
        if read.problem is not None:
            problems.append(read.problem)
        else:
            files.append((kind, read.content))
    return _understood(tuple(files), tuple(problems))


def merge(saved: Mapping[str, Any], metadata: Mapping[str, str], helps: Help) -> dict[str, Value]:
    """Field key → value: the user's, an emptied one too, else the header's, else the helpers'."""
    return {row.key: _merged(row, saved, metadata, helps) for row in FIELDS}


def _merged(row: fields.Field, saved: Mapping[str, Any], metadata: Mapping[str, str], helps: Help) -> Value:
    own = saved.get(row.sidecar)
    # An emptied field stays empty; null is what downloaders write for "nothing known".
    if own is not None:
        value = row.empty if own in ("", []) else fields.read(row, own)
        if value is not None:
            return value
    for key in row.header:
        if key in metadata and (value := fields.read(row, metadata[key])) is not None:
            return value
    for kind, content in helps.files:
        for path in row.helpers.get(kind, ()):
            if (value := fields.read(row, _at(content, path))) is not None:
                return value
    return row.empty


def _understood(files: tuple[tuple[str, Any], ...], problems: tuple[Problem, ...]) -> Help:
    adult, base_model, title = False, "", ""
    claims: list[Any] = []
    for kind, content in files:
        if kind in ("text", "description"):
            continue
        levels = [_at(content, p) for p in ("nsfwLevel", "preview_nsfw_level", "civitai.nsfwLevel")]
        flags = [_at(content, p) for p in ("Nsfw", "model.nsfw", "civitai.model.nsfw")]
        # Civitai's level is a set of bits: 1 PG, 2 PG-13, 4 R, 8 X, 16 XXX.
        adult = adult or any(isinstance(n, int) and n >= 4 for n in levels) or any(f is True for f in flags)
        base_model = base_model or _first_text(content, ("baseModel", "base_model", "BaseModel"))
        title = title or _first_text(content, ("model.name", "model_name", "ModelName", "name"))
        claims += [_at(content, p) for p in ("sha256", "autov3", "Hashes.SHA256")]
    return Help(files, adult, base_model, title, hash_claims(claims), problems)


def _first_text(content: Any, paths: tuple[str, ...]) -> str:
    return next((v for v in (_at(content, p) for p in paths) if isinstance(v, str) and v), "")


def _at(content: Any, path: str) -> Any:
    for part in path.split(".") if path else ():
        content = content.get(part) if isinstance(content, dict) else None
    return content


def _kind(value: Any) -> str:
    names = {list: "list", str: "text", bool: "truth value", type(None): "null"}
    return names.get(type(value), "number")


def _brief(error: Exception) -> str:
    return "it is nested too deep" if isinstance(error, RecursionError) else str(error)[:120]
