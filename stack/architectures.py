"""Architectures, told apart by key names and shapes alone: of a model's weights and of a LoRA file's modules.

Names are compared with `.` as `_`, wherever they stand in a key, so one pattern serves every spelling and prefix. To
add an architecture, add one `Architecture` to `ARCHITECTURES`; order says which one wins where two match.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

Shapes = Mapping[str, tuple[int, ...]]


class KeyFacts:
    """What the detection rules ask about a set of keys."""

    def __init__(self, shapes: Shapes) -> None:
        """`shapes`: key → shape, of a checkpoint, a loaded model or a LoRA file."""
        self._shapes = shapes
        # A module's other keys repeat its name; half a million names are looked through when a library is scanned.
        self._dotted = "\n".join([key for key in shapes if not key.endswith(_REPEATS)])
        self._text = self._dotted.replace(".", "_")
        self._asked: dict[str, bool] = {}
        self._widths: dict[str, int | None] = {}

    def has(self, *patterns: str) -> bool:
        """Whether any key, with `.` as `_`, contains one of the regular expressions.

        Several that begin with plain text are found ten times faster than one that joins them with `|`.
        """
        return any(self._contains(pattern) for pattern in patterns)

    def _contains(self, pattern: str) -> bool:
        # Several rules ask for the same key.
        found = self._asked.get(pattern)
        if found is None:
            found = self._asked[pattern] = re.search(pattern, self._text) is not None
        return found

    def has_dotted(self, pattern: str) -> bool:
        """As `has`, with the dots as they stand: kohya's flat names have none, so this says nothing about them."""
        return re.search(pattern, self._dotted) is not None

    def highest(self, pattern: str) -> int:
        """The highest number that the pattern's group 1 takes over all keys, -1 without a match."""
        return max((int(number) for number in re.findall(pattern, self._text)), default=-1)

    def width(self, pattern: str) -> int | None:
        """Input width of the first module whose name, `.` as `_`, holds the pattern; `None` where no shape says."""
        if pattern not in self._widths:
            self._widths[pattern] = self._width(pattern) if self._contains(pattern) else None
        return self._widths[pattern]

    def _width(self, pattern: str) -> int | None:
        wanted = re.compile(pattern)
        for key, shape in self._shapes.items():
            if len(shape) >= 2 and _has_in_width(key[-_ENDING:]) and wanted.search(key.replace(".", "_")):
                return shape[1]
        for key, shape in self._shapes.items():
            # A Kronecker product is as wide as the product of its sides' widths.
            if key.endswith(".lokr_w1") and len(shape) == 2 and wanted.search(key.replace(".", "_")):
                other = self._shapes.get(key[:-1] + "2") or self._shapes.get(key[:-1] + "2_b")
                if other is not None and len(other) == 2:
                    return shape[1] * other[1]
        return None

    def height(self, pattern: str) -> int | None:
        """Output width of the first module whose name holds the pattern, as `width`."""
        wanted = re.compile(pattern)
        for key, shape in self._shapes.items() if self._contains(pattern) else ():
            if len(shape) >= 2 and _has_out_width(key[-_ENDING:]) and wanted.search(key.replace(".", "_")):
                return shape[0]
        return None


_REPEATS = (".alpha", ".lora_up.weight", ".lora_B.weight", ".lora.up.weight")
"""Endings of keys beside which the module has another one."""
_ENDING = 40
"""Characters that hold every ending below."""
# Endings whose second dimension is the module's input width, or whose first is its output width: a model's own weight,
# and the factors of kohya's, PEFT's, diffusers' and LyCORIS' files.
_IN_WIDTH = re.compile(
    r"(?:lora_down|lora_A|_lora\.down|\.lora\.down|lora_linear_layer\.down)(?:\.default)?\.weight$|\.lora_A$"
    r"|\.hada_w[12]_b$|\.diff$|(?<!_up)(?<!lora_B)(?<!\.up)(?<!mid)(?<!\.default)\.weight$"
)
_OUT_WIDTH = re.compile(
    r"(?:lora_up|lora_B|_lora\.up|\.lora\.up|lora_linear_layer\.up)(?:\.default)?\.weight$|\.lora_B$"
    r"|\.hada_w[12]_a$|\.diff$|(?<!_down)(?<!lora_A)(?<!\.down)(?<!mid)(?<!\.default)\.weight$"
)


