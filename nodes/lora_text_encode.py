"""Prompt with LoRAs."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from .. import library
from ..library import LoraFile
from ..patching import apply_stack, encode_prompt
from ..sharing.ignored import current_ignored
from ..stack.errors import StackFormatError
from ..stack.foreign import as_stack
from ..stack.row_stack import Scope, split_prompt
from ..stack.stack import LoraStack
from ..stack.tag import Repeats, WeightOrder
from .changed_files import changed_files
from .show import show_text
from .sockets import CATEGORY, Stack, stack_input
from .tag_inputs import repeats_input, weight_order_input


class LoraTextEncode(io.ComfyNode):
    """Encodes a prompt with its LoRA tags, its `AND` and its `BREAK`."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoraTextEncode",
            display_name="Prompt with LoRAs",
            category=CATEGORY,
            description="Encodes a prompt with <lora:…> tags, AND and BREAK as AUTOMATIC1111 does; in scope sub-prompt "
            "the tags of each part act on that part alone.",
            search_aliases=["clip text encode", "and", "break", "sub-prompt", "regional lora", "prompt control"],
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder. It stays as it is; copies are patched."),
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    placeholder="a cat <lora:ink_wash:0.8> AND a dog :0.7",
                    tooltip="The prompt. AND parts it, :0.7 at a part's end is its weight, BREAK begins a new chunk.",
                ),
                io.Combo.Input(
                    "scope",
                    options=["prompt", "sub-prompt"],
                    default="prompt",
                    tooltip="What a tag acts on. prompt: on everything, as in AUTOMATIC1111; connect stack to Apply. "
                    "sub-prompt: on its part between two AND alone.",
                ),
                weight_order_input(),
                repeats_input(),
                stack_input(True, "LoRAs that act on the whole prompt, before those of its tags."),
            ],
            outputs=[
                io.Conditioning.Output("conditioning", tooltip="The prompt, one entry for each part."),
                Stack.Output("stack", tooltip="The LoRAs for the model: connect it to Apply LoRA stack."),
                io.String.Output("text", tooltip="The prompt without its tags."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, **kwargs: Any) -> int:
        return changed_files.counter(cls.hidden.unique_id)

    @classmethod
    def validate_inputs(cls, text: Any = None, scope: Any = None) -> bool | str:
        if text is not None and not isinstance(text, str):
            return f"text is a text; it got {text!r:.80}."
        return current_ignored.get().get(str(cls.hidden.unique_id), True)

    @classmethod
    def execute(
        cls, clip: Any, text: Any, scope: Scope, weight_order: WeightOrder, repeats: Repeats, stack: Any = None
    ) -> io.NodeOutput:
        if not isinstance(text, str):
            raise StackFormatError(f"The input text of Prompt with LoRAs takes a text; it got {text!r:.80}.")
        before = as_stack(stack)
        prompt = split_prompt(text, scope, weight_order, repeats)
        files: list[LoraFile] = []
        asked: list[tuple[str, str | None]] = []
        notes: list[str] = []

        def resolve(name: str) -> LoraFile:
            file = library.resolve(name)
            files.append(file)
            asked.append((name, file.path))
            return file

        def clip_for(wanted: LoraStack) -> Any:
            applied = apply_stack(None, clip, wanted, resolve=resolve)
            notes.extend(applied.report.notes)
            return applied.clip

        conditioning = encode_prompt(prompt, before, clip_for)
        changed_files.record(cls.hidden.unique_id, files, asked)
        parts = "; ".join(", ".join(entry.name for entry in part.stack) or "no LoRA" for part in prompt.parts)
        shown = parts if scope == "sub-prompt" else ", ".join(entry.name for entry in prompt.stack) or "no LoRA"
        show_text(cls.hidden.unique_id, "\n".join(dict.fromkeys((shown, *notes))))
        return io.NodeOutput(conditioning, before + prompt.stack, prompt.text)
