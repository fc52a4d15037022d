"""Names of a stack to files, held against the lock."""

from __future__ import annotations

from .. import library
from ..library import LoraFile
from ..library.content import has_content
from ..stack.errors import AmbiguousLoraError, LockedLoraError, LoraNotFoundError, OtherContentError
from .lock import Lock, LockEntry


class LockedNames:
    """`resolve` by name, and by content where the lock knows it. One for each run of a node; blocks on files."""

    def __init__(self, lock: Lock, problem: str = "") -> None:
        """`problem`: why there is no lock, where one came along; a name that means nothing says so."""
        self._lock = lock
        self._problem = problem
        self.notes: list[str] = []
        """What a person should know: files found under other names, and files of other content."""
        self._asked: dict[str, str | None] = {}
        self._found: dict[str, LoraFile] = {}

    @property
    def asked(self) -> tuple[tuple[str, str | None], ...]:
        """(name, path that it means by itself here, `None` where it means nothing)."""
        return tuple(self._asked.items())

    def resolve(self, name: str) -> LoraFile:
        """The file for a name of the stack.

        Raises:
            LoraNotFoundError, AmbiguousLoraError: nothing answers to the name, and no file has the lock's content.
            OtherContentError: the name means another file here, and the lock says that this is an error.
        """
        if name not in self._found:
            self._found[name] = self._resolve(name)
        return self._found[name]

    def _resolve(self, name: str) -> LoraFile:
        entry = self._lock.of(name)
        try:
            file = library.resolve(name)
        except (LoraNotFoundError, AmbiguousLoraError) as error:
            self._asked[name] = None
            if entry is None and not self._problem:
                raise
            found = self._by_content(entry) if entry is not None and entry.has_hash else None
            if found is None:
                raise LockedLoraError(name, f"{error} {self._why_not(entry)}") from error
            self.notes.append(f"{name}: found by its hash as {found.name}.")
            return found
        self._asked[name] = file.path
        if entry is None or not entry.has_hash:
            return file
        own = library.hashes(file)
        if own is None or has_content(own, entry.autov2, entry.autov3):
            return file
        found = self._by_content(entry)
        if found is not None:
            self.notes.append(
                f"{name}: {file.name} has other content here; the right one was found by its hash as {found.name}."
            )
            return found
        has = f"AutoV2 {own.autov2}" + (f", AutoV3 {own.autov3}" if own.autov3 else "")
        difference = OtherContentError(name, file.path, has, str(entry))
        if self._lock.other_content == "error":
            raise difference
        self.notes.append(f"Warning: {difference}")
        return file

    def _why_not(self, entry: LockEntry | None) -> str:
        if entry is None:
            return self._problem
        if not entry.has_hash:
            return f"The workflow's lock knows of it {entry}, and no hash to look for."
        return (
            f"The workflow was made with {entry}; no file here has that content. Look for it by its hash, or choose "
            "another LoRA."
        )

    @staticmethod
    def _by_content(entry: LockEntry) -> LoraFile | None:
        return library.find_content(library.current(), entry.autov2, entry.autov3, entry.size)
