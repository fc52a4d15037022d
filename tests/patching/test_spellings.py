"""What trainers write in their own files, for models of the host at their true size: each finds its weight."""

from __future__ import annotations

from typing import Any

import pytest

from . import layouts

SPELLINGS: dict[str, dict[str, str]] = {
    "sd15": {
        "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q":
            "input_blocks.1.1.transformer_blocks.0.attn1.to_q",
        "unet.base_model.model.mid_block.attentions.0.proj_in": "middle_block.1.proj_in",
        "base_model.model.up_blocks.1.attentions.0.transformer_blocks.0.ff.net.2":
            "output_blocks.3.1.transformer_blocks.0.ff.net.2",
        "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k_":
            "middle_block.1.transformer_blocks.0.attn2.to_k",
        "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_out":
            "input_blocks.1.1.transformer_blocks.0.attn1.to_out.0",
        "oft_unet_mid_block_resnets_0_conv1": "middle_block.0.in_layers.2",
        "lycoris_unet_mid_block_resnets_0_conv1": "middle_block.0.in_layers.2",
    },
    "flux": {
        "lora_unet_double_blocks_0_img_attn_proj": "double_blocks.0.img_attn.proj",
        "transformer.transformer_blocks.0.attn.to_out.0": "double_blocks.0.img_attn.proj",
        "transformer.base_model.model.transformer_blocks.0.attn.to_add_out": "double_blocks.0.txt_attn.proj",
        "lora_transformer_single_transformer_blocks_3_proj_out": "single_blocks.3.linear2",
        "lycoris_single_transformer_blocks_3_proj_out": "single_blocks.3.linear2",
        "base_model.model.double_blocks.0.img_mlp.0": "double_blocks.0.img_mlp.0",
        "double_blocks.0.processor.proj_lora1": "double_blocks.0.img_attn.proj",
        "single_transformer_blocks.3.norm.linear": "single_blocks.3.modulation.lin",
        "module.double_blocks.0.img_mlp.2": "double_blocks.0.img_mlp.2",
        "_orig_mod.double_blocks.0.img_mlp.2": "double_blocks.0.img_mlp.2",
    },
    "wan21-i2v-14b": {
        "diffusion_model.blocks.0.self_attn.q": "blocks.0.self_attn.q",
        "lora_unet_blocks_0_cross_attn_k_img": "blocks.0.cross_attn.k_img",
        "lora_unet__blocks_0_ffn_0": "blocks.0.ffn.0",
        "pipe.dit.blocks.0.ffn.2": "blocks.0.ffn.2",
        "transformer.blocks.0.attn2.add_v_proj": "blocks.0.cross_attn.v_img",
        "transformer_2.blocks.0.attn1.to_out.0": "blocks.0.self_attn.o",
        "base_model.model.blocks.0.attn1.to_k": "blocks.0.self_attn.k",
        "lora_transformer_blocks_0_attn1_to_k": "blocks.0.self_attn.k",
        "transformer.condition_embedder.image_embedder.ff.net.0.proj": "img_emb.proj.1",
    },
    "qwen-image": {
        "transformer.transformer_blocks.0.attn.to_add_out": "transformer_blocks.0.attn.to_add_out",
        "lora_unet_transformer_blocks_0_img_mlp_net_0_proj": "transformer_blocks.0.img_mlp.net.0.proj",
        "pipe.dit.transformer_blocks.0.img_mod.1": "transformer_blocks.0.img_mod.1",
    },
    "hunyuan-video": {
        "lora_unet_double_blocks_0_img_mod_linear": "double_blocks.0.img_mod.lin",
        "transformer.double_blocks.0.img_mlp.fc1": "double_blocks.0.img_mlp.0",
        "lora_unet_txt_in_individual_token_refiner_blocks_0_self_attn_qkv":
            "txt_in.individual_token_refiner.blocks.0.self_attn.qkv",
        "diffusion_model.txt_in.individual_token_refiner.blocks.0.mlp.fc2":
            "txt_in.individual_token_refiner.blocks.0.mlp.2",
        "diffusion_model.time_in.mlp.0": "time_in.in_layer",
    },
    "ltxv-2b": {
        "diffusion_model.transformer_blocks.0.attn1.to_out.0": "transformer_blocks.0.attn1.to_out.0",
        "transformer.transformer_blocks.0.ff.net.0.proj": "transformer_blocks.0.ff.net.0.proj",
        "transformer.proj_in": "patchify_proj",
        "transformer.time_embed.linear": "adaln_single.linear",
    },
    "ace-step-1.5": {"base_model.model.layers.0.cross_attn.q_proj": "decoder.layers.0.cross_attn.q_proj"},
    "stable-audio": {"lora_unet_transformer_layers_0_self_attn_to_out": "transformer.layers.0.self_attn.to_out"},
}  # fmt: skip


