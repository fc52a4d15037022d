"""Architectures by key names and shapes: of models and of real LoRA files."""

from __future__ import annotations

import pytest
from lora_deck.stack.architectures import detect, is_text_encoder_name

KOHYA = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"


@pytest.mark.parametrize(
    ("shapes", "name"),
    [
        ({f"{KOHYA}.lora_down.weight": (8, 768)}, "SD1"),
        ({f"{KOHYA}.lora_down.weight": (8, 1024)}, "SD2"),
        ({f"{KOHYA}.lora_down.weight": (8, 2048)}, "SDXL"),
        ({"unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_v.lora_A.weight": (8, 2048)}, "SDXL"),
        ({"lora_unet_input_blocks_4_1_transformer_blocks_1_attn1_to_q.lora_down.weight": (8, 640)}, "SDXL"),
        ({"lora_unet_mid_block_attentions_0_proj_in.hada_w1_a": (8, 8)}, "SD1"),
        ({"diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 768)}, "SD1"),
        ({"diffusion_model.double_blocks.0.img_attn.qkv.weight": (9216, 3072)}, "Flux"),
        ({"lora_unet_single_blocks_3_linear1.lora_down.weight": (8, 3072)}, "Flux"),
        ({"transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight": (8, 3072)}, "Flux"),
        ({"transformer.h.0.attn.weight": (8, 8)}, None),
        ({}, None),
    ],
)
def test_detect(shapes: dict[str, tuple[int, ...]], name: str | None) -> None:
    assert detect(shapes) == name


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("lora_te_text_model_encoder_layers_0_mlp_fc1", True),
        ("lora_te2_text_model_encoder_layers_0_mlp_fc1", True),
        ("text_encoder.text_model.encoder.layers.0.mlp.fc1", True),
        ("lycoris_te1_text_model_encoder_layers_0_mlp_fc1", True),
        ("prior_te_text_model_encoder_layers_0_mlp_fc1", True),
        ("lora_unet_single_blocks_3_linear1", False),
        ("transformer.context_embedder", False),
    ],
)
def test_text_encoder_names(module: str, expected: bool) -> None:
    assert is_text_encoder_name(module) is expected
