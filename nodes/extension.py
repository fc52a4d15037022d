"""What the host loads: the list of nodes, and the routes."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .. import api
from .block_weight import BlockWeight
from .dyn_rank import DynRank
from .lora_inspect import LoraInspect
from .lora_schedule import LoraSchedule
from .lora_stack_add import LoraStackAdd
from .lora_stack_apply import LoraStackApply
from .lora_stack_on_conditioning import LoraStackOnConditioning
from .lora_stack_rows import LoraStackRows
from .lora_stack_save import LoraStackSave
from .lora_stack_to_list import LoraStackToList
from .lora_stack_to_ray import LoraStackToRay
from .lora_text_encode import LoraTextEncode
from .prompt_lora_parser import PromptLoraParser
from .read_infotext import ReadInfotext
from .save_image_infotext import SaveImageInfotext


class LoraDeckExtension(ComfyExtension):
    """The pack, as the host sees it."""

    async def on_load(self) -> None:
        api.register()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            PromptLoraParser, LoraStackAdd, LoraStackRows, BlockWeight, DynRank, LoraSchedule, LoraStackApply,
            LoraTextEncode, LoraStackOnConditioning, LoraInspect, LoraStackSave, LoraStackToList, LoraStackToRay,
            SaveImageInfotext, ReadInfotext,
        ]  # fmt: skip
