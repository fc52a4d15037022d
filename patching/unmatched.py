"""Why a module of a file changes nothing here."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ..stack.architectures import is_text_encoder_name
from .keymap import Side, key_map
from .match import Matching
from .open import OpenFile

Reasons = tuple[tuple[str, tuple[str, ...]], ...]
"""(reason, modules and keys of the file)."""
_NO_TEXT_ENCODER = "no text encoder is connected"
_NO_MODEL = "no model is connected"
NOT_CONNECTED = frozenset({_NO_TEXT_ENCODER, _NO_MODEL})
"""Reasons that are no fault of the file."""


def unmatched(opened: OpenFile, matchings: Mapping[Side, Matching], models: Mapping[Side, torch.nn.Module]) -> Reasons:
    """Every module and key of a file that changes nothing, by reason: the report accounts for the whole file."""
    applied = frozenset().union(*(matching.modules for matching in matchings.values()))
    misfits = dict(misfit for matching in matchings.values() for misfit in matching.misfits)
    found: dict[str, list[str]] = {}
    for name in opened.modules.modules:
        if name not in applied and name not in misfits:
            found.setdefault(_reason(name, models), []).append(name)
    if opened.modules.unrecognised:
        found.setdefault("no family claims these keys", []).extend(opened.modules.unrecognised)
    return tuple((reason, tuple(names)) for reason, names in found.items())


def _reason(module: str, models: Mapping[Side, torch.nn.Module]) -> str:
    if is_text_encoder_name(module):
        return "the text encoder here has no such layer" if "te" in models else _NO_TEXT_ENCODER
    model = models.get("unet")
    if model is None:
        return _NO_MODEL
    if key_map("unet", model).has_other_block(module):
        return "this model has no such block"
    return "this model has no layer of that name"
