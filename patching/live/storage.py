"""How a weight is stored, which decides what patching it would cost, and its value as the model uses it."""

from __future__ import annotations

from typing import Any

import comfy.lora
import comfy.model_management
import comfy.utils
import torch
from torch import Tensor

from ..parameters import CAST_TO, type_in

_CPU = torch.device("cpu")


def storage_of(weight: Any, dtype: torch.dtype) -> str | None:
    """The name of a storage in which a patched weight would lose precision or be patched anew in every step.

    `None` for plain floats of two bytes or more. `dtype`: that the model has it in (`type_in`).
    """
    layout = getattr(weight, "_layout_cls", None)
    if layout is not None:
        return _layout_name(layout if isinstance(layout, str) else layout.__name__, weight)
    packed = getattr(weight, "tensor_type", None)
    if packed is not None and getattr(packed, "name", str(packed)) not in ("F32", "F16", "BF16"):
        return f"GGUF {getattr(packed, 'name', packed)}"
    if dtype.itemsize < 2:
        return str(dtype).removeprefix("torch.").replace("float8_", "fp8 ")
    return None


def is_plain(model: torch.nn.Module) -> bool:
    """Whether no parameter of a model is in such a storage. Every run asks: one loop, no generators."""
    waiting = [model]
    while waiting:
        module = waiting.pop()
        for name, parameter in module._parameters.items():
            # As `type_in`.
            if parameter is not None and storage_of(parameter, module.__dict__.get(name + CAST_TO) or parameter.dtype):
                return False
        waiting.extend([inner for inner in module._modules.values() if inner is not None])
    return True


def _layout_name(layout: str, weight: Any) -> str:
    name = layout.removeprefix("TensorCore").removesuffix("Layout")
    return {"FP8": "fp8", "FP8E4M3": "fp8 e4m3", "FP8E5M2": "fp8 e5m2"}.get(name, name)


def current_weight(patcher: Any, key: str) -> Tensor:
    """A parameter under the patches of its patcher, in fp32 on the CPU, whether or not it is patched in place now."""
    weight = comfy.utils.get_attr(patcher.model, key)
    kept = patcher.backup.get(key)
    if kept is not None:
        weight = kept.weight
    module = comfy.utils.get_attr(patcher.model, key.rpartition(".")[0])
    name = key.rpartition(".")[2]
    if getattr(weight, "tensor_type", None) is not None:
        value = _unpacked(module, weight)
    else:
        value = comfy.model_management.cast_to_device(weight, _CPU, torch.float32, copy=True)
        if storage_of(weight, torch.float32) is None:
            value = value.to(type_in(module, name, weight)).to(torch.float32)
        convert = getattr(module, f"convert_{name}", None)
        if convert is not None:
            value = convert(value, inplace=True)
    value = value.detach().to(_CPU, torch.float32)
    patches = patcher.patches.get(key)
    return value if not patches else comfy.lora.calculate_weight(patches, value, key)


def _unpacked(module: Any, weight: Any) -> Tensor:
    """A GGUF weight, by the layer that keeps it, without what the pack has hung onto it."""
    patches, weight.patches = getattr(weight, "patches", []), []
    try:
        return torch.Tensor(module.get_weight(weight, torch.float32))
    finally:
        weight.patches = patches
