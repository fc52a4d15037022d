"""Architectures, told apart by key names and shapes alone: of a model's weights and of a LoRA file's modules.

To add an architecture, add one `Architecture` to `ARCHITECTURES`; order says which one wins where two match.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from .key_facts import KeyFacts, Shapes


@dataclass(frozen=True, slots=True)
class Architecture:
    """One row: a family of models whose LoRA files fit each other."""

    name: str
    """Short name, as shown to users."""
    matches: Callable[[KeyFacts], bool]


_UNET = (
    r"input_blocks_\d+_",
    r"output_blocks_\d+_",
    r"down_blocks_\d+_(?:attentions|resnets|downsamplers)",
    r"up_blocks_\d+_(?:attentions|resnets|upsamplers)",
    r"mid_block_",
    r"middle_block_",
)
_CROSS = r"attn2_(?:processor_)?to_[kv]"


def _is_unet(facts: KeyFacts) -> bool:
    return facts.has(*_UNET)


def _is_video_unet(facts: KeyFacts) -> bool:
    return _is_unet(facts) and facts.has("time_stack_", "temporal_transformer_blocks_", "temporal_res_block_")


def _is_sdxl(facts: KeyFacts) -> bool:
    if not _is_unet(facts):
        return False
    context = facts.width(_CROSS)
    if context is not None:
        return context == 2048
    deeper = facts.highest(r"(?:input_blocks_\d+_1|output_blocks_\d+_1|attentions_\d)_transformer_blocks_(\d+)_")
    return deeper > 0 or facts.has("lora_te2_", "label_emb_0_0")


def _is_sdxl_refiner(facts: KeyFacts) -> bool:
    return _is_unet(facts) and facts.width(_CROSS) == 1280


def _is_sd2(facts: KeyFacts) -> bool:
    return _is_unet(facts) and facts.width(_CROSS) == 1024


def _is_sd1(facts: KeyFacts) -> bool:
    return _is_unet(facts) and facts.width(_CROSS) in (768, None)


def _double_stream(facts: KeyFacts) -> bool:
    """The blocks that Flux brought: its own names, or diffusers' with `single_transformer_blocks`."""
    native = facts.has(r"double_blocks_\d+_(?:img|txt)_", r"double_blocks_\d+_processor_", r"single_blocks_\d+_")
    return native or facts.has(r"single_transformer_blocks_\d+_")


def _joint(facts: KeyFacts) -> bool:
    """diffusers' names of blocks with a second stream; two streams or one, as `transformer_blocks.N.attn.to_q`."""
    return facts.has(
        r"transformer_blocks_\d+_attn_(?:to|add)_",
        r"transformer_blocks_\d+_ff_context",
        r"transformer_blocks_\d+_norm1_context",
    )


_JOINT_WIDTH = r"transformer_blocks_\d+_(?:attn_(?:to_[qkv]|add_[qkv]_proj)|ff_(?:context_)?(?:net_0_proj|linear_in))"
_HIDDEN = r"(?:img_attn_(?:qkv|proj|q)|single_blocks_\d+_linear1|attn_to_q|attn_add_q_proj|img_mlp_(?:0|fc1)|proj_mlp)"


def _width(facts: KeyFacts) -> int | None:
    """Width of a model of double or joint blocks."""
    found = facts.width(_HIDDEN)
    return found if found is not None else facts.width(_JOINT_WIDTH)


def _is_flux2(facts: KeyFacts) -> bool:
    if facts.has("stream_modulation_", "to_qkv_mlp_proj"):
        return True
    if not (_double_stream(facts) or _joint(facts)):
        return False
    if _width(facts) in (4096, 6144):
        return True
    # The 4B model is as wide as Flux 1, but its gated MLP is not.
    return facts.height(r"img_mlp_0") == 18432 or facts.height(r"single_blocks_\d+_linear1(?!_)") == 27648


def _is_hunyuan_video(facts: KeyFacts) -> bool:
    if not _double_stream(facts):
        return False
    doubles = facts.highest(r"(?:double_blocks|(?<!single_)transformer_blocks)_(\d+)_")
    singles = facts.highest(r"single_(?:transformer_)?blocks_(\d+)_")
    own_names = facts.has("individual_token_refiner_", r"double_blocks_\d+_(?:img|txt)_mlp_fc1")
    return doubles > 18 or singles > 37 or own_names


