"""Writes what an Apply applied, and what came out of nodes, to where nodes that save pictures read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy_execution.utils import get_executing_context

from .. import library
from ..patching.apply import Applied
from ..sharing.record import Record, RecordedLora
from ..sharing.records import current_records
from ..stack.entry import SamplingPass


def keep_record(hidden: Any, applied: Applied, sampling_pass: SamplingPass) -> None:
    """`hidden`: the node's, with `unique_id`, `prompt` and `extra_pnginfo`. Blocks while files are hashed."""
    known = {file.path: library.identify(file) for file in applied.files}
    record = Record(
        sampling_pass,
        tuple(RecordedLora(a.entry, known[a.file.path], a.te, a.unet, a.blocks) for a in applied.loras),
        applied.left_out,
        applied.architecture,
    )
    _keep(hidden, record.to_json())


def keep_outputs(hidden: Any, outputs: Mapping[int, object]) -> None:
    """Records values (of JSON) that came out of a node, by output: linked text is known only when the graph runs."""
    _keep(hidden, {"outputs": {str(slot): value for slot, value in outputs.items()}})


def list_index() -> int:
    """Which item of a list the node that executes is at; 0 without a list."""
    context = get_executing_context()
    return context.list_index if context is not None and context.list_index is not None else 0


def _keep(hidden: Any, record: Mapping[str, Any]) -> None:
    context = get_executing_context()
    run = context.prompt_id if context is not None else None
    extra_pnginfo = hidden.extra_pnginfo if isinstance(hidden.extra_pnginfo, dict) else None
    current_records.keep(hidden.prompt or {}, str(hidden.unique_id), list_index(), run, record, extra_pnginfo)
