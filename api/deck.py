"""What the routes work on: the library and its services, held together for the life of the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..library.hasher import Hasher
from ..library.library import Library
from ..library.search import Search
from ..library.thumbnails import Thumbnails

PicturePlace = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Deck:
    """One library, served."""

    library: Library
    search: Search
    hasher: Hasher
    thumbnails: Thumbnails
    picture_folder: PicturePlace
    """The host's folder for a kind of picture (`output`, `temp`, `input`), `None` for any other word."""

    @classmethod
    def over(cls, library: Library, picture_folder: PicturePlace = lambda kind: None,
             busy: Callable[[], bool] = lambda: False) -> Deck:  # fmt: skip
        """`busy`: whether a prompt is executing."""
        hasher = Hasher(library, busy)
        library.after_scan.append(hasher.after_scan)
        return cls(library, Search(library), hasher, Thumbnails(library.store.folder / "thumbnails"), picture_folder)
