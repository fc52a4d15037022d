"""LoRA Deck: AUTOMATIC1111's Lora extension for ComfyUI graphs."""

from typing import Any

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> Any:
    """Called by the host; everything that needs the host is imported here, so that the rooms load without it."""
    from .nodes.extension import LoraDeckExtension

    return LoraDeckExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
