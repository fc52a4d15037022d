"""What can be asked of a set of keys and shapes, of a model or of a file, in whatever spelling.

Names are compared with `.` as `_`, wherever they stand in a key, so one pattern serves every spelling and prefix.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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
        asked = f"dotted {pattern}"
        if asked not in self._asked:
            self._asked[asked] = re.search(pattern, self._dotted) is not None
        return self._asked[asked]

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