def _is_qwen(facts: KeyFacts) -> bool:
    if facts.has(r"transformer_blocks_\d+_(?:img|txt)_m(?:lp|od)_"):
        return True
    if not _joint(facts) or _double_stream(facts):
        return False
    return _width(facts) in (3072, None) and facts.highest(r"transformer_blocks_(\d+)_attn_") > 37


def _is_sd3(facts: KeyFacts) -> bool:
    return facts.has(r"joint_blocks_\d+_") or (_joint(facts) and _width(facts) in (1536, 2432))


def _is_krea2(facts: KeyFacts) -> bool:
    if facts.has("txtfusion_", "text_fusion_", r"blocks_\d+_attn_w[qkvo]_", r"blocks_\d+_attn_to_gate"):
        return True
    # Its keys and values have fewer heads than its queries.
    return _joint(facts) and _width(facts) == 6144 and facts.height(r"transformer_blocks_\d+_attn_to_[kv]") == 1536


def _is_minimax(facts: KeyFacts) -> bool:
    own = facts.has("video_patch_proj", r"blocks_\d+_attn_(?:qkv|out)_proj", r"blocks_\d+_adaln_proj_linear")
    return own or (_joint(facts) and _width(facts) == 5376)


def _plain_blocks(facts: KeyFacts) -> bool:
    """`blocks.N.attn1.to_q`: behind `transformer.` it differs from `transformer_blocks.N` in the dot alone."""
    if not facts.has(r"blocks_\d+_attn[12]_to_[qkv]"):
        return False
    if facts.has_dotted(r"(?:^|[.\n])blocks\.\d+\.attn[12]\.to_[qkv]"):
        return True
    return facts.has(
        *(rf"{prefix}_blocks_\d+_attn[12]_to_[qkv]" for prefix in ("lora_unet", "lora_transformer", "lycoris"))
    )


def _attention_only_dit(facts: KeyFacts) -> bool:
    """`transformer_blocks.N.attn1.to_q`, not inside a UNet's block."""
    named = facts.has(r"transformer_blocks_\d+_attn[12]_to_[qkv]")
    return named and not _plain_blocks(facts) and not _is_unet(facts)


_DIT_WIDTH = r"transformer_blocks_\d+_attn1_to_"
_DIT_CONTEXT = r"transformer_blocks_\d+_attn2_to_[kv]"
_BLOCKS_ATTN = r"blocks_\d+_attn[12]_to_[qkv]"


def _is_cosmos(facts: KeyFacts) -> bool:
    if facts.has(r"blocks_\d+_(?:self|cross)_attn_(?:[qkv]|output)_proj", r"blocks_block\d+_"):
        return True
    return _attention_only_dit(facts) and (facts.width(_DIT_CONTEXT) == 1024 or facts.width(_DIT_WIDTH) == 5120)


def _is_stable_audio(facts: KeyFacts) -> bool:
    if facts.has(r"layers_\d+_self_attn_to_qkv", r"layers_\d+_cross_attn_to_kv"):
        return True
    return _attention_only_dit(facts) and facts.width(_DIT_CONTEXT) == 768


def _is_mochi(facts: KeyFacts) -> bool:
    if facts.has(r"blocks_\d+_attn_(?:qkv|proj|q|kv)_[xy]", r"transformer_blocks_\d+_attn1_(?:add_|to_add_out)"):
        return True
    deepest = facts.highest(r"transformer_blocks_(\d+)_attn1_to_")
    return deepest > 41 and _is_cogvideo(facts)


def _is_cogvideo(facts: KeyFacts) -> bool:
    if facts.has(r"blocks_\d+_attn_out_", r"blocks_\d+_ff_proj"):
        return True
    crossed = facts.has(r"transformer_blocks_\d+_attn2_")
    return _attention_only_dit(facts) and not crossed and facts.width(_DIT_WIDTH) in (1920, 3072)


def _is_wan(facts: KeyFacts) -> bool:
    if facts.has(r"blocks_\d+_(?:self|cross)_attn_[qkvo]_(?!linear|proj|norm)", r"blocks_\d+_ffn_net_"):
        return True
    return _plain_blocks(facts)


