"""Opening LoRA files: mapped tensors, and what the strategies made of them, kept for the last few files."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import comfy.lora_convert
import comfy.utils
from torch import Tensor

from ..library.files import Fingerprint, LoraFile
from ..stack.architectures import detect
from ..stack.errors import LoraFileError
from ..strategies import FileModules, read

KEPT_FILES = 16
"""Tensors are mapped, so a kept file costs address space and the pages in use."""


@dataclass(frozen=True, eq=False)
class OpenFile:
    """A file's modules and what kind of file it is; compared by identity, so that it can key weak caches."""

    modules: FileModules
    keys: int
    """Number of keys in the file."""
    looks_like: str | None
    """Architecture by its keys."""


_files: OrderedDict[tuple[str, Fingerprint], OpenFile] = OrderedDict()
_lock = threading.Lock()


def open_file(file: LoraFile) -> OpenFile:
    """Reads a file's structure; tensor values are mapped and read when used.

    Raises:
        LoraFileError: the file cannot be read as tensors.
    """
    key = (file.path, file.fingerprint)
    with _lock:
        if key in _files:
            _files.move_to_end(key)
            return _files[key]
    opened = _open(file.path)
    with _lock:
        _files[key] = opened
        while len(_files) > KEPT_FILES:
            _files.popitem(last=False)
    return opened


def _open(path: str) -> OpenFile:
    try:
        tensors = comfy.utils.load_torch_file(path, safe_load=True)
    except (OSError, ValueError, RuntimeError, EOFError, KeyError, TypeError) as error:
        raise LoraFileError(path, f"cannot be read as a LoRA file ({error}). Download or copy it again.") from error
    except Exception as error:
        # safetensors and pickle raise types of their own, which have no common base.
        raise LoraFileError(path, f"cannot be read as a LoRA file ({error}). Download or copy it again.") from error
    tensors = {key: tensor for key, tensor in tensors.items() if isinstance(tensor, Tensor)}
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    return OpenFile(read(comfy.lora_convert.convert_lora(tensors)), len(tensors), detect(shapes))
