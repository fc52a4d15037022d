"""Models of real shapes and names with random weights, and LoRA files for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

UNET = {
    "use_checkpoint": False, "image_size": 32, "out_channels": 4, "use_spatial_transformer": True, "legacy": False,
    "in_channels": 4, "model_channels": 320, "use_temporal_attention": False, "use_temporal_resblock": False,
}  # fmt: skip
SD15 = {
    **UNET, "adm_in_channels": None, "num_res_blocks": [2, 2, 2, 2], "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "channel_mult": [1, 2, 4, 4], "transformer_depth_middle": 1, "use_linear_in_transformer": False,
    "context_dim": 768, "num_heads": 8, "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
}  # fmt: skip
SDXL = {
    **UNET, "num_classes": "sequential", "adm_in_channels": 2816, "num_res_blocks": [2, 2, 2],
    "transformer_depth": [0, 0, 2, 2, 10, 10], "channel_mult": [1, 2, 4], "transformer_depth_middle": 10,
    "use_linear_in_transformer": True, "context_dim": 2048, "num_head_channels": 64,
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
}  # fmt: skip
THIN = {**SDXL, "model_channels": 32, "num_head_channels": 8}
"""SDXL's names, a hundredth of its weights."""
FLUX = {
    "image_model": "flux", "in_channels": 16, "out_channels": 16, "patch_size": 2, "vec_in_dim": 768,
    "context_in_dim": 4096, "hidden_size": 3072, "mlp_ratio": 4.0, "num_heads": 24, "depth": 6,
    "depth_single_blocks": 12, "axes_dim": [16, 56, 56], "txt_ids_dims": [], "theta": 10000, "qkv_bias": True,
    "guidance_embed": False,
}  # fmt: skip
"""Flux' shapes, a third of its blocks."""


@dataclass(frozen=True)
class Shape:
    """A kind of model: the host's class, its configuration, what a forward takes."""

    host_class: str
    config: dict[str, Any]
    latent: tuple[int, ...]
    context: tuple[int, int]
    pooled: int | None


SHAPES = {
    "sd15": Shape("SD15", SD15, (1, 4, 64, 64), (77, 768), None),
    "sdxl": Shape("SDXL", SDXL, (1, 4, 64, 64), (77, 2048), 2816),
    "thin": Shape("SDXL", THIN, (1, 4, 16, 16), (77, 2048), 2816),
    "flux": Shape("Flux", FLUX, (1, 16, 64, 64), (256, 4096), 768),
}


class Noise:
    """Seeded normal numbers, cut from one pool: fresh ones would take longer than what is measured."""

    def __init__(self, seed: int = 7) -> None:
        import torch

        self._pool = torch.randn((1 << 22) + 1013, generator=torch.Generator().manual_seed(seed))
        self._place = 0

    def __call__(self, shape: tuple[int, ...], dtype: Any, size: float) -> Any:
        """A new tensor of standard deviation `size`."""
        import torch

        filled = torch.empty(shape, dtype=dtype)
        flat = filled.view(-1)
        done = 0
        while done < len(flat):
            self._place = (self._place + 7919) % 1013
            piece = self._pool[self._place : self._place + min(1 << 22, len(flat) - done)]
            flat[done : done + len(piece)] = piece * size
            done += len(piece)
        return filled


def build(name: str, dtype: Any) -> Any:
    """A `ModelPatcher` of the host's memory mode over a model of `SHAPES[name]`, as a checkpoint's loading makes it."""
    import comfy.memory_management
    import comfy.model_management
    import comfy.model_patcher
    import comfy.supported_models
    import torch

    shape = SHAPES[name]
    config = getattr(comfy.supported_models, shape.host_class)(dict(shape.config))
    device = comfy.model_management.get_torch_device()
    config.set_inference_dtype(dtype, None if device.type != "cpu" else torch.float32)
    dynamic = comfy.memory_management.aimdo_enabled
    # In the default mode layers have no weights before a checkpoint is loaded, so the shapes come from another one.
    comfy.memory_management.aimdo_enabled = False
    with torch.device("meta"):
        shapes = {k: (tuple(v.shape), v.dtype) for k, v in config.get_model({}, "", "meta").state_dict().items()}
    comfy.memory_management.aimdo_enabled = dynamic
    model = config.get_model({}, "", torch.device("cpu"))
    noise = Noise()
    prefix = "diffusion_model."
    weights = {
        key.removeprefix(prefix): noise(size, kind if not kind.is_floating_point else dtype, 0.03)
        for key, (size, kind) in shapes.items()
        if key.startswith(prefix)
    }
    model.load_model_weights(weights, "", assign=True)
    offload = comfy.model_management.unet_offload_device()
    return comfy.model_patcher.CoreModelPatcher(model, load_device=device, offload_device=offload)


