"""Rank limits that go past a tag's `dyn=`, as values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Method = Literal["truncate", "svd", "energy"]
METHODS: tuple[Method, ...] = ("truncate", "svd", "energy")


@dataclass(frozen=True, slots=True)
class RankLimit:
    """How much of the rank of every module is used."""

    method: Method
    """`truncate`: the first ranks as the file has them, alpha as it is (A1111's `dyn`). `svd`: the best ones.
    `energy`: of the best ones as many as keep a share of the squared singular values."""
    rank: int = 0
    """For `truncate` and `svd`; a negative one truncates the last ranks."""
    energy: float = 0.0
    """For `energy`: the share, above 0 and at most 1."""

    def __str__(self) -> str:
        if self.method == "truncate":
            return f"dyn={self.rank}"
        return f"energy {self.energy:g}" if self.method == "energy" else f"svd {self.rank}"

    def to_json(self) -> dict[str, Any]:
        """`{"method": "svd", "rank": 16}` or `{"method": "energy", "energy": 0.9}`."""
        value = {"energy": self.energy} if self.method == "energy" else {"rank": self.rank}
        return {"method": self.method, **value}

    @classmethod
    def from_json(cls, data: object) -> RankLimit:
        """The inverse of `to_json`. Raises `ValueError` with what was expected."""
        method = data.get("method") if isinstance(data, Mapping) else None
        if not isinstance(data, Mapping) or method not in METHODS:
            raise ValueError(f'an object with a "method" ({", ".join(METHODS)})')
        value = data.get("energy" if method == "energy" else "rank")
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError('an object with a number "rank" or "energy"')
        if method == "energy":
            if not 0 < value <= 1:
                raise ValueError('an object with an "energy" above 0 and at most 1')
            return cls("energy", energy=float(value))
        if value != int(value) or (method == "svd" and value < 1):
            raise ValueError('an object with a whole number from 1 as its "rank"')
        return cls(method, rank=int(value))
