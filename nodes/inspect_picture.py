"""The picture that LoraInspect gives: strength per block, a row for each LoRA, each to its own peak."""

from __future__ import annotations

import re
from colorsys import hsv_to_rgb

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ..patching.look import Look, LoraLook, describe

_BAR, _GAP, _GROUP_GAP, _EDGE, _ROW, _HEIGHT = 44, 8, 24, 28, 176, 104
_HUES = (0.76, 0.38, 0.08, 0.55, 0.93, 0.16)
_DARK = {"back": (32, 32, 34), "field": (52, 52, 55), "text": (240, 240, 240), "muted": (160, 160, 165)}
_GROUPS = {"BASE": "Base", "IN": "Input", "M": "Mid", "OUT": "Output", "D": "Double", "S": "Single", "L": "Layers",
           "V": "VACE", "PRE": "", "POST": ""}  # fmt: skip
_EVERY = 30
"""Above so many blocks only every fifth is labelled."""


Column = tuple[str, int, int]
"""(block, left edge, width)"""


def group_of(block: str) -> str:
    """The letters of a block's id."""
    return re.sub(r"\d+$", "", block)


def draw(look: Look) -> torch.Tensor:
    """(1, height, width, 3) in 0…1, as the host passes pictures on."""
    many = len(look.ids) > _EVERY
    bar, gap = (_BAR // 2, _GAP // 4) if many else (_BAR, _GAP)
    columns: list[Column] = []
    x, last = _EDGE, ""
    for block, following in zip(look.ids, (*look.ids[1:], ""), strict=True):
        x += _GROUP_GAP if last and group_of(block) != last else 0
        # A block that stands alone has room for its name.
        alone = group_of(block) not in (last, group_of(following))
        columns.append((block, x, _BAR if alone else bar))
        x, last = x + columns[-1][2] + gap, group_of(block)
    width = max(x - gap + _EDGE, 640)
    image = Image.new("RGB", (width, 80 + _ROW * max(1, len(look.loras)) + 30), _DARK["back"])
    pen = ImageDraw.Draw(image)
    small, normal = ImageFont.load_default(20), ImageFont.load_default(24)
    pen.text((_EDGE, 24), "|dW| / |W| per block, each LoRA to its own peak", _DARK["muted"], small)
    y = 72
    for number, lora in enumerate(look.loras):
        _row(pen, lora, columns, y, _colour(number), width, normal, small)
        y += _ROW
    for index, (block, left, bar) in enumerate(columns):
        starts = index == 0 or group_of(columns[index - 1][0]) != group_of(block)
        digits = block.removeprefix(group_of(block)) or block
        if not many or starts or int(digits) % 5 == 0:
            pen.text((left + bar / 2, y - 32), digits, _DARK["muted"], ImageFont.load_default(17), anchor="ma")
        if starts:
            pen.text((left, y - 6), _GROUPS.get(group_of(block), group_of(block)), _DARK["muted"], small)
    return torch.from_numpy(np.asarray(image, dtype=np.float32) / 255)[None]


def _row(
    pen: ImageDraw.ImageDraw,
    lora: LoraLook,
    columns: list[Column],
    y: int,
    colour: tuple[int, int, int],
    width: int,
    normal: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    small: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    peak = max((look.strength for look in lora.blocks.values()), default=0.0)
    pen.text((_EDGE, y), lora.file.name, _DARK["text"], normal)
    pen.text((width - _EDGE, y + 2), f"{describe(lora)} · peak {peak:.2g}", _DARK["muted"], small, anchor="ra")
    top = y + 36
    for block, left, bar in columns:
        pen.rounded_rectangle((left, top, left + bar - 1, top + _HEIGHT), 5, _DARK["field"])
        look = lora.blocks.get(block)
        if look is not None and peak:
            height = max(2, round(_HEIGHT * look.strength / peak))
            pen.rounded_rectangle((left, top + _HEIGHT - height, left + bar - 1, top + _HEIGHT), 5, colour)


def _colour(number: int) -> tuple[int, int, int]:
    red, green, blue = hsv_to_rgb(_HUES[number % len(_HUES)], 0.45, 0.85)
    return round(255 * red), round(255 * green), round(255 * blue)
