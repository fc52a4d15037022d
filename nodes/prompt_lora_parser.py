"""Prompt → LoRA stack."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..stack.errors import StackFormatError
from ..stack.foreign import as_stack
from ..stack.tag import Repeats, WeightOrder, parse_prompt
from .keep_record import keep_outputs
from .names_exist import names_exist
from .show import show_text
from .sockets import CATEGORY, Stack, stack_input
from .tag_inputs import repeats_input, weight_order_input


class PromptLoraParser(io.ComfyNode):
    """Takes the tags out of a prompt."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PromptLoraParser",
            display_name="Prompt → LoRA stack",
            category=CATEGORY,
            description="Takes <lora:name:weight> tags out of a prompt "
            "and gives the clean text and the LoRAs as a stack.",
            search_aliases=["lora tag", "lora prompt", "a1111 lora", "prompt lora loader", "lora text"],
            inputs=[
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    placeholder="a cat <lora:ink_wash:0.8>",
                    tooltip="The prompt. A tag is <lora:name:te:unet>; one number sets both weights, none means 1.",
                ),
                weight_order_input(),
                repeats_input(),
                stack_input(True, "LoRAs to put before those of the prompt."),
            ],
            outputs=[
                io.String.Output("text", tooltip="The prompt without its tags."),
                Stack.Output("stack", tooltip="The LoRAs, in order of appearance."),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
        )

    @classmethod
    async def validate_inputs(cls, text: Any = None) -> bool | str:
        if not isinstance(text, str):
            # Linked text is not known yet and comes as None.
            return True if text is None else f"text is a text; it got {text!r:.80}."

        def names() -> list[tuple[str, str]]:
            tags = parse_prompt(text).tags
            return [(_label(text, t.start, t.end), t.entry.name) for t in tags if t.entry is not None]

        return await names_exist(cls.hidden.unique_id, names)

    @classmethod
    def execute(cls, text: Any, weight_order: WeightOrder, repeats: Repeats, stack: Any = None) -> io.NodeOutput:
        if not isinstance(text, str):
            raise StackFormatError(f"The input text of Prompt → LoRA stack takes a text; it got {text!r:.80}.")
        parsed = parse_prompt(text, weight_order, repeats)
        found = ", ".join(entry.name for entry in parsed.stack) or "no LoRA"
        show_text(cls.hidden.unique_id, "\n".join((found, *parsed.stack.notes)))
        keep_outputs(cls.hidden, {0: parsed.text})
        return io.NodeOutput(parsed.text, as_stack(stack) + parsed.stack)


def _label(prompt: str, start: int, end: int) -> str:
    return f"{prompt[start:end]} (character {start + 1})"
