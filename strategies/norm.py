"""LyCORIS' Norm: differences of a normalisation layer's weight and bias; either may stand alone."""

from __future__ import annotations

from collections.abc import Iterable

from .base import Claim, Family
from .diff import Diff
from .module import ModuleTensors


def _read(module: ModuleTensors) -> Iterable[Claim]:
    weight, bias = module.take_one("w_norm"), module.take_one("b_norm")
    if weight is not None:
        yield Claim("weight", Diff(weight, module.scale(None), "norm"), ("w_norm",))
    if bias is not None:
        yield Claim("bias", Diff(bias, 1.0, "norm"), ("b_norm",))


FAMILY = Family("norm", {"w_norm": "w_norm", "b_norm": "b_norm"}, _read, ())
