"""Add LoRA."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..stack.foreign import as_stack, checked_entry
from ..stack.stack import LoraStack
from .names_exist import names_exist
from .sockets import CATEGORY, Stack, stack_input


class LoraStackAdd(io.ComfyNode):
    """Appends one LoRA to a stack."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        def weight(name: str, what: str) -> io.Input:
            return io.Float.Input(
                name, default=1.0, min=-100.0, max=100.0, step=0.05, round=0.001,
                tooltip=f"Weight for the {what}. 1 is as trained, 0 switches it off there, negative turns it around.",
            )  # fmt: skip

        return io.Schema(
            node_id="LoraStackAdd",
            display_name="Add LoRA",
            category=CATEGORY,
            description="Adds one LoRA to a stack.",
            search_aliases=["lora stacker", "lora stack", "add lora"],
            inputs=[
                io.Combo.Input(
                    "lora_name",
                    # Tens of thousands of names would be in every page's first answer; the widget asks the library.
                    options=[],
                    tooltip="The LoRA. Through the API any spelling that resolves is valid, as in a tag.",
                    extra_dict={"widgetType": "LORA_DECK_NAME"},
                ),
                weight("te_weight", "text encoder"),
                weight("unet_weight", "diffusion model"),
                stack_input(True, "LoRAs to put before this one."),
            ],
            outputs=[Stack.Output("stack", tooltip="The incoming LoRAs and this one.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    async def validate_inputs(cls, lora_name: Any = None) -> bool | str:
        if not isinstance(lora_name, str):
            # A linked name is not known yet and comes as None.
            return True if lora_name is None else f"lora_name is a text; it got {lora_name!r:.80}."
        if not lora_name.strip():
            return "lora_name is empty. Choose a LoRA."
        return await names_exist(cls.hidden.unique_id, lambda: [("lora_name", lora_name)])

    @classmethod
    def execute(cls, lora_name: Any, te_weight: float, unet_weight: float, stack: Any = None) -> io.NodeOutput:
        entry = checked_entry(lora_name, te=te_weight, unet=unet_weight, where="Add LoRA")
        return io.NodeOutput(as_stack(stack) + LoraStack((entry,)))
