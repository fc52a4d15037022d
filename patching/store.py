"""Factors kept on a device while they fit a budget.

They are read in the background, from the moment a stack is patched, while the host encodes a prompt or loads a model;
whoever needs them first waits for them. What is kept is listed among the host's loaded models, so that it counts as
their memory does and goes when memory is short; then the factors come from the mapped file again.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from typing import Any

import comfy.model_management
import comfy.model_patcher
import torch

from .upload import Pair, Wanted, empty, filled

logger = logging.getLogger("lora_deck")

BUDGET = "LORA_DECK_FACTOR_MIB"
"""Environment variable: MiB of factors on each device. Without it a quarter of the device's memory; 0 keeps none."""


class _Slot:
    """Memory of one weight's factors, and whether they are in it."""

    __slots__ = ("pair", "ready", "size", "upload")

    def __init__(self, pair: Pair, size: int, upload: _Upload) -> None:
        self.pair = pair
        self.size = size
        self.ready = False
        self.upload = upload


class _Upload:
    """Factors on their way to a device, from the moment that it is started."""

    def __init__(self, kept: _Kept, wanted: Sequence[Wanted], device: torch.device) -> None:
        """Takes memory for them. Raises `torch.cuda.OutOfMemoryError`."""
        self._kept = kept
        self._wanted = wanted
        self._device = device
        self._stream = torch.cuda.current_stream(device) if device.type == "cuda" else None
        self.slots = [_Slot(empty(factors, device), factors.size, self) for factors in wanted]
        self._changed = threading.Condition()
        self._is_started = self._is_stopped = self._has_ended = False
        self._error: Exception | None = None

    @property
    def has_ended(self) -> bool:
        """Whether no more factors come."""
        return self._has_ended

    def start(self, pool: ThreadPoolExecutor) -> None:
        """Lets it begin, if it has not."""
        with self._changed:
            if not self._is_started:
                pool.submit(self._run)
                self._is_started = True

    def stop(self) -> None:
        """Ends it. When this returns, nobody writes to the slots any more."""
        with self._changed:
            self._is_stopped = True
            if not self._is_started:
                self._is_started = True
                self._end()
            self._changed.wait_for(lambda: self._has_ended)

    def wait(self, slot: _Slot, pool: ThreadPoolExecutor) -> bool:
        """Whether the factors are there; raises what ended the upload, unless that was a lack of memory."""
        self.start(pool)
        with self._changed:
            self._changed.wait_for(lambda: slot.ready or self._has_ended)
        if not slot.ready and self._error is not None:
            raise self._error
        return slot.ready

    def _run(self) -> None:
        try:
            pairs = [slot.pair for slot in self.slots]
            with closing(filled(self._wanted, pairs, self._device, self._stream)) as coming:
                for numbers in coming:
                    with self._changed:
                        for number in numbers:
                            self.slots[number].ready = True
                        self._changed.notify_all()
                    if self._is_stopped:
                        break
        except Exception as error:  # noqa: BLE001  raised where the factors are needed
            if _is_lack_of_memory(error):
                logger.debug("no room to put factors together on %s", self._device)
            else:
                logger.warning("Factors could not be read to %s: %s", self._device, error)
                self._error = error
        finally:
            self._end()

    def _end(self) -> None:
        with self._changed:
            self._has_ended = True
            if self._error is None:
                self._kept.release(self)
            # The slots refer to this.
            self._wanted, self.slots = (), []
            self._changed.notify_all()


def _is_lack_of_memory(error: Exception) -> bool:
    management = comfy.model_management
    known = getattr(management, "is_oom", None)
    return known(error) if known is not None else isinstance(error, management.OOM_EXCEPTION)