@lru_cache(maxsize=16_384)
def _has_in_width(ending: str) -> bool:
    return _IN_WIDTH.search(ending) is not None


@lru_cache(maxsize=16_384)
def _has_out_width(ending: str) -> bool:
    return _OUT_WIDTH.search(ending) is not None


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


def _is_sdxl(facts: KeyFacts) -> bool:
    if not _is_unet(facts):
        return False
    context = facts.width(_CROSS)
    if context is not None:
        return context == 2048
    deeper = facts.highest(r"(?:input_blocks_\d+_1|output_blocks_\d+_1|attentions_\d)_transformer_blocks_(\d+)_")
    return deeper > 0 or facts.has("lora_te2_", "label_emb_0_0")


def _is_sd2(facts: KeyFacts) -> bool:
    return _is_unet(facts) and facts.width(_CROSS) == 1024


def _is_sd1(facts: KeyFacts) -> bool:
    return _is_unet(facts) and facts.width(_CROSS) in (768, None)


def _double_stream(facts: KeyFacts) -> bool:
    """The blocks that Flux brought: its own names, or diffusers' with `single_transformer_blocks`."""
    native = facts.has(r"double_blocks_\d+_(?:img|txt)_", r"double_blocks_\d+_processor_", r"single_blocks_\d+_")
    return native or facts.has(r"single_transformer_blocks_\d+_")


def _dual_attention(facts: KeyFacts) -> bool:
    """diffusers' names of blocks with a second stream, without single blocks beside them."""
    return facts.has(
        r"transformer_blocks_\d+_attn_add_",
        r"transformer_blocks_\d+_ff_context",
        r"transformer_blocks_\d+_norm1_context",
    )


_HIDDEN = r"(?:img_attn_(?:qkv|proj)|single_blocks_\d+_linear1|attn_to_q|attn_add_q_proj|img_mlp_(?:0|fc1)|proj_mlp)"


def _is_flux2(facts: KeyFacts) -> bool:
    if not _double_stream(facts):
        return False
    if facts.has("stream_modulation_"):
        return True
    if facts.width(_HIDDEN) in (4096, 6144):
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
    if not _dual_attention(facts) or _double_stream(facts):
        return False
    return facts.highest(r"transformer_blocks_(\d+)_attn_") > 37


def _is_sd3(facts: KeyFacts) -> bool:
    if facts.has(r"joint_blocks_\d+_"):
        return True
    return _dual_attention(facts) and facts.width(r"transformer_blocks_\d+_attn") != 3072


def _attention_only_dit(facts: KeyFacts) -> bool:
    """`transformer_blocks.N.attn1.to_q`, not inside a UNet's block."""
    return facts.has(r"transformer_blocks_\d+_attn[12]_to_[qkv]") and not _is_unet(facts)


def _is_wan(facts: KeyFacts) -> bool:
    if facts.has(r"blocks_\d+_(?:self|cross)_attn_[qkvo]_(?!linear|proj|norm)", r"blocks_\d+_ffn_net_"):
        return True
    # diffusers' names: behind `transformer.` they differ from LTX' `transformer_blocks` in the dot alone.
    return facts.has_dotted(r"(?:^|[.\n])blocks\.\d+\.attn[12]\.to_[qkv]") or facts.has(
        r"lora_unet_blocks_\d+_attn[12]_to_[qkv]"
    )


_DIT_WIDTH = r"transformer_blocks_\d+_attn1_to_"
_LAYER = r"(?:layers|noise_refiner|context_refiner)_\d+_attention_"
_LAYERS = r"layers_(\d+)_attention_"


