"""Whether something that a node read has changed since, so that the host runs the node again.

The host's fingerprint of a node sees no linked inputs, but it sees the node's id. Each id has a counter, which rises
when a file that this node used has another size or time, or when a name means another file than it did then.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import TypeVar

from .. import library
from ..library import LoraFile
from ..library.files import Fingerprint, Watched
from ..library.presets import PresetFile
from ..stack.errors import LoraDeckError

_T = TypeVar("_T")

KEPT = 512
"""Files and names per node; the host may still hold results of earlier workflows, or of other items of a list."""
KEPT_NODES = 1024


class _Read:
    """What one node has read."""

    def __init__(self) -> None:
        self.files: OrderedDict[str, Fingerprint] = OrderedDict()
        self.names: OrderedDict[str, str | None] = OrderedDict()
        self.counter = 0

    def remember(self, files: Mapping[str, Fingerprint], names: Mapping[str, str | None]) -> None:
        _keep(self.files, files)
        _keep(self.names, names)


def _keep(kept: OrderedDict[str, _T], new: Mapping[str, _T]) -> None:
    for key, value in new.items():
        kept[key] = value
        kept.move_to_end(key)
    while len(kept) > KEPT:
        kept.popitem(last=False)


class ChangedFiles:
    """Counters by node id."""

    def __init__(self) -> None:
        self._nodes: OrderedDict[str, _Read] = OrderedDict()
        self._lock = threading.Lock()

    def record(
        self,
        node_id: object,
        files: Iterable[LoraFile | PresetFile | Watched],
        asked: Iterable[tuple[str, str | None]],
    ) -> None:
        """Remembers what a run of the node used. `asked`: (name, path that it stood for or `None`)."""
        with self._lock:
            read = self._nodes.setdefault(str(node_id), _Read())
            self._nodes.move_to_end(str(node_id))
            read.remember({file.path: file.fingerprint for file in files}, dict(asked))
            while len(self._nodes) > KEPT_NODES:
                self._nodes.popitem(last=False)

    def counter(self, node_id: object) -> int:
        """The node's fingerprint. Blocks on the file system."""
        with self._lock:
            read = self._nodes.get(str(node_id))
            if read is None:
                return 0
            files, names = dict(read.files), dict(read.names)
        new_files = {path: now for path, was in files.items() if (now := Watched.of(path).fingerprint) != was}
        new_names = {name: path for name, was in names.items() if (path := _path_of(name)) != was}
        with self._lock:
            if new_files or new_names:
                read.counter += 1
                read.remember(new_files, new_names)
            return read.counter


def _path_of(name: str) -> str | None:
    try:
        return library.resolve(name).path
    except LoraDeckError:
        return None


changed_files = ChangedFiles()
