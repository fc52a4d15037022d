"""The math: one file per family. Knows tensors, and neither files nor the host."""

from .base import (
    Claim,
    ConflictError,
    Factors,
    Family,
    Strategy,
    StrategyError,
    check_same_size,
    check_values,
    pack,
    unpack,
)
from .heads import ByHead
from .lora import Lora
from .lora_sum import LoraSum
from .matrix import Kronecker, Limit, Matrix, Product, Whole, cosine, inner, may_sketch, rows_of
from .module import ModuleTensors, scale_of
from .ranks import Limited, has_rank, limited, with_factors
from .registry import FileModules, Module, read, register_strategy
from .reshape import Reshaped
from .rows import Rows
from .settings import AdapterSettings, FileSettings
from .streams import in_streams

__all__ = [
    "AdapterSettings",
    "ByHead",
    "Claim",
    "ConflictError",
    "Factors",
    "Family",
    "FileModules",
    "FileSettings",
    "Kronecker",
    "Limit",
    "Limited",
    "Lora",
    "LoraSum",
    "Matrix",
    "Module",
    "ModuleTensors",
    "Product",
    "Reshaped",
    "Rows",
    "Strategy",
    "StrategyError",
    "Whole",
    "check_same_size",
    "check_values",
    "cosine",
    "has_rank",
    "in_streams",
    "inner",
    "limited",
    "may_sketch",
    "pack",
    "read",
    "register_strategy",
    "rows_of",
    "scale_of",
    "unpack",
    "with_factors",
]
