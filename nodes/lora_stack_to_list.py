"""LoRA stack → list."""

from __future__ import annotations

import os
from typing import Any

from comfy_api.latest import io

from .. import library
from ..library import LoraFile
from ..stack.errors import AmbiguousLoraError, LoraNotFoundError
from ..stack.foreign import as_stack, lost_in_plain_list
from .changed_files import changed_files
from .show import show_text
from .sockets import CATEGORY, PlainList, stack_input


class LoraStackToList(io.ComfyNode):
    """Turns a stack into the plain list that other packs' loaders take."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoraStackToList",
            display_name="LoRA stack → list",
            category=CATEGORY,
            description="Gives a LoRA stack as the plain list (name, model weight, clip weight) "
            "that other packs' loaders take.",
            search_aliases=["lora stack convert", "LORA_STACK", "efficient loader stack"],
            inputs=[stack_input(False, "The stack.")],
            outputs=[
                PlainList.Output("LORA_STACK", tooltip="A list of (file, model weight, clip weight)."),
                io.String.Output("report", tooltip="What a plain list cannot carry, and names that were not found."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, **kwargs: Any) -> int:
        return changed_files.counter(cls.hidden.unique_id)

    @classmethod
    def execute(cls, stack: Any) -> io.NodeOutput:
        value = as_stack(stack)
        plain: list[tuple[str, float, float]] = []
        files: list[LoraFile] = []
        asked: list[tuple[str, str | None]] = []
        lines = list(value.notes)
        for entry in value:
            name = entry.name
            try:
                file = library.resolve(name)
            except (LoraNotFoundError, AmbiguousLoraError) as error:
                asked.append((name, None))
                lines.append(f"{error} The list carries the name as written.")
            else:
                files.append(file)
                asked.append((name, file.path))
                name = file.name
            plain.append((name.replace("/", os.sep), entry.unet, entry.te))
            lines.extend(lost_in_plain_list(entry))
        changed_files.record(cls.hidden.unique_id, files, asked)
        report = "\n".join(lines) or f"{len(plain)} LoRAs, nothing lost."
        show_text(cls.hidden.unique_id, report)
        return io.NodeOutput(plain, report)