def targets(name: str, model: Any) -> dict[str, tuple[int, ...]]:
    """Module names as trainers write them → shape of the weight (or slice): kohya's for UNets, diffusers' for Flux."""
    import comfy.utils

    if name == "flux":
        return dict(_flux(model))
    found = {}
    for key in model.state_dict():
        inner = "transformer_blocks" in key and any(p in key for p in (".to_", ".ff.net.0.proj", ".ff.net.2"))
        if key.endswith(".weight") and (inner or ".proj_in." in key or ".proj_out." in key):
            path = key.removeprefix("diffusion_model.").removesuffix(".weight").replace(".", "_")
            found[f"lora_unet_{path}"] = tuple(comfy.utils.get_attr(model, key).shape)
    return found


def _flux(model: Any) -> Iterator[tuple[str, tuple[int, ...]]]:
    import comfy.utils

    seen = set()
    for path, target in comfy.utils.flux_to_diffusers(model.model_config.unet_config, "diffusion_model.").items():
        if target in seen or "to_qkv_mlp" in path:
            # A second name of the layer, or a name of several together.
            continue
        seen.add(target)
        key, offset = (target, None) if isinstance(target, str) else (target[0], target[1])
        if path.endswith(".weight") and "norm" not in path and ("attn" in path or "ff" in path or "proj" in path):
            shape = list(comfy.utils.get_attr(model, key).shape)
            if offset is not None:
                shape[offset[0]] = offset[2]
            yield f"transformer.{path.removesuffix('.weight')}", tuple(shape)


def write_loras(folder: Path, modules: dict[str, tuple[int, ...]], count: int, rank: int, dtype: Any) -> list[str]:
    """Plain LoRA files; their names without the ending."""
    from safetensors.torch import save_file

    noise = Noise(11)
    import torch

    names = []
    for i in range(count):
        tensors = {}
        for module, (out, inner, *kernel) in modules.items():
            ones = [1] * len(kernel)
            up, down = ("lora_B", "lora_A") if module.startswith("transformer.") else ("lora_up", "lora_down")
            tensors[f"{module}.{up}.weight"] = noise((out, rank, *ones), dtype, 0.02)
            tensors[f"{module}.{down}.weight"] = noise((rank, inner, *kernel), dtype, 0.02)
            if up == "lora_up":
                tensors[f"{module}.alpha"] = torch.tensor(rank / 2, dtype=dtype)
        names.append(f"plain_r{rank}_{i}")
        save_file(tensors, folder / f"{names[-1]}.safetensors")
    return names


def write_mixed(folder: Path, modules: dict[str, tuple[int, ...]], rank: int, dtype: Any) -> list[str]:
    """A LoRA, a LoHa, a LoKr and a LoRA with DoRA."""
    from safetensors.torch import save_file

    noise = Noise(13)
    (plain,) = write_loras(folder, modules, 1, rank, dtype)
    loha, lokr, dora = {}, {}, {}
    for module, (out, inner, *kernel) in modules.items():
        size = inner
        for k in kernel:
            size *= k
        for part in ("1", "2"):
            loha[f"{module}.hada_w{part}_a"] = noise((out, 8), dtype, 0.1)
            loha[f"{module}.hada_w{part}_b"] = noise((8, size), dtype, 0.1)
        lokr[f"{module}.lokr_w1"] = noise((8, 8), dtype, 0.1)
        lokr[f"{module}.lokr_w2"] = noise((out // 8, inner // 8, *kernel), dtype, 0.1)
        dora[f"{module}.lora_up.weight"] = noise((out, rank, *[1] * len(kernel)), dtype, 0.02)
        dora[f"{module}.lora_down.weight"] = noise((rank, inner, *kernel), dtype, 0.02)
        dora[f"{module}.dora_scale"] = noise((1, inner, *[1] * len(kernel)), dtype, 0.02).abs() + 0.5
    for name, tensors in (("loha", loha), ("lokr", lokr), ("dora", dora)):
        save_file(tensors, folder / f"{name}.safetensors")
    return [plain, "loha", "lokr", "dora"]
