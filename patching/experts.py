"""Files with a LoRA for each of two experts, of which a model is one: Wan 2.2's high and low noise.

Both have the same layers, so nothing in a model's weights says which one it is; the name of its file does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

Expert = Literal["high", "low"]
EXPERTS: tuple[Expert, Expert] = ("high", "low")

_NAMED = re.compile(
    r"(?:(?:diffusion_model|base_model\.model|lora_unet|lycoris)[._])*(high|low)_noise(?:_model)?[._].*"
)
_PAIRS: tuple[tuple[str, str], ...] = (
    # diffusers' WanPipeline: `transformer` is for high noise, `transformer_2` for low.
    (r"transformer\..*", r"transformer_2\..*"),
    # DiffSynth's WanVideoPipeline: `dit` and `dit2`.
    (r"(?:pipe\.)?dit\..*", r"(?:pipe\.)?dit2\..*"),
)
_NOISE = re.compile(r"(?i)(high|low)[ _-]?noise")
_WORD = re.compile(r"(?:(?<![A-Za-z])(high|low|HIGH|LOW|High|Low)|(?<=[a-z0-9])(High|Low))(?![a-z])")
"""Alone, or as a part of a name in camel case."""


def parted(modules: Iterable[str]) -> dict[str, Expert] | None:
    """Module of a file → the expert that it is for; `None` for a file that is not for two."""
    names = list(modules)
    found = {name: _expert(match[1]) for name in names if (match := _NAMED.fullmatch(name))}
    for high, low in _PAIRS:
        if not found and any(re.fullmatch(low, name) for name in names):
            found = {name: "low" if re.fullmatch(low, name) else "high" for name in names if _either(high, low, name)}
    return found if set(found.values()) == set(EXPERTS) else None


def file_of(patcher: Any) -> str | None:
    """The name of a model's file, `None` where its loader does not tell."""
    load = getattr(patcher, "cached_patcher_init", None) or (None, ())
    return next((Path(argument).name for argument in load[1] if isinstance(argument, str)), None)


def expert_of(file: str) -> Expert | None:
    """Which expert a model is by the name of its file, `None` where that says nothing, or both."""
    found = _NOISE.findall(file) or [one or other for one, other in _WORD.findall(file)]
    said = {word.lower() for word in found}
    return _expert(said.pop()) if len(said) == 1 else None


def _either(high: str, low: str, name: str) -> bool:
    return re.fullmatch(f"{high}|{low}", name) is not None


def _expert(word: str) -> Expert:
    return "high" if word == "high" else "low"