@pytest.mark.parametrize("name", SPELLINGS)
def test_spellings(comfy: Any, name: str) -> None:
    from lora_deck.patching.keymap import key_map

    model = layouts.diffusion_model(comfy, name)
    names = key_map("unet", model)
    for module, weight in SPELLINGS[name].items():
        target = names.find(module, "weight")
        assert target is not None and target.key == f"diffusion_model.{weight}.weight" and target.offset is None, module


TEXT: dict[str, dict[str, str]] = {
    "sdxl": {
        "lora_te1_text_model_encoder_layers_3_mlp_fc1": "clip_l.transformer.text_model.encoder.layers.3.mlp.fc1",
        "lora_te2_text_model_encoder_layers_3_mlp_fc1": "clip_g.transformer.text_model.encoder.layers.3.mlp.fc1",
        "text_encoder_2.text_model.encoder.layers.3.self_attn.q_proj":
            "clip_g.transformer.text_model.encoder.layers.3.self_attn.q_proj",
        "oft_te2_text_model_encoder_layers_3_layer_norm1": "clip_g.transformer.text_model.encoder.layers.3.layer_norm1",
        "clip_g.transformer.text_model.encoder.layers.3.mlp.fc2":
            "clip_g.transformer.text_model.encoder.layers.3.mlp.fc2",
        "te2_text_model_encoder_layers_3_mlp_fc1": "clip_g.transformer.text_model.encoder.layers.3.mlp.fc1",
        "lycoris_te1_text_model_final_layer_norm": "clip_l.transformer.text_model.final_layer_norm",
    },
    "flux": {
        "lora_te1_text_model_encoder_layers_3_mlp_fc1": "clip_l.transformer.text_model.encoder.layers.3.mlp.fc1",
        "lora_te2_encoder_block_3_layer_0_SelfAttention_q": "t5xxl.transformer.encoder.block.3.layer.0.SelfAttention.q",
        "lora_te3_encoder_block_3_layer_0_SelfAttention_q": "t5xxl.transformer.encoder.block.3.layer.0.SelfAttention.q",
        "text_encoder_2.encoder.block.3.layer.1.DenseReluDense.wi_0":
            "t5xxl.transformer.encoder.block.3.layer.1.DenseReluDense.wi_0",
        "text_encoders.clip_l.transformer.text_model.encoder.layers.3.mlp.fc1":
            "clip_l.transformer.text_model.encoder.layers.3.mlp.fc1",
    },
}  # fmt: skip


@pytest.mark.parametrize("arch", TEXT)
def test_spellings_of_text_encoders(comfy: Any, arch: str) -> None:
    from lora_deck.patching.keymap import key_map
    from lora_deck.stack.architectures import is_text_encoder_name

    encoder = layouts.text_encoder(arch)
    names = key_map("te", encoder)
    for module, weight in TEXT[arch].items():
        target = names.find(module, "weight")
        assert is_text_encoder_name(module) and target is not None and target.key == f"{weight}.weight", module
