"""The one table of sidecar fields. Scan, API, dialog and locales follow it: a new field is one row.

Sources in order: what the user saved in `<base>.json`, then the file's header, then the read-only helper files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["text", "markdown", "number", "list", "choice"]
Value = str | float | list[str]


@dataclass(frozen=True, slots=True)
class Field:
    """One row."""

    key: str
    """Name in the API."""
    sidecar: str
    """Key in `<base>.json`."""
    kind: Kind
    editable: bool = True
    searchable: bool = False
    choices: tuple[str, ...] = ()
    """Values offered; others are kept and shown."""
    header: tuple[str, ...] = ()
    """Keys of the header's metadata that stand in, first one wins."""
    helpers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Helper kind (`beside.HELPERS`) → dotted paths in it that stand in; `""` is the whole text of a text file."""

    @property
    def label(self) -> str:
        """Key of the field's name in `locales/<language>/main.json`."""
        return f"lora_deck.fields.{self.key}"

    @property
    def empty(self) -> Value:
        return _EMPTY[self.kind]()


_EMPTY: dict[str, Callable[[], Value]] = {
    "text": str, "markdown": str, "choice": str, "number": float, "list": list,
}  # fmt: skip

_TRAINED = {
    "civitai": ("trainedWords",),
    "manager": ("trainedWords", "civitai.trainedWords"),
    "rgthree": ("trainedWords", "raw.civitai.trainedWords"),
    "cm": ("TrainedWords",),
}

FIELDS: tuple[Field, ...] = (
    Field("activation_text", "activation text", "text", searchable=True,
          header=("modelspec.trigger_phrase",), helpers=_TRAINED),
    Field("negative_text", "negative text", "text"),
    Field("preferred_weight", "preferred weight", "number"),
    Field("sd_version", "sd version", "choice", choices=("SD1", "SD2", "SDXL", "Unknown")),
    Field("tags", "tags", "list", searchable=True, header=("modelspec.tags",), helpers={
        "civitai": ("model.tags",), "manager": ("tags", "civitai.model.tags"), "rgthree": ("raw.civitai.model.tags",),
        "cm": ("Tags",)}),
    Field("alias", "alias", "text", searchable=True, header=("ss_output_name",)),
    Field("description", "description", "markdown", searchable=True, header=("modelspec.description",), helpers={
        "text": ("",), "description": ("",), "civitai": ("model.description", "description"),
        "manager": ("modelDescription", "civitai.model.description", "civitai.description"),
        "rgthree": ("raw.civitai.model.description",), "cm": ("ModelDescription", "VersionDescription")}),
    Field("notes", "notes", "markdown", helpers={"manager": ("notes",), "rgthree": ("userNote",)}),
)  # fmt: skip

BY_KEY: Mapping[str, Field] = {f.key: f for f in FIELDS}


def read(row: Field, value: Any) -> Value | None:
    """A value from anybody's file as this field's type; `None` where it is nothing or makes no sense."""
    if row.kind == "number":
        return _number(value)
    words = _words(value)
    if row.kind == "list":
        if len(words) == 1 and isinstance(value, str):
            words = [w.strip() for w in value.split(",")]
        return [w for w in dict.fromkeys(words) if w] or None
    return ", ".join(words) or None


def check(row: Field, value: Any) -> Value:
    """A value that a client wants saved, as this field's type.

    Raises:
        ValueError: it has another type; the message names the field.
    """
    if row.kind == "number":
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{row.key} must be a number, not {value!r:.80}.")
        return value
    if row.kind == "list":
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise ValueError(f"{row.key} must be a list of texts, not {value!r:.80}.")
        return [v.strip() for v in dict.fromkeys(value) if v.strip()]
    if not isinstance(value, str):
        raise ValueError(f"{row.key} must be a text, not {value!r:.80}.")
    return value


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _words(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value.strip()] if value.strip() else []
    if isinstance(value, bool) or value is None:
        return []
    if isinstance(value, int | float):
        return [str(value)]
    if isinstance(value, dict):
        # rgthree: {"word": …}; Civitai's older tags: {"name": …}
        return _words(value.get("word") or value.get("name"))
    if isinstance(value, list):
        return [word for item in value for word in (_words(item) if not isinstance(item, list) else [])]
    return []
