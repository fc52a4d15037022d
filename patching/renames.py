"""What a module is called elsewhere and here: one row per rule, each with its source.

Names are flat (see `names`): prefixes off, `.` as `_`. A rule counts only where the module that it leads to exists, so
no row can lead a file to a weight of another architecture; where several would fit, the first one counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Part = tuple[int, int] | Literal["swapped"] | None
"""Which rows: `(index, count)` of equal parts, all of them with their halves `"swapped"`, `None` for all."""

_Q, _K, _V = (0, 3), (1, 3), (2, 3)
_FIRST, _SECOND = (0, 2), (1, 2)


@dataclass(frozen=True, slots=True)
class Rename:
    """Where a module of another naming goes."""

    source: str
    """Who says so."""
    pattern: re.Pattern[str]
    """The whole flat name in the file."""
    name: str
    """The flat name here, with `\\1` for the pattern's groups."""
    part: Part = None
    """Which of its rows the file's module is."""

    def apply(self, module: str) -> str | None:
        """The name here, `None` where the rule is not about this module."""
        found = self.pattern.fullmatch(module)
        return found.expand(self.name) if found else None


@dataclass(frozen=True, slots=True)
class Fusion:
    """A module of the file that is several modules here, one below the other."""

    source: str
    pattern: re.Pattern[str]
    names: tuple[str, ...]
    """The flat names here, in the order of the rows."""

    def apply(self, module: str) -> tuple[str, ...] | None:
        """The names here, `None` where the rule is not about this module."""
        found = self.pattern.fullmatch(module)
        return tuple(found.expand(name) for name in self.names) if found else None


def _rules(source: str, *rows: tuple[str, str] | tuple[str, str, Part]) -> Iterator[Rename]:
    for pattern, name, *part in rows:
        yield Rename(source, re.compile(pattern), name, part[0] if part else None)  # type: ignore[arg-type]


def _thirds(source: str, pattern: str, letters: Iterable[str], name: str) -> Iterator[Rename]:
    """q, k and v of the file are the rows of one weight here. `pattern`: with `@` where the letter's name stands."""
    for letter, part in zip(letters, (_Q, _K, _V), strict=True):
        yield Rename(source, re.compile(pattern.replace("@", letter)), name, part)


_TO = ("to_q", "to_k", "to_v")
_ADD = ("add_q_proj", "add_k_proj", "add_v_proj")
_NORM = (r"(.*_)norm_([qk])", r"\1\2_norm")

_SINGLE_FILE = "diffusers loaders/single_file_utils.py, "
_SCRIPTS = "diffusers scripts/"

_WAN = _SINGLE_FILE + "convert_wan_transformer_to_diffusers"
_HUNYUAN = _SINGLE_FILE + "convert_hunyuan_video_transformer_to_diffusers"
_HUNYUAN_15 = _SCRIPTS + "convert_hunyuan_video1_5_to_diffusers.py"
_TENCENT = "Tencent HunyuanVideo hyvideo/modules/models.py, as musubi-tuner flattens it"
_APART = "Tencent HunyuanImage 2.1, HunyuanVideo 1.5; diffusers scripts/convert_hunyuan_image_to_diffusers.py"
_XLABS = "x-flux src/flux/modules/layers.py; the host's convert_uso_lora knows the complete files"
_FLUX_2 = _SINGLE_FILE + "convert_flux2_transformer_checkpoint_to_diffusers"
_OVIS = _SCRIPTS + "convert_ovis_image_to_diffusers.py"
_LONGCAT = "diffusers models/transformers/transformer_longcat_image.py beside the host's LongCatImage"
_CHROMA = _SINGLE_FILE + "convert_chroma_transformer_checkpoint_to_diffusers"
_MOCHI = _SINGLE_FILE + "convert_mochi_transformer_checkpoint_to_diffusers"
_LUMINA = _SINGLE_FILE + "convert_lumina2_to_diffusers"
_COSMOS_1 = _SINGLE_FILE + "convert_cosmos_transformer_checkpoint_to_diffusers (Cosmos 1.0)"
_COSMOS_2 = _SINGLE_FILE + "convert_cosmos_transformer_checkpoint_to_diffusers (Cosmos 2.0)"
_COGVIDEO = "diffusers models/transformers/cogvideox_transformer_3d.py beside the host's ldm/cogvideo/model.py"
_HUNYUAN_DIT = _SCRIPTS + "convert_hunyuandit_to_diffusers.py"
_LTX = _SINGLE_FILE + "convert_ltx_transformer_checkpoint_to_diffusers and convert_ltx2_transformer_to_diffusers"
_KREA = _SINGLE_FILE + "convert_krea2_transformer_checkpoint_to_diffusers"
_IDEOGRAM = "diffusers loaders/lora_conversion_utils.py, _convert_non_diffusers_ideogram4_lora_to_diffusers"
_MINIMAX = _SINGLE_FILE + "convert_minimax_h3_transformer_checkpoint_to_diffusers"
_ACE = "diffusers loaders/lora_conversion_utils.py, _convert_non_diffusers_ace_step_lora_to_diffusers"
_AUDIO = _SCRIPTS + "convert_stable_audio.py"
_CASCADE = _SINGLE_FILE + "convert_stable_cascade_unet_single_file_to_diffusers, after the host has split in_proj"

