"""Dynamic rank."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..stack.foreign import as_stack
from ..stack.rank_limit import METHODS, Method
from ..stack.target import with_rank_limit
from .show import show_text
from .sockets import CATEGORY, Stack, stack_input


class DynRank(io.ComfyNode):
    """Limits the rank of the LoRAs of a stack."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DynRank",
            display_name="Dynamic rank",
            category=CATEGORY,
            description="Limits the rank of the LoRAs of a stack: the first ranks, the best ones, or as many as keep a "
            "share of the energy. What it did is in the report of Apply LoRA stack.",
            search_aliases=["dyn", "dynamic rank", "lora resize", "reduce rank", "svd lora", "dim"],
            inputs=[
                stack_input(False, "The LoRAs."),
                io.Combo.Input(
                    "method",
                    options=list(METHODS),
                    default="svd",
                    tooltip="truncate: the first ranks, as dyn= in a tag (plain LoRA only, alpha as it is). "
                    "svd: the best approximation of that rank. "
                    "energy: per module the fewest ranks that keep the share below.",
                ),
                io.Int.Input(
                    "rank",
                    default=16,
                    min=0,
                    max=4096,
                    tooltip="For truncate and svd: how many ranks stay. 0 is no limit.",
                ),
                io.Float.Input(
                    "energy",
                    default=0.9,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="For energy: the share of the squared singular values that each module keeps.",
                ),
                io.String.Input(
                    "target",
                    default="",
                    tooltip="Which LoRAs: empty for all, else a name or a pattern (ink*). Capitals make no difference.",
                ),
            ],
            outputs=[Stack.Output("stack", tooltip="The LoRAs with their rank limit.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, stack: Any, method: Method, rank: int, energy: float, target: str) -> io.NodeOutput:
        changed, report = with_rank_limit(as_stack(stack), method, rank, energy, target)
        show_text(cls.hidden.unique_id, report)
        return io.NodeOutput(changed)
