"""Writes the demo's LoRA files as kohya's trainer names them, with metadata, sidecars and previews."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save

from .catalogue import DEMO_LORAS, DemoLora
from .pictures import write_picture
from .weights import layer, normal

Module = tuple[str, tuple[int, ...]]

# Where the cut UNet of ``checkpoint`` has its transformers, in the names of kohya's trainer.
_TRANSFORMERS = (
    "down_blocks_0_attentions_0",
    "mid_block_attentions_0",
    "up_blocks_0_attentions_0",
    "up_blocks_0_attentions_1",
)


def write_loras(folder: Path) -> None:
    """Writes every file of the catalogue below ``folder``."""
    for lora in DEMO_LORAS:
        path = folder / f"{lora.path}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {}
        for name, shape in _modules(lora):
            tensors.update(_module(lora, name, shape))
        path.write_bytes(_with_metadata(lora, tensors))
        _write_sidecar(lora, folder / f"{lora.path}.json")
        # Both spellings of a preview's name that A1111 knows.
        ending = ".preview.png" if lora.path.startswith("characters/") else ".png"
        write_picture(lora.picture, folder / f"{lora.path}{ending}")


def _modules(lora: DemoLora) -> Iterator[Module]:
    if lora.model == "Flux":
        yield from _flux_modules()
        return
    if lora.te:
        yield from _text_modules()
    if lora.unet:
        yield from _unet_modules()


def _text_modules() -> Iterator[Module]:
    for number in range(12):
        prefix = f"lora_te_text_model_encoder_layers_{number}_"
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield f"{prefix}self_attn_{projection}", (768, 768)
        yield f"{prefix}mlp_fc1", (3072, 768)
        yield f"{prefix}mlp_fc2", (768, 3072)


def _unet_modules() -> Iterator[Module]:
    for place in _TRANSFORMERS:
        yield f"lora_unet_{place}_proj_in", (320, 320, 1, 1)
        block = f"lora_unet_{place}_transformer_blocks_0_"
        for attention, width in (("attn1", 320), ("attn2", 768)):
            yield f"{block}{attention}_to_q", (320, 320)
            yield f"{block}{attention}_to_k", (320, width)
            yield f"{block}{attention}_to_v", (320, width)
            yield f"{block}{attention}_to_out_0", (320, 320)
        yield f"{block}ff_net_0_proj", (2560, 320)
        yield f"{block}ff_net_2", (320, 1280)
        yield f"lora_unet_{place}_proj_out", (320, 320, 1, 1)


def _flux_modules() -> Iterator[Module]:
    for number in range(19):
        for stream in ("img", "txt"):
            yield f"lora_unet_double_blocks_{number}_{stream}_attn_qkv", (9216, 3072)
    for number in range(38):
        yield f"lora_unet_single_blocks_{number}_linear1", (21504, 3072)


def _module(lora: DemoLora, name: str, shape: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """The three tensors of one target: up ``(out, rank)``, down ``(rank, in)``, alpha."""
    out, width, *kernel = shape
    part = lora.te if name.startswith("lora_te_") else lora.unet
    scale = lora.alpha / lora.rank
    seed = f"{lora.path}/{name}"
    down = layer(seed + "/down", (lora.rank, width, *kernel))
    # up @ down then has `part` times the variance of a weight that keeps variance.
    up = normal(seed + "/up", (out, lora.rank, *kernel), part / (scale * math.sqrt(lora.rank)))

    return {
        f"{name}.lora_up.weight": up.half(),
        f"{name}.lora_down.weight": down.half(),
        f"{name}.alpha": torch.tensor(lora.alpha).half(),
    }


def _with_metadata(lora: DemoLora, tensors: dict[str, torch.Tensor]) -> bytes:
    """The file's bytes, the same on every run: the library alone would put the metadata in a random order."""
    plain: bytes = save(tensors)
    size = int.from_bytes(plain[:8], "little")
    payload = plain[8 + size :]
    metadata = {**_metadata(lora), "sshs_model_hash": hashlib.sha256(payload).hexdigest()}
    header = json.dumps({"__metadata__": metadata, **json.loads(plain[8 : 8 + size])}).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + payload


def _metadata(lora: DemoLora) -> dict[str, str]:
    """The fields of kohya's trainer that libraries show; all values are strings, as it writes them."""
    pictures = max(lora.tags.values())
    folder = f"10_{lora.name.lower().replace(' ', '_')}"
    flux = lora.model == "Flux"
    return {
        "ss_output_name": lora.name,
        "ss_sd_model_name": "flux1-dev.safetensors" if flux else "v1-5-pruned-emaonly.safetensors",
        "ss_base_model_version": "flux1" if flux else "sd_v1",
        "ss_v2": "False",
        "ss_network_module": "networks.lora_flux" if flux else "networks.lora",
        "ss_network_dim": str(lora.rank),
        "ss_network_alpha": str(float(lora.alpha)),
        "ss_resolution": "(512, 768)",
        "ss_num_train_images": str(pictures * 10),
        "ss_num_epochs": "8",
        "ss_epoch": "8",
        "ss_steps": str(pictures * 40),
        "ss_learning_rate": "0.0001",
        "ss_optimizer": "torch.optim.adamw.AdamW",
        "ss_mixed_precision": "bf16",
        "ss_clip_skip": "None",
        "ss_training_comment": "Made for LoRA Deck's demo; nothing was trained.",
        "ss_tag_frequency": json.dumps({folder: lora.tags}, ensure_ascii=False),
        "ss_dataset_dirs": json.dumps({folder: {"n_repeats": 10, "img_count": pictures}}, ensure_ascii=False),
    }


def _write_sidecar(lora: DemoLora, path: Path) -> None:
    sidecar = {
        "description": lora.description,
        "sd version": lora.model if lora.model in ("SD1", "SD2", "SDXL") else "Unknown",
        "activation text": lora.activation,
        "preferred weight": lora.weight,
        "negative text": lora.negative,
        "notes": lora.notes,
    }
    path.write_text(json.dumps(sidecar, ensure_ascii=False, indent=4) + "\n", encoding="utf-8")
