"""LoRA schedule."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..stack.errors import StackFormatError
from ..stack.foreign import as_stack
from ..stack.schedule import read_moves
from ..stack.target import with_schedule
from .show import show_text
from .sockets import CATEGORY, Stack, stack_input


class LoraSchedule(io.ComfyNode):
    """Gives the LoRAs of a stack a weight that moves over the steps."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoraSchedule",
            display_name="LoRA schedule",
            category=CATEGORY,
            description="Lets the weight of LoRAs move over the steps, as weight@place and start=, stop=, step= in a "
            "tag do.",
            search_aliases=["loractl", "lora control", "scheduled lora", "lora keyframes", "prompt control"],
            inputs=[
                stack_input(False, "The LoRAs."),
                io.String.Input(
                    "weights",
                    default="0@0,1@0.5",
                    tooltip="Weights of the diffusion model at places among the steps (0@0,1@0.5), and the steps in "
                    "which it acts: start=5, stop=0.7, step=3-8. Several are parted by colons.",
                ),
                io.String.Input(
                    "target",
                    default="",
                    tooltip="Which LoRAs: empty for all, else a name or a pattern (ink*). Capitals make no difference.",
                ),
            ],
            outputs=[Stack.Output("stack", tooltip="The LoRAs with their schedules.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, weights: Any = None) -> bool | str:
        if not isinstance(weights, str):
            # Linked text is not known yet and comes as None.
            return True if weights is None else f"weights is a text; it got {weights!r:.80}."
        moves = read_moves(weights)
        return moves if isinstance(moves, str) else True

    @classmethod
    def execute(cls, stack: Any, weights: str, target: str) -> io.NodeOutput:
        moves = read_moves(weights)
        if isinstance(moves, str):
            raise StackFormatError(f"LoRA schedule: {moves}")
        changed, report = with_schedule(as_stack(stack), moves, target)
        show_text(cls.hidden.unique_id, report)
        return io.NodeOutput(changed)
