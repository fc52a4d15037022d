"""The math: one file per family. Knows tensors, and neither files nor the host."""

from .base import Strategy, StrategyError, pack, unpack
from .registry import FileModules, Module, read

__all__ = ["FileModules", "Module", "Strategy", "StrategyError", "pack", "read", "unpack"]
