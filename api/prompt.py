"""What happens to a prompt between the browser and its validation."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as LateError
from typing import Any

from ..library.known import Known, known
from ..library.resolve import current
from ..sharing.fill import Filler
from ..sharing.ignored import current_ignored, ignored
from ..sharing.lock import OtherContent
from ..sharing.missing import current_wants, wants
from ..sharing.records import current_records, is_recorded

logger = logging.getLogger("lora_deck")

LATE_SECONDS = 0.25
"""A look at files that takes longer is given up: a drive that hangs must not hold the server."""

_filler = Filler()
_pool = ThreadPoolExecutor(2, thread_name_prefix="lora-deck prompts")


def on_prompt(json_data: dict[str, Any]) -> dict[str, Any]:
    """The host's prompt handler; runs on the event loop, so it reads the graph and the index and nothing else."""
    current_wants.set({})
    current_ignored.set({})
    prompt = json_data.get("prompt")
    if isinstance(prompt, dict):
        current_ignored.set(ignored(prompt))
    if not isinstance(prompt, dict) or not is_recorded(prompt):
        return json_data
    extra_data = json_data.get("extra_data")
    if extra_data is None:
        extra_data = json_data["extra_data"] = {}
    _fill_locks(prompt, _other_content(extra_data))
    current_wants.set(wants(prompt))
    if isinstance(extra_data, dict):
        extra_pnginfo = extra_data.get("extra_pnginfo")
        if extra_pnginfo is None:
            # The place where nodes write what they applied; clients of the API leave it out.
            extra_pnginfo = extra_data["extra_pnginfo"] = {}
        if isinstance(extra_pnginfo, dict):
            current_records.insert(prompt, extra_pnginfo)
    return json_data


def _other_content(extra_data: object) -> OtherContent | None:
    ours = extra_data.get("lora_deck") if isinstance(extra_data, Mapping) else None
    wanted = ours.get("other_content") if isinstance(ours, Mapping) else None
    return wanted if wanted in ("warn", "error") else None


def _fill_locks(prompt: dict[str, Any], other_content: OtherContent | None) -> None:
    for node_id, text in _filler.fill(prompt, _look_up, other_content).items():
        prompt[node_id]["inputs"]["lock"] = text


def _look_up(names: Sequence[str]) -> Mapping[str, Known]:
    """What the index knows of the names; nothing where it cannot say so at once."""
    looked: Future[dict[str, Known]] = _pool.submit(known, current(), names)
    try:
        return looked.result(LATE_SECONDS)
    except LateError:
        looked.cancel()
        logger.warning("The lock was not filled in: looking at the LoRA folders takes too long.")
    except sqlite3.Error as error:
        logger.warning("The lock was not filled in (%s).", error)
    return {}
