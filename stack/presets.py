"""Block and element presets: the built-ins, and the line formats of hako-mikan's and Inspire's preset files."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .blocks import BlockLayout

# Block ids of hako-mikan's presets, whose vectors list 17 blocks: everything that is not listed is 0.
_IN_SHALLOW, _IN_DEEP = ("IN01", "IN02", "IN04"), ("IN05", "IN07", "IN08")
_OUT_DEEP, _OUT_SHALLOW = ("OUT03", "OUT04", "OUT05", "OUT06"), ("OUT07", "OUT08", "OUT09", "OUT10", "OUT11")
_UNET: dict[str, tuple[str, ...]] = {
    "INS": _IN_SHALLOW,
    "IND": _IN_DEEP,
    "INALL": _IN_SHALLOW + _IN_DEEP,
    "MIDD": (*_IN_DEEP, "M00", *_OUT_DEEP),
    "OUTD": _OUT_DEEP,
    "OUTS": _OUT_SHALLOW,
    "OUTALL": _OUT_DEEP + _OUT_SHALLOW,
}
_EVERYWHERE = {"NONE": 0.0, "ALL": 1.0, "ALL0.5": 0.5}
"""Presets with one weight for every block, text encoders, `PRE` and `POST` included."""

ELEMENT_PRESETS = {
    "ATTNDEEPON": "IN05-OUT05:attn:1",
    "ATTNDEEPOFF": "IN05-OUT05:attn:0",
    "PROJDEEPOFF": "IN05-OUT05:proj:0",
}


def built_in(layout: BlockLayout) -> dict[str, dict[str, float]]:
    """Name → block id → weight; ids that are left out are 0, those in the way of a model of its kind are ignored."""
    presets = {
        name: dict.fromkeys(("BASE", "CLIP", "T5", "PRE", "POST", *layout.ids), weight)
        for name, weight in _EVERYWHERE.items()
    }
    if layout.is_unet:
        there = set(layout.ids)
        presets.update((name, dict.fromkeys(there.intersection(ids), 1.0)) for name, ids in _UNET.items())
    elif layout.count("D") and layout.count("S"):
        presets["FLUXALL"] = presets["ALL"]
    return presets


def read_block_presets(text: str) -> dict[str, str]:
    """Name → what stands behind it, from lines `NAME:vector` (hako-mikan, Inspire) or `NAME:selectors`.

    `#` begins a comment; Inspire's `@` lines are templates for its plots and are left out. A later line wins.
    """
    presets: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition("#")[0].partition(":")
        if colon and name.strip() and value.strip() and not name.lstrip().startswith("@"):
            presets[name.strip()] = value.strip()
    return presets


def read_element_presets(text: str) -> dict[str, str]:
    """Name → element weights, from hako-mikan's file: blank lines part entries, the name ends at the first colon."""
    presets: dict[str, str] = {}
    for entry in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        lines = [line for line in entry.splitlines() if not line.lstrip().startswith("#")]
        name, colon, value = "\n".join(lines).strip().partition(":")
        if colon and name.strip() and value.strip():
            presets[name.strip()] = value.strip()
    return presets


def find_preset(name: str, presets: Mapping[str, str]) -> str | None:
    """The preset's own spelling: exact, or the only one that differs in letter case."""
    if name in presets:
        return name
    folded = [known for known in presets if known.casefold() == name.casefold()]
    return folded[0] if len(folded) == 1 else None
