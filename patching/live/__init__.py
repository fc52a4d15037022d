"""Stacks applied in the forward pass: the weights stay as they are, layers give more than their own product."""

from .choose import Chosen, Method, choose
from .conditioned import Conditioned
from .engine import attach
from .plans import make_plan

__all__ = ["Chosen", "Conditioned", "Method", "attach", "choose", "make_plan"]
