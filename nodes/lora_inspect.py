"""Inspect LoRA stack."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..library.files import Watched
from ..patching.look import look_inside
from ..stack.foreign import as_stack
from .changed_files import changed_files
from .inspect_picture import draw
from .show import tell_strengths
from .sockets import CATEGORY, stack_input


class LoraInspect(io.ComfyNode):
    """Shows how strong each LoRA of a stack is in every block."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoraInspect",
            display_name="Inspect LoRA stack",
            category=CATEGORY,
            description="Shows how strong each LoRA of a stack is in every block of the model, its rank, and where two "
            "LoRAs overlap.",
            search_aliases=["lora info", "lora analysis", "lora blocks", "lora strength", "lora rank"],
            inputs=[
                stack_input(False, "The LoRAs."),
                io.Model.Input("model", tooltip="The diffusion model that they are for."),
                io.Clip.Input("clip", optional=True, tooltip="The text encoder, to see their part in it."),
            ],
            outputs=[
                io.Image.Output("image", tooltip="The strengths as a picture."),
                io.String.Output("report", tooltip="Strength, rank and effective rank per block, and overlaps."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, **kwargs: Any) -> int:
        return changed_files.counter(cls.hidden.unique_id)

    @classmethod
    def execute(cls, stack: Any, model: Any, clip: Any = None) -> io.NodeOutput:
        look = look_inside(as_stack(stack), model, clip)
        changed_files.record(cls.hidden.unique_id, [Watched.of(path) for _, path in look.asked], look.asked)
        found = look.to_json()
        tell_strengths(cls.hidden.unique_id, found)
        return io.NodeOutput(draw(look), str(look), ui={"lora_deck_strength": [found]})
