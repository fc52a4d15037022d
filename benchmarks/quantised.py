#!/usr/bin/env python3
"""What is left of a LoRA on a quantised weight, patched into it and in the forward pass, by storage type.

    python benchmarks/quantised.py                              # the kernels of the CPU
    python benchmarks/quantised.py --device cuda                # those of this card; `--mode legacy` for no DynamicVRAM

One linear layer of 320 × 1280 in a small UNet, loaded as the host loads such files, a LoRA of rank 8 with
‖Δ‖ / ‖W‖ = 0.044. Every figure is the error of what the LoRA adds to the layer's output, against the layer without it:
‖(y' − y) − Δx‖ / ‖Δx‖, in fp64 from outputs in the model's own type. `one rounding`: what that type alone takes away,
were y + Δx known exactly. `product`: the layer's own, by a kernel of its storage type, which may round the input too,
or of the unpacked weight.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
UNET = {
    "use_checkpoint": False, "image_size": 32, "out_channels": 4, "use_spatial_transformer": True, "legacy": False,
    "in_channels": 4, "model_channels": 320, "use_temporal_attention": False, "use_temporal_resblock": False,
    "adm_in_channels": None, "num_res_blocks": [1], "transformer_depth": [1], "channel_mult": [1], "num_heads": 8,
    "transformer_depth_middle": 1, "use_linear_in_transformer": False, "context_dim": 768,
    "transformer_depth_output": [1, 1],
}  # fmt: skip
"""The smallest that the host detects as SD1.5's."""
LAYER = "input_blocks.1.1.transformer_blocks.0.ff.net.2"
NAME = "lora_unet_input_blocks_1_1_transformer_blocks_0_ff_net_2"
RANK = 8
SIZE = 0.044
"""‖Δ‖ / ‖W‖ of usual LoRAs."""
STORAGES = {
    "fp8 e4m3, scaled": "float8_e4m3fn",
    "fp8 e5m2, scaled": "float8_e5m2",
    "fp8 e4m3, raw": "raw float8_e4m3fn",
    "fp8 e4m3, raw, fast": "fast float8_e4m3fn",
    "fp8 e5m2, raw": "raw float8_e5m2",
    "MXFP8": "mxfp8",
    "NVFP4": "nvfp4",
    "INT8": "int8_tensorwise",
    "INT4, rotated": "convrot_w4a4",
}
"""Name → the host's format; `raw`: a type that its loader node casts all weights to; `fast`: and multiplies in."""
SCALELESS = ("mxfp8", "convrot_w4a4")
"""Formats that are packed without a scale for the whole weight."""


class NotHereError(Exception):
    """A storage type that this host or device does not have."""


@dataclass(frozen=True, slots=True)
class Result:
    """Errors of the LoRA's effect."""

    patched: float
    live: float
    rounding: float
    product: str
    untouched: bool
    """Whether the stored weight has the same bytes afterwards."""
    report: str
    """Of the stack in the forward pass."""


def load(storage: str) -> Any:
    """The UNet's `ModelPatcher` with random weights, as the host loads a file of that storage type.

    Raises:
        NotHereError: the host has no such type, or the device no such product.
    """
    import comfy.model_management
    import comfy.sd
    import torch

    state = _state()
    way, _, dtype = storage.rpartition(" ")
    if way:
        fast = way == "fast"
        if fast and not comfy.model_management.supports_fp8_compute(comfy.model_management.get_torch_device()):
            raise NotHereError("the device does not multiply in fp8")
        options = {"dtype": getattr(torch, dtype), "fp8_optimizations": fast}
        return comfy.sd.load_diffusion_model_state_dict(state, model_options=options)
    try:
        from comfy.quant_ops import QUANT_ALGOS, QuantizedTensor
    except ImportError as error:
        raise NotHereError("the host has no quantised formats") from error
    if storage not in QUANT_ALGOS:
        raise NotHereError("the host has no such format")
    layout = QUANT_ALGOS[storage]["comfy_tensor_layout"]
    weight = state.pop(f"{LAYER}.weight").to(torch.bfloat16)
    scale = {} if storage in SCALELESS else {"scale": "recalculate"}
    stored = QuantizedTensor.from_float(weight, layout, **scale)
    state.update(stored.state_dict(f"{LAYER}.weight"))
    state[f"{LAYER}.comfy_quant"] = torch.tensor(list(json.dumps({"format": storage}).encode()), dtype=torch.uint8)
    return comfy.sd.load_diffusion_model_state_dict(state)


def _state() -> dict[str, Any]:
    import comfy.memory_management
    import comfy.model_detection
    import torch

    config = comfy.model_detection.model_config_from_unet_config(dict(UNET))
    # In the default mode layers have no weights before a checkpoint is loaded, so the shapes come from another one.
    dynamic = getattr(comfy.memory_management, "aimdo_enabled", False)
    comfy.memory_management.aimdo_enabled = False
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in config.get_model({}, "", "meta").diffusion_model.state_dict().items()}
    comfy.memory_management.aimdo_enabled = dynamic
    generator = torch.Generator().manual_seed(7)
    return {key: torch.randn(shape, generator=generator) * 0.05 for key, shape in shapes.items()}