class _Kept(comfy.model_patcher.ModelPatcher):  # type: ignore[misc]
    """One device's kept factors as the host sees them: a loaded model that it may unload."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(torch.nn.Module(), load_device=device, offload_device=torch.device("cpu"), size=1)
        self.entries: OrderedDict[weakref.ref[Wanted], _Slot] = OrderedDict()
        self.uploads: list[_Upload] = []

    def settle(self) -> None:
        """Ends what is on its way: memory that is written to is not free, whoever lets go of it."""
        for upload in self.uploads:
            upload.stop()
        self.uploads.clear()

    def release(self, upload: _Upload) -> None:
        """Lets go of the slots of an upload that it has not filled."""
        for ref, slot in list(self.entries.items()):
            if slot.upload is upload and not slot.ready and self.entries.get(ref) is slot:
                self.entries.pop(ref, None)

    def model_size(self) -> int:
        return sum(slot.size for slot in list(self.entries.values()))

    def loaded_size(self) -> int:
        return self.model_size()

    def is_dynamic(self) -> bool:
        return False

    def partially_load(self, *_: Any, **__: Any) -> int:
        return 0

    def partially_unload(self, device_to: Any, memory_to_free: int = 0, **_: Any) -> int:
        self.settle()
        freed = 0
        for ref in list(self.entries):
            if freed >= memory_to_free:
                break
            # Others go by themselves meanwhile, in any thread.
            slot = self.entries.pop(ref, None)
            freed += slot.size if slot is not None else 0
        return freed

    def detach(self, unpatch_all: bool = True) -> torch.nn.Module:
        self.settle()
        self.entries.clear()
        return self.model  # type: ignore[no-any-return]

    def unpin_all_weights(self) -> None:
        pass


class FactorStore:
    """Kept factors by device; the least recently used go first."""

    def __init__(self) -> None:
        self._devices: dict[torch.device, _Kept] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, "lora_deck_upload")

    def find(self, factors: Wanted, device: torch.device) -> Pair | None:
        """(U, D) on the device, `None` where they are not kept.

        Raises:
            LoraFileError: a file has become shorter since it was opened.
        """
        kept = self._devices.get(device)
        slot = kept.entries.get(weakref.ref(factors)) if kept is not None else None
        return slot.pair if slot is not None and (slot.ready or slot.upload.wait(slot, self._pool)) else None

    def size(self, device: torch.device) -> int:
        """Bytes kept on a device."""
        kept = self._devices.get(device)
        return 0 if kept is None else kept.model_size()

    def clear(self) -> None:
        """Keeps nothing any more."""
        with self._lock:
            for kept in self._devices.values():
                kept.detach()

    def keep(self, wanted: Sequence[Wanted], patcher: Any) -> frozenset[Wanted]:
        """Makes room for factors on the device that `patcher` (a `ModelPatcher`) loads to, as the budget allows.

        Returns those that a patch may refer to without their tensors: they are there or will be, or lie where they are
        used. They come after `started`, or when somebody needs them: until a stack is patched, reading them would only
        keep the interpreter from that.
        """
        device = patcher.load_device
        if device is not None and device.type == "cpu":
            return frozenset(wanted)
        if device is None or device.type != "cuda":
            return frozenset()
        with self._lock:
            kept = self._devices.setdefault(device, _Kept(device))
            room = _room(patcher, kept.model_size())
            fitting: list[Wanted] = []
            for factors in wanted:
                room -= factors.size
                if room < 0:
                    break
                fitting.append(factors)
            chosen = {weakref.ref(factors): factors for factors in fitting}
            _make_room(kept, chosen, _budget(device))
            missing = [factors for ref, factors in chosen.items() if not _has(kept, ref)]
            try:
                self._begin(kept, missing, device)
            except torch.cuda.OutOfMemoryError:
                kept.detach()
                logger.debug("no room for factors on %s", device)
                return frozenset()
            for ref in chosen:
                # What an upload did not fill goes by itself meanwhile.
                with suppress(KeyError):
                    kept.entries.move_to_end(ref)
            _list_as_loaded(kept)
            return frozenset(fitting)

    @contextmanager
    def started(self) -> Iterator[None]:
        """Afterwards what `keep` has made room for comes, or is let go of where the block ends by an exception."""
        try:
            yield
        except BaseException:
            with self._lock:
                for kept in self._devices.values():
                    kept.settle()
            raise
        with self._lock:
            for kept in self._devices.values():
                for upload in kept.uploads:
                    upload.start(self._pool)

    def _begin(self, kept: _Kept, missing: Sequence[Wanted], device: torch.device) -> None:
        kept.uploads = [upload for upload in kept.uploads if not upload.has_ended]
        if not missing:
            return
        upload = _Upload(kept, missing, device)
        for factors, slot in zip(missing, upload.slots, strict=True):
            kept.entries[weakref.ref(factors, _drop(kept))] = slot
        kept.uploads.append(upload)


def _has(kept: _Kept, ref: weakref.ref[Wanted]) -> bool:
    """Whether factors are there or on their way; an upload that failed is begun again."""
    slot = kept.entries.get(ref)
    return slot is not None and (slot.ready or not slot.upload.has_ended)


def _drop(kept: _Kept) -> Any:
    """Called when a set of factors is in no patch and no plan any more."""
    where = weakref.ref(kept)

    def gone(ref: weakref.ref[Wanted]) -> None:
        patcher = where()
        if patcher is not None:
            patcher.entries.pop(ref, None)

    return gone


def _budget(device: torch.device) -> int:
    given = os.environ.get(BUDGET)
    if given is None:
        total: int = comfy.model_management.get_total_memory(device)
        return total // 4
    try:
        return max(0, int(given)) * 2**20
    except ValueError:
        raise ValueError(f"{BUDGET}={given!r} is no number of MiB.") from None


def _room(patcher: Any, used: int) -> int:
    """Bytes that factors may take: the budget, and no more than leaves the model resident if it fits at all."""
    device = patcher.load_device
    budget = _budget(device)
    reserve = comfy.model_management.minimum_inference_memory()
    left = comfy.model_management.get_total_memory(device) - reserve - patcher.model_size()
    if left > 0:
        budget = min(budget, left)
    if getattr(patcher, "is_dynamic", bool)():
        # Weights give way to what torch allocates there.
        return int(budget)
    return int(min(budget, used + comfy.model_management.get_free_memory(device) - reserve))


def _make_room(kept: _Kept, chosen: Mapping[Any, Wanted], budget: int) -> None:
    """Lets others go until what is chosen fits the budget beside them."""
    size = kept.model_size() + sum(factors.size for ref, factors in chosen.items() if ref not in kept.entries)
    others = [ref for ref in list(kept.entries) if ref not in chosen]
    if size > budget and others:
        kept.settle()
    for ref in others:
        if size <= budget:
            break
        gone = kept.entries.pop(ref, None)
        size -= gone.size if gone else 0


def _list_as_loaded(kept: _Kept) -> None:
    loaded = comfy.model_management.current_loaded_models
    if not kept.entries or any(entry.model is kept for entry in loaded):
        return
    entry = comfy.model_management.LoadedModel(kept)
    entry.real_model = weakref.ref(kept.model)
    entry.model_finalizer = weakref.finalize(kept.model, bool)
    entry.model_finalizer.atexit = False
    loaded.append(entry)


STORE = FactorStore()