_REFINER = r"context_embedder_token_refiner_refiner_blocks_(\d+)_"
_TXT_IN = r"txt_in_individual_token_refiner_blocks_\1_"

RENAMES: tuple[Rename, ...] = (
    *_rules(
        _WAN,
        (r"((?:vace_)?blocks_\d+_)attn1_to_([qkv])", r"\1self_attn_\2"),
        (r"((?:vace_)?blocks_\d+_)attn1_to_out_0", r"\1self_attn_o"),
        (r"((?:vace_)?blocks_\d+_)attn2_to_([qkv])", r"\1cross_attn_\2"),
        (r"((?:vace_)?blocks_\d+_)attn2_to_out_0", r"\1cross_attn_o"),
        (r"((?:vace_)?blocks_\d+_)attn2_add_([kv])_proj", r"\1cross_attn_\2_img"),
        (r"((?:vace_)?blocks_\d+_)attn1_norm_([qk])", r"\1self_attn_norm_\2"),
        (r"((?:vace_)?blocks_\d+_)attn2_norm_([qk])", r"\1cross_attn_norm_\2"),
        (r"((?:vace_)?blocks_\d+_)attn2_norm_added_k", r"\1cross_attn_norm_k_img"),
        (r"((?:vace_)?blocks_\d+_)norm2", r"\1norm3"),
        (r"((?:vace_)?blocks_\d+_)ffn_net_0_proj", r"\1ffn_0"),
        (r"((?:vace_)?blocks_\d+_)ffn_net_2", r"\1ffn_2"),
        (r"(vace_blocks_\d+_)proj_in", r"\1before_proj"),
        (r"(vace_blocks_\d+_)proj_out", r"\1after_proj"),
        (r"condition_embedder_time_embedder_linear_1", "time_embedding_0"),
        (r"condition_embedder_time_embedder_linear_2", "time_embedding_2"),
        (r"condition_embedder_text_embedder_linear_1", "text_embedding_0"),
        (r"condition_embedder_text_embedder_linear_2", "text_embedding_2"),
        (r"condition_embedder_time_proj", "time_projection_1"),
        (r"condition_embedder_image_embedder_norm1", "img_emb_proj_0"),
        (r"condition_embedder_image_embedder_ff_net_0_proj", "img_emb_proj_1"),
        (r"condition_embedder_image_embedder_ff_net_2", "img_emb_proj_3"),
        (r"condition_embedder_image_embedder_norm2", "img_emb_proj_4"),
        (r"face_adapter_(\d+)_to_q", r"face_adapter_fuser_blocks_\1_linear1_q"),
        (r"face_adapter_(\d+)_to_k", r"face_adapter_fuser_blocks_\1_linear1_kv", _FIRST),
        (r"face_adapter_(\d+)_to_v", r"face_adapter_fuser_blocks_\1_linear1_kv", _SECOND),
        (r"face_adapter_(\d+)_to_out", r"face_adapter_fuser_blocks_\1_linear2"),
        (r"face_adapter_(\d+)_norm_([qk])", r"face_adapter_fuser_blocks_\1_\2_norm"),
        (r"face_encoder_(conv\d(?:_local)?)", r"face_encoder_\1_conv"),
        ("proj_out", "head_head"),
    ),
    *_rules(
        _XLABS,
        (r"(double_blocks_\d+_)processor_(qkv|proj)_lora1", r"\1img_attn_\2"),
        (r"(double_blocks_\d+_)processor_(qkv|proj)_lora2", r"\1txt_attn_\2"),
        (r"(single_blocks_\d+_)processor_qkv_lora", r"\1linear1_qkv"),
        (r"(single_blocks_\d+_)processor_proj_lora", r"\1linear2"),
    ),
    *_rules(
        _TENCENT,
        (r"(.*_(?:img|txt)_mlp_)fc1", r"\g<1>0"),
        (r"(.*_(?:img|txt)_mlp_)fc2", r"\g<1>2"),
        (r"(.*_mod(?:ulation(?:_img|_txt)?)?_)linear", r"\1lin"),
        (r"(txt_in_individual_token_refiner_blocks_\d+_mlp_)fc1", r"\g<1>0"),
        (r"(txt_in_individual_token_refiner_blocks_\d+_mlp_)fc2", r"\g<1>2"),
        (r"((?:time|guidance|time_r)_in_|txt_in_t_embedder_)mlp_0", r"\1in_layer"),
        (r"((?:time|guidance|time_r)_in_|txt_in_t_embedder_)mlp_2", r"\1out_layer"),
        (r"txt_in_c_embedder_linear_1", "txt_in_c_embedder_in_layer"),
        (r"txt_in_c_embedder_linear_2", "txt_in_c_embedder_out_layer"),
    ),
    *_thirds(_APART, r"(double_blocks_\d+_(?:img|txt)_attn_)@", "qkv", r"\1qkv"),
    *_rules(
        _APART,
        (r"single_blocks_(\d+)_linear1_([qkv])", r"single_transformer_blocks_\1_attn_to_\2"),
        (r"single_blocks_(\d+)_linear1_mlp", r"single_transformer_blocks_\1_proj_mlp"),
        (r"(single_blocks_\d+_linear2)_fc", r"\1"),
    ),
    *_thirds(_HUNYUAN, _REFINER + "attn_@", _TO, _TXT_IN + "self_attn_qkv"),
    *_rules(
        _HUNYUAN,
        (_REFINER + "attn_to_out_0", _TXT_IN + "self_attn_proj"),
        (_REFINER + "(norm[12])", _TXT_IN + r"\2"),
        (_REFINER + "norm_out_linear", _TXT_IN + "adaLN_modulation_1"),
        (_REFINER + "ff_net_0_proj", _TXT_IN + "mlp_0"),
        (_REFINER + "ff_net_2", _TXT_IN + "mlp_2"),
        ("context_embedder_time_text_embed_timestep_embedder_linear_1", "txt_in_t_embedder_in_layer"),
        ("context_embedder_time_text_embed_timestep_embedder_linear_2", "txt_in_t_embedder_out_layer"),
        ("context_embedder_time_text_embed_text_embedder_linear_1", "txt_in_c_embedder_in_layer"),
        ("context_embedder_time_text_embed_text_embedder_linear_2", "txt_in_c_embedder_out_layer"),
        ("context_embedder_proj_in", "txt_in_input_embedder"),
        ("x_embedder_proj", "img_in_proj"),
    ),
    *_rules(
        _HUNYUAN_15,
        ("context_embedder_2_norm", "byt5_in_layernorm"),
        (r"context_embedder_2_linear_([123])", r"byt5_in_fc\1"),
        ("image_embedder_norm_in", "vision_in_proj_0"),
        ("image_embedder_linear_1", "vision_in_proj_1"),
        ("image_embedder_linear_2", "vision_in_proj_3"),
        ("image_embedder_norm_out", "vision_in_proj_4"),
        ("cond_type_embed", "cond_type_embedding"),
    ),
    *_rules(
        _FLUX_2,
        (r"time_(?:guidance_)?embed_timestep_embedder_linear_1", "time_in_in_layer"),
        (r"time_(?:guidance_)?embed_timestep_embedder_linear_2", "time_in_out_layer"),
        (r"time_guidance_embed_timestep_embedder_r_linear_1", "time_r_in_in_layer"),
        (r"time_guidance_embed_timestep_embedder_r_linear_2", "time_r_in_out_layer"),
        (r"time_guidance_embed_guidance_embedder_linear_1", "guidance_in_in_layer"),
        (r"time_guidance_embed_guidance_embedder_linear_2", "guidance_in_out_layer"),
    ),
    *_rules(
        _OVIS,
        ("timestep_embedder_linear_1", "time_in_in_layer"),
        ("timestep_embedder_linear_2", "time_in_out_layer"),
        ("context_embedder_norm", "txt_norm"),
        (r"transformer_blocks_(\d+)_ff_net_2", r"double_blocks_\1_img_mlp_down_proj"),
        (r"transformer_blocks_(\d+)_ff_context_net_2", r"double_blocks_\1_txt_mlp_down_proj"),
    ),
    *_rules(
        _CHROMA,
        (r"distilled_guidance_layer_layers_(\d+)_linear_1", r"distilled_guidance_layer_layers_\1_in_layer"),
        (r"distilled_guidance_layer_layers_(\d+)_linear_2", r"distilled_guidance_layer_layers_\1_out_layer"),
    ),
    *_thirds(_MOCHI, r"transformer_(blocks_\d+_)attn1_@", _TO, r"\1attn_qkv_x"),
    *_thirds(_MOCHI, r"transformer_(blocks_\d+_)attn1_@", _ADD, r"\1attn_qkv_y"),
    *_rules(
        _MOCHI,
        (r"transformer_(blocks_\d+_)norm1_linear", r"\1mod_x"),
        (r"transformer_(blocks_\d+_)norm1_context_linear(?:_1)?", r"\1mod_y"),
        (r"transformer_(blocks_\d+_)attn1_norm_([qk])", r"\1attn_\2_norm_x"),
        (r"transformer_(blocks_\d+_)attn1_norm_added_([qk])", r"\1attn_\2_norm_y"),
        (r"transformer_(blocks_\d+_)attn1_to_out_0", r"\1attn_proj_x"),
        (r"transformer_(blocks_\d+_)attn1_to_add_out", r"\1attn_proj_y"),
        (r"transformer_(blocks_\d+_)ff_net_0_proj", r"\1mlp_x_w1", "swapped"),
        (r"transformer_(blocks_\d+_)ff_net_2", r"\1mlp_x_w2"),
        (r"transformer_(blocks_\d+_)ff_context_net_0_proj", r"\1mlp_y_w1", "swapped"),
        (r"transformer_(blocks_\d+_)ff_context_net_2", r"\1mlp_y_w2"),
        (r"time_embed_pooler_to_(kv|q|out)", r"t5_y_embedder_to_\1"),
        ("time_embed_caption_proj", "t5_yproj"),
        ("time_embed_timestep_embedder_linear_1", "t_embedder_mlp_0"),
        ("time_embed_timestep_embedder_linear_2", "t_embedder_mlp_2"),
        ("patch_embed_proj", "x_embedder_proj"),
        ("norm_out_linear", "final_layer_mod", "swapped"),
        ("proj_out", "final_layer_linear"),
    ),
    *_rules(
        _COSMOS_1,
        (r"transformer_blocks_(\d+)_attn1_to_([qkv])", r"blocks_block\1_blocks_0_block_attn_to_\2_0"),
        (r"transformer_blocks_(\d+)_attn2_to_([qkv])", r"blocks_block\1_blocks_1_block_attn_to_\2_0"),
        (r"transformer_blocks_(\d+)_attn1_norm_([qk])", r"blocks_block\1_blocks_0_block_attn_to_\2_1"),
        (r"transformer_blocks_(\d+)_attn2_norm_([qk])", r"blocks_block\1_blocks_1_block_attn_to_\2_1"),
        (r"transformer_blocks_(\d+)_attn1_to_out_0", r"blocks_block\1_blocks_0_block_attn_to_out_0"),
        (r"transformer_blocks_(\d+)_attn2_to_out_0", r"blocks_block\1_blocks_1_block_attn_to_out_0"),
        (r"transformer_blocks_(\d+)_ff_net_0_proj", r"blocks_block\1_blocks_2_block_layer1"),
        (r"transformer_blocks_(\d+)_ff_net_2", r"blocks_block\1_blocks_2_block_layer2"),
        (r"transformer_blocks_(\d+)_norm1_linear_([12])", r"blocks_block\1_blocks_0_adaLN_modulation_\2"),
        (r"transformer_blocks_(\d+)_norm2_linear_([12])", r"blocks_block\1_blocks_1_adaLN_modulation_\2"),
        (r"transformer_blocks_(\d+)_norm3_linear_([12])", r"blocks_block\1_blocks_2_adaLN_modulation_\2"),
        (r"norm_out_linear_([12])", r"final_layer_adaLN_modulation_\1"),
        ("time_embed_norm", "affline_norm"),
    ),
    *_rules(
        _COSMOS_2,
        (r"transformer_(blocks_\d+_)attn1_to_([qkv])", r"\1self_attn_\2_proj"),
        (r"transformer_(blocks_\d+_)attn2_to_([qkv])", r"\1cross_attn_\2_proj"),
        (r"transformer_(blocks_\d+_)attn1_norm_([qk])", r"\1self_attn_\2_norm"),
        (r"transformer_(blocks_\d+_)attn2_norm_([qk])", r"\1cross_attn_\2_norm"),
        (r"transformer_(blocks_\d+_)attn1_to_out_0", r"\1self_attn_output_proj"),
        (r"transformer_(blocks_\d+_)attn2_to_out_0", r"\1cross_attn_output_proj"),
        (r"transformer_(blocks_\d+_)ff_net_0_proj", r"\1mlp_layer1"),
        (r"transformer_(blocks_\d+_)ff_net_2", r"\1mlp_layer2"),
        (r"transformer_(blocks_\d+_)norm1_linear_([12])", r"\1adaln_modulation_self_attn_\2"),
        (r"transformer_(blocks_\d+_)norm2_linear_([12])", r"\1adaln_modulation_cross_attn_\2"),
        (r"transformer_(blocks_\d+_)norm3_linear_([12])", r"\1adaln_modulation_mlp_\2"),
        (r"norm_out_linear_([12])", r"final_layer_adaln_modulation_\1"),
        ("time_embed_norm", "t_embedding_norm"),
        (r"time_embed_t_embedder_linear_([12])", r"t_embedder_1_linear_\1"),
        ("patch_embed_proj", "x_embedder_proj_1"),
    ),
    *_rules(
        _LUMINA,
        (r"((?:layers|noise_refiner|context_refiner)_\d+_)attn_(to_[qkv])", r"\1attention_\2"),
        (r"((?:layers|noise_refiner|context_refiner)_\d+_)attn_to_out_0", r"\1attention_out"),
        (r"((?:layers|noise_refiner|context_refiner)_\d+_)attn_norm_([qk])", r"\1attention_\2_norm"),
        (r"((?:layers|noise_refiner|context_refiner)_\d+_feed_forward_)linear_([123])", r"\1w\2"),
        (r"((?:layers|noise_refiner)_\d+_)norm1_linear", r"\1adaLN_modulation_1"),
        (r"((?:layers|noise_refiner)_\d+_)norm1_norm", r"\1attention_norm1"),
        (r"((?:layers|noise_refiner|context_refiner)_\d+_)norm([12])", r"\1attention_norm\2"),
        (r"time_caption_embed_caption_embedder_([01])", r"cap_embedder_\1"),
        ("time_caption_embed_timestep_embedder_linear_1", "t_embedder_mlp_0"),
        ("time_caption_embed_timestep_embedder_linear_2", "t_embedder_mlp_2"),
        ("norm_out_linear_1", "final_layer_adaLN_modulation_1"),
        ("norm_out_linear_2", "final_layer_linear"),
    ),
    *_rules(
        _COGVIDEO,
        (r"transformer_(blocks_\d+_)attn1_to_([qkv])", r"\1\2"),
        (r"transformer_(blocks_\d+_)attn1_norm_([qk])", r"\1norm_\2"),
        (r"transformer_(blocks_\d+_)attn1_to_out_0", r"\1attn_out"),
        (r"transformer_(blocks_\d+_)ff_net_0_proj", r"\1ff_proj"),
        (r"transformer_(blocks_\d+_)ff_net_2", r"\1ff_out"),
        (r"transformer_(blocks_\d+_norm[12]_(?:linear|norm))", r"\1"),
    ),
    *_thirds(_HUNYUAN_DIT, r"(blocks_\d+_)attn1_@", _TO, r"\1attn1_Wqkv"),
    *_rules(
        _HUNYUAN_DIT,
        (r"(blocks_\d+_)attn2_to_q", r"\1attn2_q_proj"),
        (r"(blocks_\d+_)attn2_to_k", r"\1attn2_kv_proj", _FIRST),
        (r"(blocks_\d+_)attn2_to_v", r"\1attn2_kv_proj", _SECOND),
        (r"(blocks_\d+_attn[12]_)to_out_0", r"\1out_proj"),
        (r"(blocks_\d+_)norm1_linear", r"\1default_modulation_1"),
        (r"(blocks_\d+_)norm1_norm", r"\1norm1"),
        (r"(blocks_\d+_)ff_net_0_proj", r"\1mlp_fc1"),
        (r"(blocks_\d+_)ff_net_2", r"\1mlp_fc2"),
        (r"time_extra_emb_(pooler_[kqvc]_proj)", r"\1"),
        ("time_extra_emb_timestep_embedder_linear_1", "t_embedder_mlp_0"),
        ("time_extra_emb_timestep_embedder_linear_2", "t_embedder_mlp_2"),
        ("time_extra_emb_extra_embedder_linear_1", "extra_embedder_0"),
        ("time_extra_emb_extra_embedder_linear_2", "extra_embedder_2"),
        ("text_embedder_linear_1", "mlp_t5_0"),
        ("text_embedder_linear_2", "mlp_t5_2"),
        ("pos_embed_proj", "x_embedder_proj"),
        ("norm_out_linear", "final_layer_adaLN_modulation_1", "swapped"),
    ),
    *_rules(
        _LTX,
        ("(audio_)?proj_in", r"\1patchify_proj"),
        ("(audio_)?time_embed_(.*)", r"\1adaln_single_\2"),
        (r"av_cross_attn_(video|audio)_scale_shift_(.*)", r"av_ca_\1_scale_shift_adaln_single_\2"),
        (r"av_cross_attn_(?:video|audio)_(a2v|v2a)_gate_(.*)", r"av_ca_\1_gate_adaln_single_\2"),
        _NORM,
    ),
    *_rules(
        _KREA,
        (r"transformer_(blocks_\d+_)norm1", r"\1prenorm_scale"),
        (r"transformer_(blocks_\d+_)norm2", r"\1postnorm_scale"),
        (r"transformer_(blocks_\d+_attn_)norm_([qk])", r"\1qknorm_\2norm_scale"),
        (r"text_fusion_((?:layerwise|refiner)_blocks_\d+_)norm1", r"txtfusion_\1prenorm_scale"),
        (r"text_fusion_((?:layerwise|refiner)_blocks_\d+_)norm2", r"txtfusion_\1postnorm_scale"),
        (r"text_fusion_((?:layerwise|refiner)_blocks_\d+_attn_)norm_([qk])", r"txtfusion_\1qknorm_\2norm_scale"),
        ("txt_in_norm", "txtmlp_0_scale"),
        ("final_layer_norm", "last_norm_scale"),
    ),
    *_thirds(_IDEOGRAM, r"(layers_\d+_attention_)@", _TO, r"\1qkv"),
    *_rules(_IDEOGRAM, (r"(layers_\d+_attention_)to_out_0", r"\1o")),
    *_thirds(_MINIMAX, r"transformer_(blocks_\d+_attn_)@", _TO, r"\1qkv_proj"),
    *_thirds(_MINIMAX, r"token_refiner_refiner_(blocks_\d+_attn_)@", _TO, r"token_refiner_\1qkv_proj"),
    *_rules(
        _MINIMAX,
        (r"transformer_(blocks_\d+_attn_)norm_([qk])", r"\1\2_norm"),
        (r"transformer_(blocks_\d+_attn_)to_out_0", r"\1out_proj"),
        (r"transformer_(blocks_\d+_)ff_net_0_proj", r"\1mlp_fc1", "swapped"),
        (r"transformer_(blocks_\d+_)ff_net_2", r"\1mlp_fc2"),
        (r"transformer_(blocks_\d+_(?:norm[12]|adaln_proj_linear))", r"\1"),
        (r"token_refiner_refiner_(blocks_\d+_attn_)norm_([qk])", r"token_refiner_\1\2_norm"),
        (r"token_refiner_refiner_(blocks_\d+_attn_)to_out_0", r"token_refiner_\1out_proj"),
        (r"token_refiner_refiner_(blocks_\d+_)ff_net_0_proj", r"token_refiner_\1mlp_fc1", "swapped"),
        (r"token_refiner_refiner_(blocks_\d+_)ff_net_2", r"token_refiner_\1mlp_fc2"),
        (r"token_refiner_refiner_(blocks_\d+_norm[12])", r"token_refiner_\1"),
        ("time_embedder_linear_1", "time_embedder_proj_in"),
        ("time_embedder_linear_2", "time_embedder_proj_out"),
        ("proj_in", "video_patch_proj"),
        ("audio_proj_in", "audio_patch_proj"),
        ("context_embedder", "condition_proj"),
        ("norm_out_norm", "final_layer_norm"),
        ("norm_out_linear", "final_layer_adaln_proj_linear"),
        ("proj_out", "final_layer_video_out"),
        ("audio_proj_out", "final_layer_audio_out"),
    ),
    *_rules(
        _ACE,
        (r"(layers_\d+_(?:self|cross)_attn_)to_([qkv])", r"\1\2_proj"),
        (r"(layers_\d+_(?:self|cross)_attn_)to_out_0", r"\1o_proj"),
        (r"proj_(in|out)_conv", r"proj_\1_1"),
    ),
    *_thirds(_AUDIO, r"transformer_blocks_(\d+)_attn1_@", _TO, r"layers_\1_self_attn_to_qkv"),
    *_rules(
        _AUDIO,
        (r"transformer_blocks_(\d+)_attn1_to_out_0", r"layers_\1_self_attn_to_out"),
        (r"transformer_blocks_(\d+)_attn2_to_q", r"layers_\1_cross_attn_to_q"),
        (r"transformer_blocks_(\d+)_attn2_to_k", r"layers_\1_cross_attn_to_kv", _FIRST),
        (r"transformer_blocks_(\d+)_attn2_to_v", r"layers_\1_cross_attn_to_kv", _SECOND),
        (r"transformer_blocks_(\d+)_attn2_to_out_0", r"layers_\1_cross_attn_to_out"),
        (r"transformer_blocks_(\d+)_ff_net_0_proj", r"layers_\1_ff_ff_0_proj"),
        (r"transformer_blocks_(\d+)_ff_net_2", r"layers_\1_ff_ff_2"),
        (r"transformer_blocks_(\d+)_norm1", r"layers_\1_pre_norm_gamma"),
        (r"transformer_blocks_(\d+)_norm2", r"layers_\1_cross_attend_norm_gamma"),
        (r"transformer_blocks_(\d+)_norm3", r"layers_\1_ff_norm_gamma"),
        (r"timestep_proj_([02])", r"to_timestep_embed_\1"),
        (r"global_proj_([02])", r"to_global_embed_\1"),
        (r"cross_attention_proj_([02])", r"to_cond_embed_\1"),
        (r"proj_(in|out)", r"project_\1"),
    ),
    *_rules(
        _CASCADE,
        (r"((?:down|up)_blocks_\d+_\d+_attention_)to_([qkv])", r"\1attn_to_\2"),
        (r"((?:down|up)_blocks_\d+_\d+_attention_)to_out_0", r"\1attn_out_proj"),
    ),
    *_rules("sd-scripts networks/lora.py cuts lora_tran from lora_transformer_", (r"sformer_(.*)", r"transformer_\1")),
)

_OVIS_MLP = (("ff", "img"), ("ff_context", "txt"))
FUSIONS: tuple[Fusion, ...] = (
    *(
        Fusion(
            _OVIS,
            re.compile(rf"transformer_blocks_(\d+)_{theirs}_net_0_proj"),
            (rf"double_blocks_\1_{ours}_mlp_up_proj", rf"double_blocks_\1_{ours}_mlp_gate_proj"),
        )
        for theirs, ours in _OVIS_MLP
    ),
    Fusion("ai-toolkit, Krea 2", re.compile(r"(.*_)to_qkv"), (r"\1to_q", r"\1to_k", r"\1to_v")),
    Fusion("Krea 2's own names", re.compile(r"(.*_)wqkv"), (r"\1wq", r"\1wk", r"\1wv")),
    Fusion("Llama's and Qwen's names", re.compile(r"(.*_)qkv_proj"), (r"\1q_proj", r"\1k_proj", r"\1v_proj")),
    Fusion("Wan's and Hunyuan Image's names", re.compile(r"(.*_)qkv"), (r"\1q", r"\1k", r"\1v")),
)
