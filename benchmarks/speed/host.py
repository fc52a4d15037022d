"""The host in this process, started as its `main.py` starts it: arguments, allocator, memory mode, in that order."""

from __future__ import annotations

import ast
import importlib.util
import logging
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]

MODES = {
    "cpu": ["--cpu"],
    "default": [],
    "legacy": ["--disable-dynamic-vram"],
    "offloaded": ["--novram"],
    "tight": ["--vram-headroom", "77"],
}
"""Name → the host's arguments. `default` is DynamicVRAM on NVIDIA, `tight` the same with 77 GB that it leaves free;
`offloaded` patches every weight at every step."""


def start(folder: Path, mode: str) -> str:
    """Imports the host at `folder`; says which memory mode it is in. Nothing may have imported torch before.

    Raises:
        RuntimeError: torch is imported already, as the host itself would warn.
    """
    if "torch" in sys.modules:
        raise RuntimeError("The host has to be started before torch is imported.")
    sys.path.insert(0, str(folder))
    sys.argv = [str(folder / "main.py"), *MODES[mode]]
    import comfy.options

    comfy.options.enable_args_parsing()
    from comfy.cli_args import args, enables_dynamic_vram

    logging.basicConfig(level=logging.ERROR)
    import comfy_aimdo.control

    if enables_dynamic_vram():
        comfy_aimdo.control.init(simple_vram_headroom=None, nvml_pressure=not args.disable_nvml_pressure)
    import cuda_malloc  # noqa: F401  chooses the allocator, as a side effect
    import torch

    torch.set_grad_enabled(False)
    import comfy.memory_management
    import comfy.model_management
    import comfy.model_patcher
    import comfy.sd
    import comfy.utils

    management = comfy.model_management
    if enables_dynamic_vram() and management.is_nvidia() and not management.is_wsl():
        indices = ((d.index, int(args.vram_headroom * 1024**3)) for d in management.get_all_torch_devices())
        if not comfy_aimdo.control.init_devices(indices):
            raise RuntimeError("comfy-aimdo does not work here, so the host would not be in its default mode.")
        comfy_aimdo.control.set_log_error()
        comfy.model_patcher.CoreModelPatcher = comfy.model_patcher.ModelPatcherDynamic
        comfy.memory_management.aimdo_enabled = True
        return "DynamicVRAM"
    return "CPU" if args.cpu else f"ModelPatcher, {management.vram_state.name}"


def load_pack() -> None:
    """The repository as the package `lora_deck`, whatever its folder is called."""
    spec = importlib.util.spec_from_file_location(
        "lora_deck", REPOSITORY / "__init__.py", submodule_search_locations=[str(REPOSITORY)]
    )
    assert spec is not None and spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["lora_deck"] = package
    spec.loader.exec_module(package)


def lora_loader(folder: Path) -> type[Any]:
    """The host's own node, taken out of its `nodes.py`: importing that file would import every node there is."""
    import comfy.sd
    import comfy.utils
    import folder_paths

    source = ast.parse((folder / "nodes.py").read_text(encoding="utf-8"))
    wanted = [n for n in source.body if isinstance(n, ast.ClassDef) and n.name in ("LoraLoader", "LoraLoaderModelOnly")]
    scope: dict[str, Any] = {"comfy": comfy, "folder_paths": folder_paths}
    exec(compile(ast.Module(wanted, []), str(folder / "nodes.py"), "exec"), scope)
    loader: type[Any] = scope["LoraLoaderModelOnly"]
    return loader
