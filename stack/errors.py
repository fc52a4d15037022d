"""The pack's one error hierarchy.

Each message says what happened, where (file, key, position of the tag) and what to do about it, because the host
shows it to the user word for word.
"""

from __future__ import annotations

from collections.abc import Sequence


class LoraDeckError(Exception):
    """Base of every error that the pack raises on purpose."""


class StackFormatError(LoraDeckError):
    """A value that was handed in as a stack is none, or its JSON is of a newer major version."""


class InfotextError(LoraDeckError):
    """An infotext does not say what is needed of it."""


_SHOWN = 3


class LoraNotFoundError(LoraDeckError):
    """No file on disk answers to the name.

    `name` is the name as written, `suggestions` the closest names that exist, `last_seen` where files of that name
    were until they were removed or their drive went away.
    """

    def __init__(
        self, name: str, suggestions: Sequence[str] = (), searched: Sequence[str] = (), last_seen: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.suggestions = tuple(suggestions)
        self.last_seen = tuple(last_seen)
        if self.last_seen:
            more = len(self.last_seen) - _SHOWN
            places = " and ".join(self.last_seen[:_SHOWN]) + (f" and {more} more places" if more > 0 else "")
            hint = f"It was last seen at {places}; connect that drive or put the file back."
        elif self.suggestions:
            hint = "The closest names are: " + ", ".join(repr(s) for s in self.suggestions) + "."
        elif searched:
            hint = "No similar name exists. Put the file into " + " or ".join(searched) + "."
        else:
            hint = "The host lists no folder for LoRAs."
        super().__init__(f"LoRA {name!r} was not found. {hint}")


class LockedLoraError(LoraNotFoundError):
    """Nothing answers to the name, and the workflow's lock does not help either; `reason` says both."""

    def __init__(self, name: str, reason: str) -> None:
        LoraDeckError.__init__(self, reason)
        self.name = name
        self.suggestions = ()
        self.last_seen = ()


class OtherContentError(LoraDeckError):
    """The name means a file here whose content is not what the workflow was made with."""

    def __init__(self, name: str, path: str, has: str, locked: str) -> None:
        self.name = name
        self.path = path
        super().__init__(
            f"LoRA {name!r} is another file here: {path} has {has}, and the workflow was made with {locked}, which no "
            "file here has. The picture will differ. To keep this file, choose it in the list 'LoRAs of this workflow'."
        )


class AmbiguousLoraError(LoraDeckError):
    """Several different files answer to the name; `candidates` are their relative paths."""

    def __init__(self, name: str, candidates: Sequence[str]) -> None:
        self.name = name
        self.candidates = tuple(candidates)
        listed = ", ".join(repr(c) for c in self.candidates)
        super().__init__(
            f"LoRA name {name!r} is ambiguous: {listed}. Write the path of the one that you mean, with its folder."
        )


class LoraFileError(LoraDeckError):
    """A LoRA file cannot be read, or what it holds cannot be applied. `path` names the file."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        super().__init__(f"{path}: {reason}")


class StackNotSavedError(LoraDeckError):
    """A stack cannot be written as one LoRA file; the message says which part of it, and what to do."""


class MissingLorasError(LoraDeckError):
    """Entries of a stack that could not be resolved; the message has one line for each.

    `errors`: pairs of (the entry as a tag, why it does not resolve).
    """

    def __init__(self, errors: Sequence[tuple[str, LoraDeckError]]) -> None:
        self.errors = tuple(error for _, error in errors)
        super().__init__("\n".join(f"{tag}: {error}" for tag, error in errors))