_LAYER = r"(?:layers|noise_refiner|context_refiner)_\d+_attention_"
_LAYERS = r"layers_(\d+)_attention_"
_GENERATOR = r"(?:layers|noise_refiner|context_refiner)_\d+_attn_to_[qkv]"


def _lumina_like(facts: KeyFacts, width: int, last: int) -> bool:
    if not facts.has(_LAYER):
        return False
    found = facts.width(_LAYER + r"(?:qkv|to_[qkv]|q|k|v)(?:_|$)")
    return found == width if found is not None else facts.highest(_LAYERS) == last


def _is_lumina2(facts: KeyFacts) -> bool:
    return _lumina_like(facts, 2304, 25) or (facts.has(_GENERATOR) and facts.width(_GENERATOR) == 2304)


ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture("SVD", _is_video_unet),
    Architecture("SDXL Refiner", _is_sdxl_refiner),
    Architecture("SDXL", _is_sdxl),
    Architecture("SD2", _is_sd2),
    Architecture("SD1", _is_sd1),
    Architecture("SAM3", lambda f: f.has("detector_backbone_")),
    Architecture("Stable Cascade", lambda f: f.has(r"down_blocks_\d+_\d+_", r"up_blocks_\d+_\d+_")),
    Architecture("HiDream", lambda f: f.has("double_stream_blocks_", "single_stream_blocks_")),
    Architecture(
        "HiDream-O1", lambda f: f.has(r"(?:diffusion_model|unet|net)_language_model_layers_", "t_embedder1_mlp")
    ),
    Architecture(
        "AuraFlow", lambda f: f.has(r"double_layers_\d+_", r"single_layers_\d+_", "joint_transformer_blocks_")
    ),
    Architecture("Kandinsky 5", lambda f: f.has("visual_transformer_blocks_", "text_transformer_blocks_")),
    Architecture("Stable Audio", _is_stable_audio),
    Architecture("ACE-Step 1.5", lambda f: f.has(r"layers_\d+_cross_attn_(?:[qkvo]_proj|to_)")),
    Architecture(
        "ACE-Step",
        lambda f: f.has(r"transformer_blocks_\d+_cross_attn_", "lyric_", "speaker_embedder", "genre_embedder"),
    ),
    Architecture(
        "Lens", lambda f: f.has(r"transformer_blocks_\d+_attn_(?:img|txt)_qkv", r"transformer_blocks_\d+_img_mlp_w\d")
    ),
    Architecture("JoyImage", lambda f: f.has(r"double_blocks_\d+_attn_(?:img|txt)_attn_")),
    Architecture("PixelDiT", lambda f: f.has(r"patch_blocks_\d+_attn_", r"pixel_blocks_\d+_")),
    Architecture("Mochi", _is_mochi),
    Architecture("Qwen-Image", _is_qwen),
    Architecture("Chroma", lambda f: f.has("distilled_guidance_layer_")),
    Architecture("Krea 2", _is_krea2),
    Architecture("MiniMax H3", _is_minimax),
    Architecture("Flux 2", _is_flux2),
    Architecture(
        "Hunyuan3D",
        lambda f: (_double_stream(f) and _width(f) == 1024) or (_plain_blocks(f) and f.width(_BLOCKS_ATTN) == 2048),
    ),
    Architecture("Hunyuan Image", lambda f: (_double_stream(f) or _joint(f)) and _width(f) in (3328, 3584)),
    Architecture("Hunyuan Video 1.5", lambda f: (_double_stream(f) or _joint(f)) and _width(f) == 2048),
    Architecture("Hunyuan Video", _is_hunyuan_video),
    Architecture("Flux", lambda f: _double_stream(f) or (_joint(f) and _width(f) in (3072, None))),
    Architecture("SD3", _is_sd3),
    Architecture("Anima", lambda f: f.has("llm_adapter_")),
    Architecture("Cosmos", _is_cosmos),
    Architecture(
        "Hunyuan DiT",
        lambda f: (
            f.has("attn1_Wqkv", "attn2_kv_proj", r"blocks_\d+_attn2_q_proj")
            or (_plain_blocks(f) and f.width(_BLOCKS_ATTN) == 1408)
        ),
    ),
    Architecture("Wan", _is_wan),
    Architecture(
        "PixArt",
        lambda f: (
            f.has(r"blocks_\d+_cross_attn_(?:q|kv)_linear") or (_attention_only_dit(f) and f.width(_DIT_WIDTH) == 1152)
        ),
    ),
    Architecture("TripoSplat", lambda f: f.has("repo_layers_") or f.width(r"blocks_\d+_attn_(?:qkv|out)_") == 1024),
    Architecture("CogVideoX", _is_cogvideo),
    Architecture("LTX-Video", _attention_only_dit),
    Architecture("SeedVR2", lambda f: f.has(r"blocks_\d+_attn_proj_(?:qkv|out)_(?:vid|txt|all)")),
    Architecture("Boogu", lambda f: f.has("double_stream_layers_", "single_stream_layers_")),
    Architecture("Lumina 2", _is_lumina2),
    Architecture("OmniGen2", lambda f: f.has("ref_image_refiner_", r"layers_\d+_attn_to_[qkv]")),
    Architecture("ERNIE-Image", lambda f: f.has(r"layers_\d+_mlp_linear_fc2", r"layers_\d+_self_attention_")),
    Architecture("Z-Image", lambda f: _lumina_like(f, 3840, 29)),
    Architecture("Ideogram 4", lambda f: _lumina_like(f, 4608, 33)),
)


