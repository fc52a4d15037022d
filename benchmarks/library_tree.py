"""Generates a library of header-only LoRA files for the benchmarks: true headers, no tensor data worth mentioning."""

from __future__ import annotations

import json
import os
import random
import struct
from pathlib import Path

WORDS = (
    "ink", "wash", "grain", "film", "noir", "pastel", "neon", "chrome", "velvet", "amber", "frost",
    "ember", "moss", "coral", "dusk", "dawn", "paper", "clay", "glass", "copper", "storm", "river",
    "stone", "cedar", "lotus", "crane", "tiger", "dragon", "phoenix", "koi", "maple", "plum", "iris",
    "poppy", "aster", "fern", "pearl", "onyx", "jade",
)  # fmt: skip
CJK = ("墨", "水墨", "浮世绘", "线条", "厚涂")
VERSION = 2
ARCHITECTURES = ("SD1", "SDXL", "Flux")


def make_tree(root: Path, files: int, folders: int, seed: int = 7) -> None:
    """`files` LoRA files in `folders` folders below `root`; does nothing if they are there already."""
    done = root / ".complete"
    if done.exists() and done.read_text() == f"{files} {folders} {seed} {VERSION}":
        return
    choose = random.Random(seed)
    per_folder = -(-files // folders)
    written = 0
    for number in range(folders):
        folder = root / WORDS[number % len(WORDS)] / f"{choose.choice(WORDS)}_{number:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        for _ in range(min(per_folder, files - written)):
            name = f"{choose.choice(WORDS)}_{choose.choice(WORDS)}_v{written}"
            if written % 97 == 0:
                name = f"{choose.choice(CJK)}_{name}"
            _write(folder / f"{name}.safetensors", name, ARCHITECTURES[written % 3], choose)
            written += 1
    done.write_text(f"{files} {folders} {seed} {VERSION}")


def _write(path: Path, name: str, architecture: str, choose: random.Random) -> None:
    tags = {choose.choice(WORDS): choose.randrange(1, 90) for _ in range(40)}
    header: dict[str, object] = {
        "__metadata__": {
            "ss_output_name": name, "ss_network_dim": "16", "ss_network_module": "networks.lora",
            "ss_sd_model_name": "model.safetensors", "ss_tag_frequency": json.dumps({"img": tags}),
            "modelspec.title": name, "modelspec.description": " ".join(choose.choices(WORDS, k=12)),
            "modelspec.tags": ", ".join(choose.sample(WORDS, k=3)),
        }
    }  # fmt: skip
    for module, width in _modules(architecture):
        header[f"{module}.alpha"] = {"dtype": "F16", "shape": [0], "data_offsets": [0, 0]}
        header[f"{module}.lora_down.weight"] = {"dtype": "F16", "shape": [0, width], "data_offsets": [0, 0]}
        header[f"{module}.lora_up.weight"] = {"dtype": "F16", "shape": [width, 0], "data_offsets": [0, 0]}
    raw = json.dumps(header, separators=(",", ":")).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw + os.urandom(16))


def _modules(architecture: str) -> list[tuple[str, int]]:
    """The modules that trainers train by default: 264 for SD1 (sd-scripts), 76 for Flux, 140 for SDXL (attention)."""
    if architecture == "Flux":
        return [(f"lora_unet_double_blocks_{n}_{side}_attn_{part}", 3072)
                for n in range(19) for side in ("img", "txt") for part in ("qkv", "proj")]  # fmt: skip
    attention = [(f"attn{n}_to_{part}", n) for n in (1, 2) for part in ("q", "k", "v", "out_0")]
    if architecture == "SDXL":
        return [(f"lora_unet_{block}_transformer_blocks_{depth}_{name}", 2048 if n == 2 and name[-1] in "kv" else 640)
                for block, depths in (("input_blocks_4_1", 2), ("input_blocks_7_1", 10), ("output_blocks_3_1", 2),
                                      ("middle_block_1", 3), ("output_blocks_5_1", 1))
                for depth in range(depths) for name, n in attention]  # fmt: skip
    blocks = [f"down_blocks_{b}_attentions_{a}" for b in range(3) for a in range(2)]
    blocks += ["mid_block_attentions_0"] + [f"up_blocks_{b}_attentions_{a}" for b in (1, 2, 3) for a in range(3)]
    modules = [(f"lora_unet_{block}_{part}", 320) for block in blocks for part in ("proj_in", "proj_out")]
    modules += [(f"lora_unet_{block}_transformer_blocks_0_{name}", 768 if n == 2 and name[-1] in "kv" else 320)
                for block in blocks for name, n in (*attention, ("ff_net_0_proj", 0), ("ff_net_2", 0))]  # fmt: skip
    modules += [(f"lora_te_text_model_encoder_layers_{n}_{part}", 768) for n in range(12)
                for part in ("self_attn_q_proj", "self_attn_k_proj", "self_attn_v_proj", "self_attn_out_proj",
                             "mlp_fc1", "mlp_fc2")]  # fmt: skip
    return modules
