"""Save stack as one LoRA."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..library.files import Watched
from ..patching.save import save_stack
from ..stack.foreign import as_stack
from .changed_files import changed_files
from .show import show_text
from .sockets import CATEGORY, stack_input


class LoraStackSave(io.ComfyNode):
    """Writes a stack as one LoRA file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoraStackSave",
            display_name="Save stack as one LoRA",
            category=CATEGORY,
            description="Writes what a stack holds as one LoRA file: weights, block weights and ranks folded in. "
            "Applying it at 1 does what the stack does.",
            search_aliases=["merge lora", "lora merge", "save lora", "extract lora", "bake lora"],
            inputs=[
                stack_input(False, "The LoRAs."),
                io.String.Input(
                    "filename",
                    default="stack",
                    tooltip="Name of the new file below the first LoRA folder; mixes/ink makes a sub-folder. "
                    "A file that is there is never written over: the new one gets a number.",
                ),
                io.Int.Input(
                    "rank",
                    default=0,
                    min=0,
                    max=4096,
                    tooltip="Rank of the new file, the best approximation. 0 keeps everything exactly.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="The model that the stack is for. With it the file has ComfyUI's names, and block weights "
                    "can be folded in; without it the files' own names.",
                ),
                io.Clip.Input("clip", optional=True, tooltip="The text encoder that the stack is for; as with model."),
            ],
            outputs=[io.String.Output("report", tooltip="What was written, and from what.")],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, **kwargs: Any) -> int:
        return changed_files.counter(cls.hidden.unique_id)

    @classmethod
    def execute(cls, stack: Any, filename: str, rank: int, model: Any = None, clip: Any = None) -> io.NodeOutput:
        saved = save_stack(as_stack(stack), filename, rank, model, clip)
        changed_files.record(cls.hidden.unique_id, [Watched.of(path) for _, path in saved.asked], saved.asked)
        show_text(cls.hidden.unique_id, saved.report)
        return io.NodeOutput(saved.report)
