"""A number as people write it into a tag."""

from __future__ import annotations

import math
import re

_NUMBER = re.compile(
    r"[+-]?(?:[0-9]+(?:_[0-9]+)*\.?(?:[0-9]+(?:_[0-9]+)*)?|\.[0-9]+(?:_[0-9]+)*)(?:e[+-]?[0-9]+)?", re.I
)
_FULL_WIDTH = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}


def read_number(text: str) -> float | None:
    """A finite number as Python's `float` reads it (underscores and full-width digits too), else `None`."""
    plain = text.strip().translate(_FULL_WIDTH)
    if not _NUMBER.fullmatch(plain):
        return None
    value = float(plain)
    return value if math.isfinite(value) else None
