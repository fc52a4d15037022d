"""Names in the form of the host's own maps, for model classes that its maps leave out or get wrong.

As there: name without prefix → weight's key, or (key, (dim, start, length)) for a slice of it.
"""

from __future__ import annotations

import re
from typing import Any

import comfy.utils
import torch

_PREFIX = "diffusion_model."
Names = dict[str, Any]


def more_names(model: torch.nn.Module) -> Names:
    """Names that the host's map of `model` lacks."""
    config = getattr(getattr(model, "model_config", None), "unet_config", {})
    return {**_hunyuan(config), **_hunyuan_dit(config), **_video_unet(config)}


def corrections(model: torch.nn.Module, names: Names) -> Names:
    """Slices in the host's map of `model` that do not lie as its weights do. `names`: the host's map."""
    config = getattr(getattr(model, "model_config", None), "unet_config", {})
    kind = config.get("image_model")
    if kind == "lumina2" and config.get("n_kv_heads") != config.get("n_heads"):
        return _recut(names, ".attention.qkv.", _grouped_queries(config))
    if kind == "flux" and config.get("yak_mlp"):
        return _recut(names, ".linear1.", {3 * config["hidden_size"]: _gated(config)})
    return {}


Rows = tuple[int, int]
"""(start, length)."""


def _recut(names: Names, weight: str, rows: dict[int, Rows]) -> Names:
    """The slices of weights that have `weight` in their key, with other rows. `rows`: start → (start, length)."""
    cut: Names = {}
    for name, target in names.items():
        if isinstance(target, tuple) and weight in target[0] and target[1] is not None and target[1][1] in rows:
            cut[name] = (target[0], (0, *rows[target[1][1]]), *target[2:])
    return cut


def _grouped_queries(config: dict[str, Any]) -> dict[int, Rows]:
    """Lumina 2 has fewer heads for keys and values than for queries, where the host cuts into thirds."""
    q = config["dim"]
    kv = q // config["n_heads"] * config["n_kv_heads"]
    return {0: (0, q), q: (q, kv), 2 * q: (q + kv, kv)}


def _gated(config: dict[str, Any]) -> Rows:
    """Ovis-Image's single blocks have a gate beside their MLP, where the host cuts as for Flux."""
    width = config["hidden_size"]
    return 3 * width, int(width * config["mlp_ratio"]) * 2


def _hunyuan(config: dict[str, Any]) -> Names:
    """diffusers' names for the blocks of Hunyuan Video and Image, which the host maps for Flux alone."""
    if config.get("image_model") != "hunyuan_video":
        return {}
    return _without_ending(comfy.utils.flux_to_diffusers(config, output_prefix=_PREFIX))


def _hunyuan_dit(config: dict[str, Any]) -> Names:
    """diffusers counts the second and third norm of a Hunyuan DiT block the other way round.

    Source: diffusers scripts/convert_hunyuandit_to_diffusers.py.
    """
    if config.get("image_model") not in ("hydit", "hydit1"):
        return {}
    blocks = range(config["depth"])
    return {
        f"transformer.blocks.{i}.norm{theirs}": f"{_PREFIX}blocks.{i}.norm{ours}.weight"
        for i in blocks
        for theirs, ours in ((2, 3), (3, 2))
    }


_RESNET = re.compile(r"((?:down_blocks\.\d+|up_blocks\.\d+|mid_block)\.resnets\.\d+)\.(.*)")
_ATTENTION = re.compile(r"((?:down_blocks\.\d+|up_blocks\.\d+|mid_block)\.attentions\.\d+)\.proj_in\.weight")
_IN_TIME = (
    *(f"{attn}.{to}" for attn in ("attn1", "attn2") for to in ("to_q", "to_k", "to_v", "to_out.0")),
    *(f"{ff}.net.{layer}" for ff in ("ff_in", "ff") for layer in ("0.proj", "2")),
    *("norm_in", "norm1", "norm2", "norm3"),
)


def _video_unet(config: dict[str, Any]) -> Names:
    """diffusers' names for the UNets with time (Stable Video Diffusion), by those that the host has without it.

    Source: diffusers models/unets/unet_3d_blocks.py, models/transformers/transformer_temporal.py beside the host's
    ldm/modules/diffusionmodules/openaimodel.py.
    """
    if not config.get("use_temporal_resblock"):
        return {}
    names: Names = {}
    for name, key in comfy.utils.unet_to_diffusers(config).items():
        module, weight = name.removesuffix(".weight"), key.removesuffix(".weight")
        if not name.endswith(".weight"):
            continue
        if found := _RESNET.fullmatch(module):
            block, layer = found.groups()
            # The host's names end in the same layer: `….0.in_layers.0`, with `time_stack.` before it for the other.
            stem, first, rest = weight.rpartition(_LDM_LAYER[layer]) if layer in _LDM_LAYER else ("", "", "")
            names[f"{block}.spatial_res_block.{layer}"] = f"{_PREFIX}{key}"
            if first:
                names[f"{block}.temporal_res_block.{layer}"] = f"{_PREFIX}{stem}time_stack.{first}{rest}.weight"
        elif found := _ATTENTION.fullmatch(name):
            here = f"{_PREFIX}{weight.removesuffix('.proj_in')}"
            for layer in _IN_TIME:
                names[f"{found[1]}.temporal_transformer_blocks.0.{layer}"] = f"{here}.time_stack.0.{layer}.weight"
            for layer, number in (("linear_1", 0), ("linear_2", 2)):
                names[f"{found[1]}.time_pos_embed.{layer}"] = f"{here}.time_pos_embed.{number}.weight"
    return names


_LDM_LAYER = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
}


def _without_ending(names: Names) -> Names:
    return {name.removesuffix(".weight"): to for name, to in names.items() if name.endswith(".weight")}
