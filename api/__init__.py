"""The browser's surface: routes and the prompt handler, JSON in and out."""

from __future__ import annotations


def register() -> None:
    """Registers everything with the running host; called once from `on_load`."""
    from server import PromptServer

    from .library_routes import register_library
    from .prompt import on_prompt

    register_library(PromptServer.instance)
    PromptServer.instance.add_on_prompt_handler(on_prompt)
