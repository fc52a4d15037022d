"""The math: one file per family. Knows tensors, and neither files nor the host."""

from .base import (
    Claim,
    ConflictError,
    Family,
    Strategy,
    StrategyError,
    check_same_size,
    check_values,
    pack,
    unpack,
)
from .module import ModuleTensors
from .registry import FileModules, Module, read, register_strategy
from .rows import Rows
from .settings import AdapterSettings, FileSettings

__all__ = [
    "AdapterSettings",
    "Claim",
    "ConflictError",
    "Family",
    "FileModules",
    "FileSettings",
    "Module",
    "ModuleTensors",
    "Rows",
    "Strategy",
    "StrategyError",
    "check_same_size",
    "check_values",
    "pack",
    "read",
    "register_strategy",
    "unpack",
]
