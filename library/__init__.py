"""What is on disk: files, hashes, what headers and sidecars say. Opens no tensor."""

from .content import find_content
from .files import Fingerprint, LoraFile
from .hashing import Hashes
from .identity import Identity
from .library import Library
from .resolve import current, hashes, identify, record_use, resolve

__all__ = [
    "Fingerprint", "Hashes", "Identity", "Library", "LoraFile", "current", "find_content", "hashes", "identify",
    "record_use", "resolve",
]  # fmt: skip
