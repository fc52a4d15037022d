"""What can be wrong with a file, as a value that a card shows: never an exception that stops a scan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Part = Literal["file", "sidecar", "preview"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One readable reason why a file, its sidecar or its preview cannot be used."""

    part: Part
    code: str
    """Stable word for tests and translations, such as `truncated`."""
    reason: str
    """What is wrong and what to do, as a sentence in English."""

    def as_json(self) -> dict[str, str]:
        return {"part": self.part, "code": self.code, "reason": self.reason}


def os_reason(error: OSError) -> str:
    """What the operating system says, without its number and path."""
    return error.strerror or type(error).__name__