def _lumina_like(facts: KeyFacts, width: int, last: int) -> bool:
    if not facts.has(_LAYER):
        return False
    found = facts.width(_LAYER + r"(?:qkv|to_[qkv]|q|k|v)(?:_|$)")
    return found == width if found is not None else facts.highest(_LAYERS) == last


ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture("SDXL", _is_sdxl),
    Architecture("SD2", _is_sd2),
    Architecture("SD1", _is_sd1),
    Architecture("Stable Cascade", lambda f: f.has(r"down_blocks_\d+_\d+_", r"up_blocks_\d+_\d+_")),
    Architecture("HiDream", lambda f: f.has("double_stream_blocks_", "single_stream_blocks_")),
    Architecture(
        "AuraFlow", lambda f: f.has(r"double_layers_\d+_", r"single_layers_\d+_", "joint_transformer_blocks_")
    ),
    Architecture("Kandinsky 5", lambda f: f.has("visual_transformer_blocks_", "text_transformer_blocks_")),
    Architecture("Qwen-Image", _is_qwen),
    Architecture("Chroma", lambda f: f.has("distilled_guidance_layer_")),
    Architecture("Flux 2", _is_flux2),
    Architecture("Hunyuan Image", lambda f: _double_stream(f) and f.width(_HIDDEN) == 3584),
    Architecture("Hunyuan Video", _is_hunyuan_video),
    Architecture("Flux", lambda f: _double_stream(f) or (_dual_attention(f) and not _is_sd3(f))),
    Architecture("SD3", _is_sd3),
    Architecture("Krea 2", lambda f: f.has("txtfusion_", "text_fusion_", r"blocks_\d+_attn_w[qkvo]_")),
    Architecture("Anima", lambda f: f.has("llm_adapter_")),
    Architecture(
        "Cosmos", lambda f: f.has(r"blocks_\d+_(?:self|cross)_attn_(?:[qkv]|output)_proj", r"blocks_block\d+_")
    ),
    Architecture("Wan", _is_wan),
    Architecture("Mochi", lambda f: f.has(r"blocks_\d+_attn_(?:qkv|proj|q|kv)_[xy]")),
    Architecture("Hunyuan DiT", lambda f: f.has("attn1_Wqkv", "attn2_kv_proj", r"blocks_\d+_attn2_q_proj")),
    Architecture(
        "PixArt",
        lambda f: (
            f.has(r"blocks_\d+_cross_attn_(?:q|kv)_linear") or (_attention_only_dit(f) and f.width(_DIT_WIDTH) == 1152)
        ),
    ),
    Architecture(
        "CogVideoX",
        lambda f: (
            f.has(r"blocks_\d+_attn_out_", r"blocks_\d+_ff_proj")
            or (_attention_only_dit(f) and f.width(_DIT_WIDTH) in (1920, 3072))
        ),
    ),
    Architecture("LTX-Video", _attention_only_dit),
    Architecture("OmniGen2", lambda f: f.has("ref_image_refiner_", r"layers_\d+_attn_to_[qkv]")),
    Architecture("ERNIE-Image", lambda f: f.has(r"layers_\d+_mlp_linear_fc2", r"layers_\d+_self_attention_")),
    Architecture("Lumina 2", lambda f: _lumina_like(f, 2304, 25)),
    Architecture("Z-Image", lambda f: _lumina_like(f, 3840, 29)),
    Architecture("Ideogram 4", lambda f: _lumina_like(f, 4608, 33)),
)


def detect(shapes: Shapes) -> str | None:
    """The name of the first architecture whose rule the keys fulfil, else `None`.

    `shapes`: key → shape; of a file's header or of a model's state dict.
    """
    facts = KeyFacts(shapes)
    return next((row.name for row in ARCHITECTURES if row.matches(facts)), None)


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


def is_text_encoder_name(module: str) -> bool:
    """Whether a LoRA file's module name belongs to a text encoder, by its prefix."""
    return _TEXT_ENCODER.match(module) is not None
