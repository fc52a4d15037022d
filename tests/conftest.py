"""Loads the repository as the package `lora_deck`, whatever the checkout's folder is called."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

from .browser import browser as browser

# The machines are shared: how long an example takes says nothing about the code.
settings.register_profile("lora_deck", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lora_deck")

ROOT = Path(__file__).resolve().parent.parent


def _load_pack() -> None:
    spec = importlib.util.spec_from_file_location(
        "lora_deck", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["lora_deck"] = module
    spec.loader.exec_module(module)


if "lora_deck" not in sys.modules:
    _load_pack()
