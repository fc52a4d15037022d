"""Which of several files a name means, as somebody writes it.

Order: exact relative path with either separator (with or without extension), then base name, then the same two with
letter case forgiven; only then aliases and hashes (`resolve`). Several different files at the first step that any
answers: ambiguous, never a guess.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .text import fold

EXTENSIONS = (".safetensors", ".sft", ".pt", ".pt2", ".pth", ".ckpt", ".bin", ".pkl")
NAMED_BY_FOLDER = frozenset({"adapter_model", "pytorch_lora_weights"})
"""Base names that say nothing: PEFT's and diffusers' own, the same for every LoRA."""
LONGEST = 4_096
"""Characters; no path is longer, so nothing longer is compared with any."""


def normalise(name: str) -> str:
    """Either separator as `/`, Unicode composed (NFC), without `./` before it and spaces around it."""
    return unicodedata.normalize("NFC", name.replace("\\", "/")).strip().removeprefix("./")


def without_extension(name: str) -> str:
    """The name without a LoRA file's extension; other dots belong to the name."""
    lower = name[-12:].lower()
    for extension in EXTENSIONS:
        if lower.endswith(extension):
            return name[: -len(extension)]
    return name


def base_of(path: str) -> str:
    """What stands behind the last `/`."""
    return path.rpartition("/")[2]


def called(path: str) -> str:
    """What a file is called: its path without the extension, or its folder's where every file of its writer is named
    alike and the folder tells them apart (PEFT, diffusers)."""
    stem = without_extension(path)
    folder, _, base = stem.rpartition("/")
    return folder if folder and base.lower() in NAMED_BY_FOLDER else stem


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that a name may mean."""

    id: int
    root: str
    name: str
    """Below root, with `/`, as on disk."""
    position: int
    """Of its root in the host's order."""


def lookup_terms(name: str) -> set[str]:
    """Folded names, as `called` gives their last part, that a file must have to answer to `name` by path or name."""
    path = normalise(name)
    return {fold(base_of(path)), fold(base_of(without_extension(path))), fold(base_of(called(path)))}


def answering(name: str, candidates: Iterable[Candidate]) -> list[Candidate]:
    """The candidates at the first step that any answers, in the host's order; several: ambiguous."""
    wanted = normalise(name)
    exact = unicodedata.normalize("NFC", name.replace("\\", "/")).removeprefix("./")
    folded = fold(wanted)
    best: list[Candidate] = []
    best_step = 99
    for candidate in candidates:
        step = _step(normalise_path(candidate.name), wanted, exact, folded)
        if step is not None and step < best_step:
            best, best_step = [candidate], step
        elif step == best_step:
            best.append(candidate)
    return sorted(best, key=lambda c: (c.position, c.name))


def normalise_path(name: str) -> str:
    """A relative path of the index in the form in which names are compared."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _step(path: str, wanted: str, exact: str, folded: str) -> int | None:
    stem = without_extension(path)
    name = called(path)
    forms = (path, stem, base_of(path), base_of(stem), *(() if name == stem else (name, base_of(name))))
    for step, form in enumerate(forms):
        if form in (wanted, exact):
            return step
    for step, form in enumerate(forms, start=len(forms)):
        if fold(form) == folded:
            return step
    return None


def first_of_each_path(candidates: Sequence[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
    """(one for each relative path, the host's first; the others of the same path, which it hides)."""
    first: dict[str, Candidate] = {}
    hidden: list[Candidate] = []
    for candidate in candidates:
        if first.setdefault(normalise_path(candidate.name), candidate) is not candidate:
            hidden.append(candidate)
    return list(first.values()), hidden


def shortest(name: str, same_base: Iterable[Candidate]) -> str:
    """The shortest spelling that means the file `name` and no other, among all files of its base name."""
    stem = without_extension(normalise_path(name))
    candidates = list(same_base)
    title = called(normalise_path(name))
    for spelling in (base_of(title), base_of(stem), base_of(normalise_path(name)), title, stem):
        found, _ = first_of_each_path(answering(spelling, candidates))
        if len(found) == 1 and found[0].name == name:
            return spelling
    return normalise_path(name)


def close_names(name: str, bases: Iterable[str], limit: int = 3) -> list[str]:
    """The base names most like `name`, best first. `bases`: folded, without extension."""
    wanted = fold(base_of(without_extension(normalise(name))))
    if not wanted or len(wanted) > 255:
        return []
    pairs = {wanted[i : i + 2] for i in range(len(wanted) - 1)} or {wanted}
    rated: list[tuple[float, str]] = []
    for base in set(bases):
        shared = sum(1 for pair in pairs if pair in base)
        if shared * 2 >= len(pairs):
            rated.append((shared / (len(pairs) + abs(len(base) - len(wanted)) / 2), base))
    rated.sort(reverse=True)
    near = [base for _, base in rated[:50]]
    close = difflib.get_close_matches(wanted, near, n=limit, cutoff=0.5)
    holding = sorted((b for b in near if wanted in b or b in wanted), key=len)
    return list(dict.fromkeys([*close, *holding]))[:limit]
