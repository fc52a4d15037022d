"""Block weight."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..stack.foreign import as_stack
from ..stack.target import targets, with_block_weights
from .show import REPEATED, show_text
from .sockets import CATEGORY, Stack, stack_input


class BlockWeight(io.ComfyNode):
    """Gives the LoRAs of a stack a weight per block."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="BlockWeight",
            display_name="Block weight",
            category=CATEGORY,
            description="Gives the LoRAs of a stack a weight for each block of the model, as lbw= does in a tag.",
            search_aliases=["lbw", "lora block weight", "block merge", "lora blocks"],
            inputs=[
                stack_input(False, "The LoRAs."),
                io.String.Input(
                    "blocks",
                    default="ALL",
                    tooltip="A preset (MIDD), a vector (1,0,0.5,…) or blocks by name (IN04-OUT05=0.8,M00=0.2). "
                    "It replaces what lbw= says in a tag.",
                    extra_dict={"widgetType": "LORA_DECK_BLOCKS"},
                ),
                io.String.Input(
                    "target",
                    default="",
                    tooltip="Which LoRAs: empty for all, else a name or a pattern (ink*). Capitals make no difference.",
                ),
            ],
            outputs=[Stack.Output("stack", tooltip="The LoRAs with their block weights.")],
            hidden=[io.Hidden.unique_id],
            **REPEATED,
        )

    @classmethod
    def execute(cls, stack: Any, blocks: str, target: str) -> io.NodeOutput:
        given = as_stack(stack)
        changed, report = with_block_weights(given, blocks, target)
        show_text(cls.hidden.unique_id, report)
        names = [entry.name for entry in given if targets(entry, target)]
        return io.NodeOutput(changed, ui={"lora_deck_names": list(dict.fromkeys(names))})