def measure(storage: str, folder: Path) -> Result:
    """Writes a LoRA into `folder`, which the host has as its folder of LoRAs, and applies it both ways.

    Raises:
        NotHereError: as `load`.
    """
    import comfy.model_management
    import comfy.utils
    import torch
    from lora_deck.patching import apply_stack
    from lora_deck.stack.tag import parse_prompt
    from safetensors.torch import save_file

    model = load(storage)
    stored = comfy.utils.get_attr(model.model, f"diffusion_model.{LAYER}.weight")
    base = (stored.dequantize() if hasattr(stored, "dequantize") else stored).detach().double().cpu()
    before = [part.clone() for part in _bytes(stored)]
    generator = torch.Generator().manual_seed(3)
    up = torch.randn(base.shape[0], RANK, generator=generator)
    down = torch.randn(RANK, base.shape[1], generator=generator)
    up *= float(SIZE * base.norm() / (up.double() @ down.double()).norm())
    save_file({f"{NAME}.lora_up.weight": up, f"{NAME}.lora_down.weight": down}, folder / "q.safetensors")
    dtype = model.model.get_dtype_inference()
    x = torch.randn(4, 16, base.shape[1], generator=generator).to(dtype)
    effect = x.double() @ (up.double() @ down.double()).T
    stack = parse_prompt("<lora:q>").stack
    live = apply_stack(model, None, stack)

    plain = _output(model, x)
    patched, added = (
        float((_output(patcher, x) - plain - effect).norm() / effect.norm())
        for patcher in (apply_stack(model, None, stack, method="patch").model, live.model)
    )
    rounding = float(((plain + effect).to(dtype).double() - plain - effect).norm() / effect.norm())
    comfy.model_management.unload_all_models()
    after = _bytes(comfy.utils.get_attr(model.model, f"diffusion_model.{LAYER}.weight"))
    untouched = all(torch.equal(one.cpu(), other.cpu()) for one, other in zip(before, after, strict=True))
    return Result(patched, added, rounding, _product(model, storage, dtype), untouched, str(live.report))


def _bytes(weight: Any) -> list[Any]:
    import torch

    parts = weight.state_dict("w").values() if hasattr(weight, "state_dict") else [weight]
    return [part.detach().contiguous().reshape(-1).view(torch.uint8) for part in parts]


def _output(patcher: Any, x: Any) -> Any:
    """What the layer gives while the model runs, in fp64: its second call, as the host may round anew after one."""
    import comfy.model_management
    import torch
    from comfy.patcher_extension import WrapperExecutor, WrappersMP

    comfy.model_management.unload_all_models()
    comfy.model_management.load_models_gpu([patcher, *patcher.get_additional_models()])
    layer = patcher.model.diffusion_model.get_submodule(LAYER)
    device = patcher.load_device

    def instead(*_: Any, **__: Any) -> Any:
        layer(x.to(device))
        return layer(x.to(device))

    wrappers = patcher.get_all_wrappers(WrappersMP.APPLY_MODEL)
    executor = WrapperExecutor.new_class_executor(instead, patcher.model, wrappers)
    latent = torch.zeros(2, 4, 8, 8, device=device)
    with torch.inference_mode():
        return executor.execute(latent, latent.new_ones(2), None, None, None, {}).double().cpu()


def _product(model: Any, storage: str, dtype: Any) -> str:
    layer = model.model.diffusion_model.get_submodule(LAYER)
    own = storage.startswith("fast") or not getattr(layer, "_full_precision_mm", True)
    return "own kernel" if own else f"unpacked, {str(dtype).removeprefix('torch.')}"


def lines(folder: Path) -> list[str]:
    """The table as Markdown; what cannot run is in it, with the reason."""
    table = ["| stored as | product | patched | live | one rounding |", "|---|---|---|---|---|"]
    for name, storage in STORAGES.items():
        try:
            result = measure(storage, folder)
        except Exception as error:  # noqa: BLE001  a table of what a machine can do says what it cannot
            reason = str(error).strip().splitlines() or [""]
            table.append(f"| {name} | not measured: {type(error).__name__}: {reason[0][:200]} | | | |")
            continue
        changed = "" if result.untouched else " (the weight is not what it was!)"
        table.append(
            f"| {name} | {result.product} | {result.patched:.2g} | {result.live:.1g}{changed} | {result.rounding:.1g} |"
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", type=Path, default=REPOSITORY / ".dev/hosts/0.30.0/ComfyUI")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--mode", default="default", help="of the host's memory on a card: default, legacy")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parent / "speed"))
    from host import load_pack, start

    memory = start(options.host.resolve(), "cpu" if options.device == "cpu" else options.mode)
    import comfy.model_management
    import folder_paths
    import torch

    load_pack()
    device = comfy.model_management.get_torch_device()
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{card}, {memory}, torch {torch.__version__}\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="lora_deck_quantised_") as folder:
        folder_paths.folder_names_and_paths["loras"] = ([folder], {".safetensors"})
        folder_paths.set_user_directory(str(Path(folder) / "user"))
        print("\n".join(lines(Path(folder))), flush=True)


if __name__ == "__main__":
    main()
