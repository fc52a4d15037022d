"""Stacks applied in the forward pass: the weights stay as they are, layers give more than their own product."""

from .engine import KEY, Engine, attach
from .factors import Factors
from .parts import Layers, LivePart, build_layers
from .plan import LiveEntry, Plan, make_patcher

__all__ = [
    "KEY",
    "Engine",
    "Factors",
    "Layers",
    "LiveEntry",
    "LivePart",
    "Plan",
    "attach",
    "build_layers",
    "make_patcher",
]
