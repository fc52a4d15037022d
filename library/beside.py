"""What lies beside a LoRA file: its sidecar, other programs' files, its preview. Names only, nothing is opened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

from .names import without_extension

SIDECAR = ".json"

HELPERS: tuple[tuple[str, str], ...] = (
    ("civitai", ".civitai.info"),
    ("manager", ".metadata.json"),
    ("rgthree", ".safetensors.rgthree-info.json"),
    ("rgthree", ".rgthree-info.json"),
    ("cm", ".cm-info.json"),
    ("cm", ".cminfo.json"),
    ("text", ".txt"),
    ("description", ".description.txt"),
)
"""(kind, ending behind the base name) of the files of other programs, which are only read; the first one wins."""

PREVIEW_EXTENSIONS = ("png", "jpg", "jpeg", "webp", "gif", "avif", "mp4", "webm")
PREVIEWS: tuple[str, ...] = (
    *(f".preview.{extension}" for extension in PREVIEW_EXTENSIONS),
    *(f".{extension}" for extension in PREVIEW_EXTENSIONS),
)
"""Endings behind the base name, the first that exists is the preview."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a folder."""

    name: str
    size: int
    """Bytes; -1 where it cannot be reached (`error` says why)."""
    mtime_ns: int
    inode: int = 0
    error: str = ""
    """Why it cannot be reached, as a sentence."""
    is_link: bool = False


@dataclass(frozen=True, slots=True)
class Beside:
    """The files that belong to one LoRA file, as they are named on disk."""

    sidecar: Entry | None
    helpers: tuple[tuple[str, Entry], ...]
    """(kind, entry)"""
    preview: Entry | None

    @property
    def signature(self) -> str:
        """Changes when one of the files does."""
        entries = (self.sidecar, *(e for _, e in self.helpers), self.preview)
        return digest(e for e in entries if e is not None)


NOTHING = Beside(None, (), None)


class Folder:
    """The entries of one folder, asked by base name; letter case of endings and names is forgiven."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._by_name: dict[str, Entry] = {}
        for entry in entries:
            self._by_name.setdefault(entry.name.lower(), entry)

    def beside(self, lora: str) -> Beside:
        """`lora`: name of the LoRA file in this folder."""
        if not self._by_name:
            return NOTHING
        base = without_extension(lora).lower()
        by_name = self._by_name
        helpers = tuple((kind, by_name[base + end]) for kind, end in HELPERS if base + end in by_name)
        preview = next((by_name[base + end] for end in PREVIEWS if base + end in by_name), None)
        return Beside(by_name.get(base + SIDECAR), helpers, preview)

    def previews(self, lora: str) -> Iterator[Entry]:
        """Every file that would be taken as preview, the one in force first."""
        base = without_extension(lora).lower()
        return (self._by_name[base + end] for end in PREVIEWS if base + end in self._by_name)


def digest(entries: Iterable[Entry]) -> str:
    """A short text that changes when any entry's name, size or time does."""
    text = "\n".join(f"{e.name}\0{e.size}\0{e.mtime_ns}" for e in entries)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest() if text else ""

