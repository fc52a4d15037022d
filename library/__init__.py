"""What is on disk: names, files, hashes, what headers and sidecars say. Opens no tensor."""

from .files import Fingerprint, LoraFile
from .hashing import Hashes
from .library import Library
from .resolve import current, hashes, names, record_use, resolve

__all__ = ["Fingerprint", "Hashes", "Library", "LoraFile", "current", "hashes", "names", "record_use", "resolve"]
