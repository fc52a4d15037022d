"""Opening LoRA files: mapped tensors, and what the strategies made of them, kept for the last few files."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

import comfy.lora_convert
import comfy.utils
from torch import Tensor

from ..library.files import LoraFile
from ..stack.architectures import candidates
from ..stack.errors import LoraFileError
from ..strategies import ConflictError, FileModules, FileSettings, read
from .embeddings import Embedding, split_bundle
from .experts import EXPERTS, Expert, parted
from .mapped import MappedFile, Table, map_file
from .plain import PlainFile, PlainLayout, plain_layout
from .settings import config_beside, fingerprint_of, read_settings

KEPT_FILES = 16
"""Tensors are mapped, so a kept file costs address space and the pages in use."""


@dataclass(frozen=True, eq=False)
class OpenFile:
    """A file's modules and what kind of file it is; compared by identity, so that it can key weak caches."""

    version: Hashable
    """Path and fingerprints of all that was read; equal for equal content."""
    modules: FileModules
    keys: int
    """Number of keys in the file."""
    looks_like: tuple[str, ...]
    """Architectures that it may be for, by its keys, the likeliest first."""
    embeddings: tuple[Embedding, ...] = ()
    check: Future[bool] | None = None
    """Whether every tensor is floating-point and finite, as soon as that is known."""
    plain: PlainFile | None = None
    """What it has of its own, if it is a file of plain LoRAs and nothing else."""
    experts: Mapping[Expert, OpenFile] | None = None
    """What of it is for each of two experts of which a model is one; `None` for other files."""
    note: str = ""
    """What the report says of it."""

    @property
    def is_sound(self) -> bool:
        """Whether no tensor needs a look at its values."""
        return self.check is not None and self.check.result()


_NUNCHAKU = (".lora_down", ".lora_up")
"""Endings that nunchaku's converter writes (nunchaku/lora/flux/nunchaku_converter.py), and nobody else."""

_files: OrderedDict[Hashable, OpenFile] = OrderedDict()
_layouts: weakref.WeakKeyDictionary[Table, PlainLayout] = weakref.WeakKeyDictionary()
"""As long as the last few tables are kept."""
_lock = threading.Lock()


def open_file(file: LoraFile) -> OpenFile:
    """Reads a file's structure; tensor values are mapped and read when used.

    Raises:
        LoraFileError: the file cannot be read as tensors.
    """
    config = config_beside(file.path)
    key = (file.path, file.fingerprint, fingerprint_of(config))
    with _lock:
        if key in _files:
            _files.move_to_end(key)
            return _files[key]
    opened = _open(file.path, key, config)
    with _lock:
        _files[key] = opened
        while len(_files) > KEPT_FILES:
            _files.popitem(last=False)
    return opened


def _open(path: str, version: Hashable, config: Path | None) -> OpenFile:
    mapped = map_file(path)
    if mapped is not None:
        return _read_mapped(path, version, config, mapped)
    try:
        tensors, metadata = comfy.utils.load_torch_file(path, safe_load=True, return_metadata=True)
        tensors = {
            key: tensor for key, tensor in tensors.items() if isinstance(tensor, Tensor) and isinstance(key, str)
        }
    except Exception as error:
        raise LoraFileError(path, f"cannot be read as a LoRA file ({error}). Download or copy it again.") from error
    return _read(path, version, tensors, read_settings(config, metadata or {}), None)


def _read_mapped(path: str, version: Hashable, config: Path | None, mapped: MappedFile) -> OpenFile:
    settings = read_settings(config, mapped.metadata)
    layout = _layouts.get(mapped.table) if settings is None else None
    plain = layout.fill(mapped) if layout is not None else None
    if plain is not None:
        return _opened(version, plain)
    tensors = mapped.tensors()
    opened = _read(path, version, tensors, settings, mapped.sound)
    if settings is not None or opened.embeddings or opened.experts:
        return opened
    layout = plain_layout(mapped, tensors, opened.modules, opened.looks_like)
    if layout is None or mapped.table in _layouts:
        # Of a known layout, and not filled: its alphas are for the report.
        return opened
    _layouts[mapped.table] = layout
    plain = layout.fill(mapped)
    return opened if plain is None else _opened(version, plain)


def _opened(version: Hashable, plain: PlainFile) -> OpenFile:
    layout = plain.layout
    return OpenFile(version, plain.modules, layout.keys, layout.looks_like, (), plain.file.sound, plain)


def _read(
    path: str, version: Hashable, tensors: dict[str, Tensor], settings: FileSettings | None, check: Future[bool] | None
) -> OpenFile:
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    if any(key.endswith(_NUNCHAKU) for key in shapes):
        raise LoraFileError(
            path,
            "is packed for Nunchaku's kernels (keys like 'lora_down' without 'weight', numbers in the order of a GPU's "
            "lanes). Use the file that it was converted from, or Nunchaku's own LoRA loader on its own model.",
        )
    try:
        others, embeddings = split_bundle(tensors)
        modules = read(comfy.lora_convert.convert_lora(others), settings)
    except ConflictError as error:
        raise LoraFileError(
            path, f"{error}. A file that was merged from two holds both; ask its author, or remove one set of keys."
        ) from error
    opened = OpenFile(version, modules, len(shapes), candidates(shapes), embeddings, check)
    return replace(opened, experts=_experts(opened))


def _experts(opened: OpenFile) -> Mapping[Expert, OpenFile] | None:
    """The same file twice, each with what is for one expert; what is for neither is for both."""
    modules = opened.modules
    owners = parted(modules.modules)
    if owners is None:
        return None
    found: dict[Expert, OpenFile] = {}
    for expert in EXPERTS:
        own = {name: module for name, module in modules.modules.items() if owners.get(name, expert) == expert}
        found[expert] = replace(
            opened,
            version=(opened.version, expert),
            modules=FileModules.of(own, modules.unrecognised, modules.broken),
            note=f"{len(modules.modules) - len(own)} of its modules are for the other expert, "
            f"and this model is the one for {expert} noise",
        )
    return found
