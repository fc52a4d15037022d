"""Spellings: what a trainer may call a module that the host's own map has under another name.

Names are compared *flat*: the prefixes that trainers put in front are taken off, `.` and `_` count as one, a trailing
`_` is ignored. What is called differently altogether stands in `RENAMES`, one row per rule, each with its source. A
rule counts only where the renamed module exists, so no row can lead a file to a weight of another architecture.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

_T = TypeVar("_T")

_PREFIX = re.compile(
    r"(?:base_model[._]model[._]|(?:model[._])?diffusion_model[._]|conditional_transformer\.|transformer\.|unet\.|net\."
    r"|dit\.|lora_unet__?|oft_unet_|lora_transformer_|lycoris_|lora_prior_unet_)"
)
_TEXT_PREFIX = re.compile(
    r"(?:base_model\.model\.)?(?:(?:lora|oft)_te(\d?)_|(?:lora_)?prior_te_|text_encoders?(?:_(\d))?\.|lycoris_te(\d?)_"
    r"|(?=text_model\.))"
)

_WAN = "diffusers scripts/convert_wan_to_diffusers.py"
_HUNYUAN = "Tencent HunyuanVideo hyvideo/modules/models.py, as musubi-tuner flattens it"
_XLABS = "x-flux src/flux/modules/layers.py; the host's convert_uso_lora knows the complete files"
RENAMES: tuple[tuple[str, str, str], ...] = (
    (_WAN, r"(blocks_\d+_)attn1_to_([qkv])", r"\1self_attn_\2"),
    (_WAN, r"(blocks_\d+_)attn1_to_out_0", r"\1self_attn_o"),
    (_WAN, r"(blocks_\d+_)attn2_to_([qkv])", r"\1cross_attn_\2"),
    (_WAN, r"(blocks_\d+_)attn2_to_out_0", r"\1cross_attn_o"),
    (_WAN, r"(blocks_\d+_)attn2_add_([kv])_proj", r"\1cross_attn_\2_img"),
    (_WAN, r"(blocks_\d+_)ffn_net_0_proj", r"\1ffn_0"),
    (_WAN, r"(blocks_\d+_)ffn_net_2", r"\1ffn_2"),
    (_WAN, r"condition_embedder_time_embedder_linear_1", "time_embedding_0"),
    (_WAN, r"condition_embedder_time_embedder_linear_2", "time_embedding_2"),
    (_WAN, r"condition_embedder_text_embedder_linear_1", "text_embedding_0"),
    (_WAN, r"condition_embedder_text_embedder_linear_2", "text_embedding_2"),
    (_WAN, r"condition_embedder_time_proj", "time_projection_1"),
    (_WAN, "proj_out", "head_head"),
    (_XLABS, r"(double_blocks_\d+_)processor_(qkv|proj)_lora1", r"\1img_attn_\2"),
    (_XLABS, r"(double_blocks_\d+_)processor_(qkv|proj)_lora2", r"\1txt_attn_\2"),
    (_XLABS, r"(single_blocks_\d+_)processor_qkv_lora", r"\1linear1_qkv"),
    (_XLABS, r"(single_blocks_\d+_)processor_proj_lora", r"\1linear2"),
    (_HUNYUAN, r"(.*_(?:img|txt)_mlp_)fc1", r"\g<1>0"),
    (_HUNYUAN, r"(.*_(?:img|txt)_mlp_)fc2", r"\g<1>2"),
    (_HUNYUAN, r"(.*_mod(?:ulation)?_)linear", r"\1lin"),
    ("sd-scripts networks/lora.py cuts lora_tran from lora_transformer_", r"sformer_(.*)", r"transformer_\1"),
)

FUSED: tuple[tuple[str, tuple[str, str, str]], ...] = (
    ("to_qkv", ("to_q", "to_k", "to_v")),
    ("wqkv", ("wq", "wk", "wv")),
    ("qkv_proj", ("q_proj", "k_proj", "v_proj")),
    ("qkv", ("q", "k", "v")),
)
"""Ending of a module of the file → endings of the modules here that are its rows, in order."""


def flat(module: str) -> str:
    """A diffusion model's module as names are compared."""
    name = module
    while found := _PREFIX.match(name):
        name = name[found.end() :]
    return name.replace(".", "_").strip("_")


class FlatNames(Mapping[str, _T]):
    """Flat name → target. A name that would mean two targets means none."""

    def __init__(self, names: Iterable[tuple[str, _T]]) -> None:
        """`names`: pairs of (flat name, target)."""
        self._targets: dict[str, _T] = {}
        ambiguous: set[str] = set()
        for name, target in names:
            if self._targets.setdefault(name, target) != target:
                ambiguous.add(name)
        for name in ambiguous:
            del self._targets[name]

    def __getitem__(self, name: str) -> _T:
        return self._targets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._targets)

    def __len__(self) -> int:
        return len(self._targets)

    def find(self, name: str) -> _T | None:
        """The target of a flat name, directly or by a rename."""
        if name in self._targets:
            return self._targets[name]
        for _, pattern, replacement in RENAMES:
            found = re.fullmatch(pattern, name)
            if found and (renamed := found.expand(replacement)) in self._targets:
                return self._targets[renamed]
        return None

    def find_rows(self, name: str) -> tuple[_T, ...] | None:
        """The targets that are together the rows of a fused projection, `None` where there are none."""
        for ending, parts in FUSED:
            if name.endswith(ending):
                stem = name.removesuffix(ending)
                targets = [self.find(stem + part) for part in parts]
                if all(target is not None for target in targets):
                    return tuple(target for target in targets if target is not None)
        return None


def flat_text(module: str) -> tuple[str, str] | None:
    """(number of the text encoder as written, flat path) of a text encoder's module, `None` for other modules."""
    found = _TEXT_PREFIX.match(module)
    if found is None:
        return None
    number = next((group for group in found.groups() if group), "")
    return number, _text_path(module[found.end() :])


def flat_text_key(key: str) -> tuple[str, str]:
    """(encoder, flat path) of a text encoder's weight. `key`: the host's, `clip_l.transformer.….weight`."""
    encoder, _, path = key.removesuffix(".weight").partition(".")
    return encoder, _text_path(path.removeprefix("transformer."))


def _text_path(path: str) -> str:
    """Gemma's and Qwen's files leave out `model.`; names below `text_encoders` carry the encoder and `transformer`."""
    name = path.replace(".", "_").strip("_")
    name = re.sub(r"^(?:[a-z0-9_]+?_)?transformer_", "", name)
    return name.removeprefix("model_")
