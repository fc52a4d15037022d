"""LoRA stack."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..stack.errors import StackFormatError
from ..stack.foreign import as_stack
from ..stack.rows import Rows
from .names_exist import names_exist
from .sockets import CATEGORY, Stack, stack_input

RowsValue = io.Custom("LORA_DECK_ROWS")


class LoraStackRows(io.ComfyNode):
    """Appends the rows that are on to a stack."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoraStackRows",
            display_name="LoRA stack",
            category=CATEGORY,
            description="Many LoRAs in one node: a row for each, with its switch and its weights.",
            search_aliases=["power lora loader", "lora stacker", "multi lora", "lora list", "lora rows"],
            inputs=[
                RowsValue.Input(
                    "rows",
                    tooltip="The rows. Through the API: the JSON form, or tags such as <lora:name:0.8>.",
                ),
                stack_input(True, "LoRAs to put before these."),
            ],
            outputs=[Stack.Output("stack", tooltip="The incoming LoRAs and the rows that are on.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    async def validate_inputs(cls, rows: Any = None) -> bool | str:
        try:
            read = Rows.read(rows)
        except StackFormatError as error:
            return str(error)
        named = [(f"Row {number}", entry.name) for number, entry in read.active()]
        return await names_exist(cls.hidden.unique_id, lambda: named)

    @classmethod
    def execute(cls, rows: Any, stack: Any = None) -> io.NodeOutput:
        return io.NodeOutput(as_stack(stack) + Rows.read(rows).stack())
