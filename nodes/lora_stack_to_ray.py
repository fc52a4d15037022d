"""LoRA stack → Raylight."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from .. import library
from ..library import LoraFile
from ..stack.errors import AmbiguousLoraError, LoraNotFoundError, MissingLorasError
from ..stack.foreign import as_stack, lost_in_plain_list
from ..stack.printer import print_tag
from .changed_files import changed_files
from .show import show_text
from .sockets import CATEGORY, RayList, stack_input

FORM = "Raylight's list"


class LoraStackToRay(io.ComfyNode):
    """Turns a stack into the list that Raylight's loaders take."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoraStackToRay",
            display_name="LoRA stack → Raylight",
            category=CATEGORY,
            description="Gives a LoRA stack as the list of files and model weights that Raylight applies on its GPUs.",
            search_aliases=["RAY_LORA", "raylight", "multi gpu lora", "ray lora loader"],
            inputs=[stack_input(False, "The stack.")],
            outputs=[
                RayList.Output("RAY_LORA", tooltip="For the ray_lora input of Raylight's loaders."),
                io.String.Output("report", tooltip="What Raylight's list cannot carry."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, **kwargs: Any) -> int:
        return changed_files.counter(cls.hidden.unique_id)

    @classmethod
    def execute(cls, stack: Any) -> io.NodeOutput:
        value = as_stack(stack)
        weights: dict[str, float] = {}
        files: list[LoraFile] = []
        errors = []
        lines = list(value.notes)
        for entry in value:
            try:
                file = library.resolve(entry.name)
            except (LoraNotFoundError, AmbiguousLoraError) as error:
                # Raylight opens each file in every worker; a path that is not there would fail far from here.
                errors.append((print_tag(entry), error))
                continue
            files.append(file)
            if file.path in weights:
                # A worker leaves out what it has applied already.
                lines.append(f"{entry.name}: named more than once; its weights are added up.")
            weights[file.path] = weights.get(file.path, 0.0) + entry.unet
            if entry.te and entry.te != entry.unet:
                lines.append(f"{entry.name}: {FORM} cannot carry the text encoder's weight.")
            lines.extend(lost_in_plain_list(entry, FORM))
        if errors:
            raise MissingLorasError(errors)
        changed_files.record(cls.hidden.unique_id, files, [(e.name, f.path) for e, f in zip(value, files, strict=True)])
        plain = [{"path": path, "strength_model": weight} for path, weight in weights.items() if weight]
        if plain:
            lines.append("Text encoders are not changed: apply the stack to the clip with Apply LoRA stack.")
        report = "\n".join(lines) or "No LoRA."
        show_text(cls.hidden.unique_id, report)
        return io.NodeOutput(plain, report)
