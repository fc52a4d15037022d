"""The host's Cancel while it patches all weights of a model, which takes seconds and leaves no other place to stop."""

from __future__ import annotations

import sys
from typing import Any

import comfy.model_management
from comfy.model_patcher import ModelPatcher


def end_cancelled_load() -> None:
    """Ends a load that the user has cancelled, with every weight as the checkpoint has it.

    Only where the host loads a model and patches its weights for good: in a forward pass (weights that are patched at
    each step) and in the loads of DynamicVRAM nothing happens.

    Raises:
        InterruptProcessingException: the host's. From 0.30 it is no `Exception`, and the host, which unloads a model
            when an `Exception` ends its load, would leave the weights half patched; so that is done here.
    """
    if not comfy.model_management.processing_interrupted():
        return
    patcher = _loading()
    if patcher is None:
        return
    try:
        comfy.model_management.throw_exception_if_processing_interrupted()
    except comfy.model_management.InterruptProcessingException:
        # A load says so at its end; only then are layers rid of the patches that they would apply at each step.
        patcher.model.model_lowvram = True
        patcher.detach()
        raise


def _loading() -> Any | None:
    """The patcher whose load has led here. The host hands it to no patch, so the calls are looked through."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "partially_load":
            patcher = frame.f_locals.get("self")
            if isinstance(patcher, ModelPatcher):
                return None if patcher.is_dynamic() else patcher
        frame = frame.f_back  # type: ignore[assignment]
    return None
