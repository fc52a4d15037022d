"""One LoRA file and what lies beside it, read from disk into one value."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .beside import Beside, Entry
from .facts import Facts, facts, hash_claims
from .fields import Value
from .header import SAFETENSORS, Header, HeaderError, read_header
from .previews import embedded, embedded_version, file_version, look
from .problems import Problem
from .sidecar import ABSENT, Help, Sidecar, merge, read_help, read_sidecar
from .text import storable

NSFW = "nsfw"
NO_HEADER = Header({}, {}, 0)
UNKNOWN = Facts(None, "", None, "", (), 0)


@dataclass(frozen=True, slots=True)
class Card:
    """Everything that is known about one file without opening a tensor."""

    header: Header
    facts: Facts
    sidecar: Sidecar
    helps: Help
    fields: Mapping[str, Value]
    """Merged values by field key."""
    preview: str
    """Name of the preview file; `embedded` for a picture in the header; empty for none."""
    preview_kind: str
    """Media type; empty where there is no usable preview."""
    preview_version: str
    """Changes with the picture; empty where there is none."""
    problems: tuple[Problem, ...] = ()

    @property
    def aliases(self) -> tuple[str, ...]:
        """The sidecar's `alias` and the header's `ss_output_name`: both answer."""
        own = self.fields.get("alias", "")
        return tuple(dict.fromkeys(a for a in (str(own), self.facts.alias) if a))

    @property
    def claims(self) -> tuple[str, ...]:
        """Hashes that header, sidecar and helpers say the file has."""
        return tuple(dict.fromkeys((*self.facts.claims, *hash_claims([self.sidecar.content.get("sha256")]),
                                    *self.helps.claims)))  # fmt: skip

    @property
    def adult(self) -> bool:
        tags = self.fields.get("tags", [])
        return self.helps.adult or (isinstance(tags, list) and NSFW in (t.lower() for t in tags))


def read_card(folder: Path, lora: Entry, beside: Beside) -> Card:
    """Reads header, sidecar, helpers and the first bytes of the preview; never raises for what is on disk."""
    problems: list[Problem] = []
    if storable(lora.name) != lora.name:
        problems.append(Problem("file", "name", "The name of the file is no valid text. Rename the file."))
    header, known = NO_HEADER, UNKNOWN
    if lora.error:
        problems.append(Problem("file", "unreachable", lora.error))
    elif lora.size == 0:
        problems.append(Problem("file", "empty", "The file is empty. Download it again."))
    elif lora.name.lower().endswith(SAFETENSORS):
        try:
            header = read_header(os.fspath(folder / lora.name))
            known = facts(header)
            problems += _not_a_lora(known)
        except HeaderError as error:
            problems.append(error.problem)
    sidecar = read_sidecar(folder / beside.sidecar.name) if beside.sidecar else ABSENT
    if sidecar.problem:
        problems.append(sidecar.problem)
    helps = read_help(folder, beside)
    problems += helps.problems
    preview, kind, version = "", "", ""
    if beside.preview:
        preview, version = beside.preview.name, file_version(beside.preview)
        kind, problem = look(folder / preview)
        if problem:
            problems.append(problem)
            kind = "" if problem.code != "too_large" else kind
    elif embedded(header.metadata):
        preview, kind, version = "embedded", "image", embedded_version(lora)
    return Card(header, known, sidecar, helps, merge(sidecar.content, header.metadata, helps), preview, kind,
                version if kind else "", tuple(problems))  # fmt: skip


def _not_a_lora(known: Facts) -> list[Problem]:
    if known.tensors == 0:
        return [Problem("file", "no_tensors", "There is nothing in the file. Download it again.")]
    if not known.family:
        what = f" It looks like a model ({known.architecture})." if known.architecture else ""
        return [Problem("file", "not_a_lora", f"This is not a LoRA: no key of a known LoRA family is in it.{what}")]
    return []


def summary(card: Card) -> dict[str, Any]:
    """What a list of cards shows, as JSON."""
    known = card.facts
    return {
        "architecture": known.architecture,
        "family": known.family,
        "ranks": list(known.ranks) if known.ranks else None,
        "aliases": list(card.aliases),
        "civitai_base_model": card.helps.base_model,
        "title": card.helps.title,
        "adult": card.adult,
        "preview": card.preview,
        "preview_kind": card.preview_kind,
        "preview_version": card.preview_version,
        "problems": [p.as_json() for p in card.problems],
        "fields": dict(card.fields),
    }
