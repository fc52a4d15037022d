"""Whether a file that a node used has changed since, so that the host runs the node again.

The host's fingerprint of a node sees no linked inputs, but it sees the node's id. Each id has a counter, which rises
when a file that this node used last has another size or time, or when a name that was missing is there.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable

from .. import library
from ..library import LoraFile
from ..library.files import Fingerprint, Watched
from ..library.presets import PresetFile
from ..stack.errors import LoraDeckError

KEPT_FILES = 512
"""Per node; the host may still hold results of earlier workflows in which the same id had other LoRAs."""
KEPT_NODES = 1024


class ChangedFiles:
    """Counters by node id."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, OrderedDict[str, Fingerprint]] = OrderedDict()
        self._missing: dict[str, set[str]] = {}
        self._counters: dict[str, int] = {}
        self._lock = threading.Lock()

    def record(self, node_id: object, files: Iterable[LoraFile | PresetFile | Watched], missing: Iterable[str]) -> None:
        """Remembers what a run of the node used, and which names it did not find."""
        key = str(node_id)
        with self._lock:
            known = self._files.setdefault(key, OrderedDict())
            self._files.move_to_end(key)
            for file in files:
                known[file.path] = file.fingerprint
                known.move_to_end(file.path)
            while len(known) > KEPT_FILES:
                known.popitem(last=False)
            self._missing[key] = set(missing)
            while len(self._files) > KEPT_NODES:
                dropped, _ = self._files.popitem(last=False)
                self._missing.pop(dropped, None)

    def counter(self, node_id: object) -> int:
        """The node's fingerprint. Blocks on the file system."""
        key = str(node_id)
        with self._lock:
            files = dict(self._files.get(key, {}))
            missing = set(self._missing.get(key, ()))
        changed = {path: now for path, was in files.items() if (now := Watched.of(path).fingerprint) != was}
        found = {name for name in missing if _exists(name)}
        with self._lock:
            if changed or found:
                self._counters[key] = self._counters.get(key, 0) + 1
                self._files.get(key, OrderedDict()).update(changed)
                self._missing[key] = missing - found
            return self._counters.get(key, 0)


def _exists(name: str) -> bool:
    try:
        library.resolve(name)
    except LoraDeckError:
        return False
    return True


changed_files = ChangedFiles()
