"""Apply LoRA stack."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from comfy_api.latest import io

from .. import library
from ..patching import Method, Missing, apply_stack
from ..sharing.lock import Lock, LockError, read_lock
from ..sharing.locked import LockedNames
from ..stack.entry import SamplingPass
from ..stack.foreign import as_stack
from .changed_files import changed_files
from .keep_record import keep_record
from .show import REPEATED
from .sockets import CATEGORY, stack_input

logger = logging.getLogger("lora_deck")


class LoraStackApply(io.ComfyNode):
    """Applies a stack to a model and a text encoder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoraStackApply",
            display_name="Apply LoRA stack",
            category=CATEGORY,
            description="Applies a LoRA stack to a model and a text encoder, and reports what each file changed.",
            search_aliases=["lora loader", "load lora", "apply lora", "lora stack loader"],
            inputs=[
                stack_input(False, "The LoRAs, from a prompt, from Add LoRA or from another pack's stacker."),
                io.Combo.Input(
                    "sampling_pass",
                    options=["first", "hires"],
                    default="first",
                    tooltip="Which weights count. hires takes hr=, hrte= and hrunet= of the tags where they are given.",
                ),
                io.Combo.Input(
                    "missing",
                    options=["error", "warn"],
                    default="error",
                    tooltip="What to do about a LoRA that is not found. error: stop and name it. "
                    "warn: leave it out and say so in the report.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="The diffusion model. It stays as it is; a copy is patched.",
                ),
                io.Clip.Input("clip", optional=True, tooltip="The text encoder. It stays as it is; a copy is patched."),
                io.String.Input(
                    "lock",
                    default="",
                    optional=True,
                    socketless=True,
                    tooltip="What each name meant where the workflow was made, by hash. It fills itself.",
                    extra_dict={"hidden": True},
                ),
                io.Combo.Input(
                    "method",
                    options=["auto", "patch", "live"],
                    default="auto",
                    optional=True,
                    tooltip="How the model is changed. patch: its weights, once. live: its layers, in every step. "
                    "auto: live where a LoRA's weight moves over the steps or the model is quantised, else patch.",
                ),
            ],
            outputs=[
                io.Model.Output("model", tooltip="The model with the LoRAs."),
                io.Clip.Output("clip", tooltip="The text encoder with the LoRAs."),
                io.String.Output("report", tooltip="What was applied, file by file."),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
            **REPEATED,
        )

    @classmethod
    def fingerprint_inputs(cls, **kwargs: Any) -> int:
        return changed_files.counter(cls.hidden.unique_id)

    @classmethod
    def execute(
        cls,
        stack: Any,
        sampling_pass: SamplingPass,
        missing: Missing,
        model: Any = None,
        clip: Any = None,
        lock: Any = "",
        method: Method = "auto",
    ) -> io.NodeOutput:
        names = _names(lock)
        applied = apply_stack(model, clip, as_stack(stack), sampling_pass, missing, names.resolve, method)
        changed_files.record(cls.hidden.unique_id, (*applied.files, *applied.presets, *applied.settings), names.asked)
        library.record_use(applied.files)
        keep_record(cls.hidden, applied, sampling_pass)
        for note in names.notes:
            logger.log(logging.WARNING if note.startswith("Warning") else logging.INFO, "%s", note)
        report = replace(applied.report, notes=(*names.notes, *applied.report.notes))
        shown = {
            **report.to_json(),
            "sampling_pass": sampling_pass,
            "architecture": applied.architecture,
            "ids": list(applied.blocks.ids) if applied.blocks is not None else [],
        }
        return io.NodeOutput(applied.model, applied.clip, str(report), ui={"lora_deck_report": [shown]})


def _names(lock: Any) -> LockedNames:
    """Names held against the lock; one that cannot be read is told of, and names alone count."""
    try:
        return LockedNames(read_lock(lock))
    except LockError as error:
        names = LockedNames(Lock(), str(error))
        names.notes.append(f"Warning: {error}")
        return names