def detect(shapes: Shapes) -> str | None:
    """The name of the first architecture whose rule the keys fulfil, else `None`.

    `shapes`: key → shape; of a file's header or of a model's state dict.
    """
    return _detect(KeyFacts(shapes))


def _detect(facts: KeyFacts) -> str | None:
    return next((row.name for row in ARCHITECTURES if row.matches(facts)), None)


def _attention_of_flux(facts: KeyFacts) -> bool:
    """Nothing but attention, 3072 wide: what Flux, Chroma and the small Flux 2 share in name and shape."""
    return _width(facts) == 3072 and not facts.has(
        "_mod_",
        "_modulation_",
        "norm1_linear",
        "norm_linear",
        "guidance",
        "time_",
        "vector_in",
        "_mlp",
        "ff_",
        "linear1",
    )


LOOK_ALIKES: tuple[tuple[str, Callable[[KeyFacts], bool], tuple[str, ...]], ...] = (
    ("Flux", lambda f: _attention_of_flux(f) and not _double_stream(f), ("Qwen-Image", "Hunyuan Video", "Flux 2")),
    ("Flux", _attention_of_flux, ("Chroma", "Flux 2")),
    ("Cosmos", lambda f: f.width(r"blocks_\d+_self_attn_(?:[qkv]|output)_proj") == 2048, ("Anima",)),
    ("LTX-Video", lambda f: not f.has(r"transformer_blocks_\d+_(?:attn2|ff)_"), ("Cosmos",)),
)
"""Detected, what must hold besides, and whose files have the same keys and shapes."""


def candidates(shapes: Shapes) -> tuple[str, ...]:
    """The architectures that a file may be for: what `detect` says, and those that cannot be told from it."""
    facts = KeyFacts(shapes)
    name = _detect(facts)
    if name is None:
        return ()
    others = next((names for detected, holds, names in LOOK_ALIKES if detected == name and holds(facts)), ())
    return (name, *others)


_TEXT_ENCODER = re.compile(
    r"(?:base_model[._]model[._])?"
    r"(?:(?:(?:lora|lycoris|loha|lokr|oft|boft|ia3|glora|dora)_)?(?:prior_)?te(\d?)[._]"
    r"|(?:lora_)?text_encoders?(?:_(\d))?[._]|(clip_[lgh]|t5xxl)\.|(?=text_model[._]))"
)


def split_text_encoder_name(module: str) -> tuple[str, str] | None:
    """(which text encoder, as written; the rest) of a LoRA file's module, `None` for a diffusion model's.

    Which one: kohya's number (`lora_te2_`), diffusers' (`text_encoder_2.`), the host's name (`clip_g.`), or empty.
    """
    found = _TEXT_ENCODER.match(module)
    if found is None:
        return None
    return next((group for group in found.groups() if group), ""), module[found.end() :]


@lru_cache(maxsize=1 << 16)
def is_text_encoder_name(module: str) -> bool:
    """Whether a LoRA file's module name belongs to a text encoder, by its prefix."""
    return _TEXT_ENCODER.match(module) is not None
