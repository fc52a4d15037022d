"""LoRA stack on conditioning."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..sharing.ignored import current_ignored
from ..stack.foreign import as_stack
from ..stack.row_stack import Combine, with_row_stack
from .show import show_text
from .sockets import CATEGORY, stack_input


class LoraStackOnConditioning(io.ComfyNode):
    """Lets LoRAs act where a conditioning is used, and nowhere else."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoraStackOnConditioning",
            display_name="LoRA stack on conditioning",
            category=CATEGORY,
            description="Lets LoRAs act on the diffusion model for this conditioning alone: a masked one, an area, one "
            "of several prompts.",
            search_aliases=["regional lora", "masked lora", "lora mask", "lora per prompt", "lora hook"],
            inputs=[
                io.Conditioning.Input("conditioning", tooltip="The conditioning. Masks and areas may come after it."),
                stack_input(False, "The LoRAs. Their weight for the text encoder does not count here."),
                io.Combo.Input(
                    "combine",
                    options=["add", "replace"],
                    default="add",
                    tooltip="add: beside the model's own LoRAs and those that the conditioning has. "
                    "replace: in their place; Apply LoRA stack must then be on method live.",
                ),
            ],
            outputs=[io.Conditioning.Output("conditioning", tooltip="The conditioning with its LoRAs.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, combine: Any = None) -> bool | str:
        return current_ignored.get().get(str(cls.hidden.unique_id), True)

    @classmethod
    def execute(cls, conditioning: Any, stack: Any, combine: Combine) -> io.NodeOutput:
        own = as_stack(stack)
        show_text(cls.hidden.unique_id, ", ".join(entry.name for entry in own) or "no LoRA")
        return io.NodeOutput(with_row_stack(conditioning, own, combine))
