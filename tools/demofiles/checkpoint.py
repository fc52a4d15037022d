"""A small checkpoint of the SD1.5 family: CLIP-L and VAE at their size, the UNet cut to one resolution.

Nothing is trained. The weights are noise, shaped so that the sampler ends in soft fields of colour which follow
the prompt: the UNet passes its input through as the noise it predicts (which lets the sampler take it away), removes
fine detail a little faster than the rest, and adds what its attention makes of the text; the VAE paints the four
latent channels with a smooth random palette.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from safetensors.torch import save_file

from .weights import layer, normal

Weights = dict[str, torch.Tensor]

UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "num_res_blocks": [1],
    "channel_mult": [1],
    "transformer_depth": [1],
    "transformer_depth_middle": 1,
    "transformer_depth_output": [1, 1],
    "num_heads": 8,
    "context_dim": 768,
    "use_spatial_transformer": True,
    "legacy": False,
}
VAE = {
    "double_z": True,
    "z_channels": 4,
    "resolution": 256,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 128,
    "ch_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "attn_resolutions": [],
    "dropout": 0.0,
}

# The last normalisation group of the UNet's 320 channels carries the latent and its negative:
# silu(a) - silu(-a) = a, so the output layers hand it on unbent. The group's last two channels hold constants, so
# that its normalisation hardly depends on the latent.
CARRIED = tuple(range(310, 318))
CARRIED_GROUP = slice(310, 320)
STEADY = {318: 3.0, 319: -3.0}

# How much stronger fine detail is predicted as noise than the rest.
SHARPNESS = 0.35
# Standard deviation of what the other channels add to the predicted noise.
COLOUR = 0.4

# The decoder's first and last layers, with their gains, and the seeds that were picked by eye: blues and greens.
PALETTE = {("conv_in", 1.0): "p0", ("conv_out", 1.0): "q0"}


def write_checkpoint(path: Path) -> None:
    """Writes the checkpoint in fp16 (under 500 MB); needs the host's ``comfy`` for names and shapes."""
    weights = {
        **_prefixed("model.diffusion_model.", _unet()),
        **_prefixed("cond_stage_model.transformer.", _text_encoder()),
        **_prefixed("first_stage_model.", _vae()),
    }
    save_file({key: weight.half().contiguous() for key, weight in weights.items()}, path)


def _prefixed(prefix: str, weights: Weights) -> Weights:
    return {prefix + key: weight for key, weight in weights.items()}


def _shapes(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}


def _seeded(model: str, shapes: dict[str, tuple[int, ...]], gains: dict[str, float]) -> Weights:
    """Norms at 1, biases at 0, the rest noise; ``gains`` maps endings of module names to their gain."""
    weights = {}
    for key, shape in shapes.items():
        module = key.rpartition(".")[0]
        if len(shape) == 1:
            weights[key] = torch.ones(shape) if key.endswith("weight") else torch.zeros(shape)
            continue
        gain = next((gain for ending, gain in gains.items() if module.endswith(ending)), 1.0)
        weights[key] = _soft(f"{model}/{key}", shape, gain)
    return weights


def _unet() -> Weights:
    import comfy.ops
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    with torch.device("meta"):
        model = UNetModel(**UNET, operations=comfy.ops.disable_weight_init, device="meta")
    attention = {"attn2.to_q": 1.8, "attn2.to_k": 1.8, "attn2.to_out.0": 1.2}
    weights = _seeded("unet", _shapes(model), {**attention, "out_layers.3": 0.5, "ff.net.2": 0.6})

    first = weights["input_blocks.0.0.weight"]
    first[CARRIED_GROUP] = 0
    for channel in CARRIED:
        latent, negative = divmod(channel - CARRIED[0], 2)
        first[channel, latent, 1, 1] = -1.0 if negative else 1.0

    for channel, value in STEADY.items():
        weights["input_blocks.0.0.bias"][channel] = value

    # The last block's skip brings the carried channels from the first layer past everything else.
    skip = weights["output_blocks.1.0.skip_connection.weight"]
    skip[CARRIED_GROUP] = 0
    for channel in (*CARRIED, *STEADY):
        skip[channel, 320 + channel] = 1.0
    weights["output_blocks.1.0.out_layers.3.weight"][CARRIED_GROUP] = 0
    weights["output_blocks.1.1.proj_out.weight"][CARRIED_GROUP] = 0

    # The group's deviation for a latent of deviation 1: eight channels of it and two constants.
    weights["out.0.weight"][CARRIED_GROUP] = math.sqrt((8 + 2 * STEADY[318] ** 2) / 10)
    last = _soft("unet/out", tuple(weights["out.2.weight"].shape), COLOUR)
    last[:, CARRIED_GROUP] = 0
    detail = torch.full((3, 3), -1 / 9)
    detail[1, 1] += 1
    for channel in CARRIED:
        latent, negative = divmod(channel - CARRIED[0], 2)
        kernel = SHARPNESS * detail
        kernel[1, 1] += 1
        last[latent, channel] = -kernel if negative else kernel
    weights["out.2.weight"] = last
    return weights


def _text_encoder() -> Weights:
    import comfy
    import comfy.ops
    from comfy.clip_model import CLIPTextModel

    config = json.loads((Path(next(iter(comfy.__path__))) / "sd1_clip_config.json").read_text())
    model = CLIPTextModel(config, torch.float32, "meta", comfy.ops.disable_weight_init)
    shapes = {key: shape for key, shape in _shapes(model).items() if not key.startswith("text_projection")}
    weights = _seeded("clip", shapes, {"q_proj": 1.5, "k_proj": 1.5, "out_proj": 0.7, "fc2": 0.7})
    for key, std in (("token_embedding", 1.0), ("position_embedding", 0.4)):
        name = f"text_model.embeddings.{key}.weight"
        weights[name] = normal(f"clip/{name}", shapes[name], std)
    return weights


def _vae() -> Weights:
    from comfy.ldm.models.autoencoder import AutoencoderKL

    with torch.device("meta"):
        model = AutoencoderKL(ddconfig=VAE, embed_dim=4)
    weights = _seeded("vae", _shapes(model), {"conv2": 0.15, "proj_out": 0.15})
    for key, weight in weights.items():
        if key.endswith("upsample.conv.weight"):
            weights[key] = torch.eye(weight.shape[0])[:, :, None, None] * _smooth()
    for (name, gain), seed in PALETTE.items():
        key = f"decoder.{name}.weight"
        weights[key] = _soft(seed, tuple(weights[key].shape), gain)
    weights["post_quant_conv.weight"] = torch.eye(4)[:, :, None, None]
    return weights


def _soft(name: str, shape: tuple[int, ...], gain: float) -> torch.Tensor:
    """Noise between channels; in space, where a kernel has 3×3 taps, a soft blur."""
    if shape[2:] != (3, 3):
        return layer(name, shape, gain)
    return layer(name, (*shape[:2], 1, 1), gain) * _smooth()


def _smooth() -> torch.Tensor:
    """A 3×3 blur that keeps the mean; after an upsampling it turns doubled pixels into a ramp."""
    taps = torch.tensor([0.25, 0.5, 0.25])
    return torch.outer(taps, taps)
