"""A stand-in of what GGUF loaders bring.

Packed tensors with a type and the true shape, layers that unpack them at every call, and a patcher that hangs patches
on the tensor. Packing and unpacking is the `gguf` package's.
"""

from __future__ import annotations

from typing import Any

import comfy.lora
import comfy.model_patcher
import comfy.ops
import comfy.utils
import gguf
import torch


class Packed(torch.Tensor):
    """Bytes of a tensor. As the loaders' own class it is never copied, and shows the shape that it stands for."""

    tensor_type: Any
    tensor_shape: torch.Size
    patches: list[Any]

    @classmethod
    def of(cls, value: torch.Tensor, kind: gguf.GGMLQuantizationType) -> Packed:
        made = torch.from_numpy(gguf.quants.quantize(value.float().numpy(), kind)).as_subclass(cls)
        made.tensor_type, made.tensor_shape, made.patches = kind, value.shape, []
        return made

    def to(self, *args: Any, **kwargs: Any) -> Any:
        made = super().to(*args, **kwargs)
        made.tensor_type, made.tensor_shape, made.patches = self.tensor_type, self.tensor_shape, self.patches.copy()
        return made

    def clone(self, *_: Any, **__: Any) -> Packed:
        return self

    def detach(self, *_: Any, **__: Any) -> Packed:
        return self

    @property
    def shape(self) -> Any:
        return getattr(self, "tensor_shape", None) or self.size()


class Operations(comfy.ops.manual_cast):  # type: ignore[misc]
    """The host's `custom_operations`."""

    class Linear(comfy.ops.manual_cast.Linear):  # type: ignore[misc]
        comfy_cast_weights = True

        def __init__(self, in_features: int, out_features: int, bias: bool = True, **_: Any) -> None:
            torch.nn.Module.__init__(self)
            self.in_features, self.out_features = in_features, out_features
            self.weight = self.bias = None

        def _load_from_state_dict(
            self, state: Any, prefix: str, metadata: Any, strict: Any, missing: Any, *_: Any
        ) -> None:
            for name in ("weight", "bias"):
                value = state.get(f"{prefix}{name}")
                if value is not None:
                    setattr(self, name, torch.nn.Parameter(value, requires_grad=False))
                elif name == "weight":
                    missing.append(f"{prefix}{name}")

        def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
            # Packed shapes, and a weight that is none: what unpacking takes.
            for name in ("weight", "bias"):
                value = getattr(self, name)
                if value is not None:
                    size = value.as_subclass(torch.Tensor).shape
                    destination[f"{prefix}{name}"] = torch.zeros(size, device="meta")
            destination[f"{prefix}temp.weight"] = torch.empty(self.out_features, self.in_features, device="meta")

        def get_weight(self, tensor: Any, dtype: torch.dtype) -> torch.Tensor:
            """The tensor with what hangs on it, as a plain one."""
            value = unpacked(tensor).to(dtype)
            for patches, key in getattr(tensor, "patches", []):
                value = comfy.lora.calculate_weight(patches, value, key)
            return value

        def forward_comfy_cast_weights(self, input: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
            bias = None if self.bias is None else self.get_weight(self.bias, input.dtype)
            return torch.nn.functional.linear(input, self.get_weight(self.weight, input.dtype), bias)


def unpacked(tensor: Any) -> torch.Tensor:
    """The numbers of a packed or plain tensor, fp32."""
    if not isinstance(tensor, Packed):
        return torch.Tensor(tensor.float())
    numbers = gguf.quants.dequantize(tensor.as_subclass(torch.Tensor).numpy(), tensor.tensor_type)
    return torch.from_numpy(numbers).reshape(tensor.tensor_shape)


class Patcher(comfy.model_patcher.ModelPatcher):  # type: ignore[misc]
    """Patches of packed weights hang on the weight until the model is unpatched."""

    def patch_weight_to_device(self, key: str, device_to: Any = None, inplace_update: bool = False) -> None:
        weight = comfy.utils.get_attr(self.model, key)
        if key not in self.patches or not isinstance(weight, Packed):
            super().patch_weight_to_device(key, device_to, inplace_update)
            return
        made = weight.to(device_to)
        made.patches = [(self.patches[key], key)]
        comfy.utils.set_attr_param(self.model, key, made)

    def unpatch_model(self, device_to: Any = None, unpatch_weights: bool = True) -> Any:
        for parameter in self.model.parameters() if unpatch_weights else ():
            if isinstance(parameter, Packed):
                parameter.patches = []
        return super().unpatch_model(device_to, unpatch_weights)

    def load(self, *args: Any, force_patch_weights: bool = False, **kwargs: Any) -> None:
        super().load(*args, force_patch_weights=True, **kwargs)
