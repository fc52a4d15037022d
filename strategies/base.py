"""What every family provides, and the one packed form in which it travels through the host's patches.

The packed form of a strategy is `(name of its class, field, field, …)`, fields in the order of the dataclass; a field
that is a strategy itself is packed likewise. The host moves and rebuilds patches by walking nested tuples of tensors
and plain values, so a strategy holds nothing else: tensors, tuples of tensors, numbers, strategies, `None`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from .forms import Forms, of_matrix
from .matrix import Matrix

if TYPE_CHECKING:
    from .module import ModuleTensors

Packed = tuple[Any, ...]
Shape = tuple[int, ...]


class StrategyError(ValueError):
    """What a module holds cannot be applied to the weight; the message says why, without file and key."""


class ConflictError(StrategyError):
    """Two claims on one parameter of one module; the message names both."""


@dataclass(frozen=True, slots=True)
class Factors:
    """Δ = scale · up·down."""

    up: Tensor
    """(out, rank[, 1…])"""
    down: Tensor
    """(rank, in[, kernel…])"""
    scale: float


class Strategy(ABC):
    """One parameter's change, as read from a file. Subclasses are frozen dataclasses of tensors and plain values.

    With f(W) the full-strength result, `delta` is f(W) − W, and what multiplier m gives is W + m·(f(W) − W).
    """

    family: ClassVar[str]
    """The field's name, for reports; a wrapper has its content's."""

    @property
    def rank(self) -> int | None:
        """Rank of the change, `None` where the family has none."""
        return None

    @property
    def optional(self) -> bool:
        """Whether a layer without this parameter loses nothing of the change."""
        return False

    has_forms: ClassVar[bool] = False
    """Whether `forms` says it without a difference as large as the weight that the file does not hold."""

    @property
    def reads_weight(self) -> bool:
        """Whether the forms need the weight itself."""
        return not self.has_forms

    @property
    def by_rows(self) -> bool:
        """Whether each row of the change depends on no other row of the weight."""
        return False

    @property
    def additive(self) -> bool:
        """Whether f(W) − W is the same for every W, so that the order among such changes does not matter."""
        return False

    def factored(self, shape: Shape) -> Factors | None:
        """The change of a weight of `shape` as one product of two factors, `None` where it is none."""
        return None

    @property
    def kernel(self) -> Shape:
        """The kernel of the convolution that the change is for, as far as the file tells; else nothing."""
        return ()

    def truncated(self, rank: int) -> Strategy | None:
        """The change of the first `rank` ranks with its scale unchanged, `None` where the family has no such form.

        A1111's `dyn`, for plain LoRA alone; a negative `rank` drops as many of the last ones.
        """
        return None

    def matrix(self, device: torch.device) -> Matrix | None:
        """f(W) − W as a matrix in its cheapest exact form, in the widest type of `device`.

        `None` where it depends on W, or is no matrix.
        """
        return None

    def parts(self, device: torch.device) -> tuple[Matrix, ...]:
        """The matrices that a limit of rank acts on; none for families without a rank."""
        whole = self.matrix(device)
        return () if whole is None else (whole,)

    @property
    def numbers(self) -> tuple[Tensor, ...]:
        """The tensors that must hold finite floating-point numbers."""
        return tuple(_tensors_in(pack(self)))

    @abstractmethod
    def fit(self, shape: Shape) -> Shape:
        """Shape that a weight of `shape` must have for this change: the same, or larger where the file widens it.

        Raises:
            StrategyError: the change is for a weight of another shape.
        """

    @abstractmethod
    def delta(self, weight: Tensor) -> Tensor:
        """f(W) − W, new, of the weight's shape and dtype, computed without cancellation.

        `weight`: of the shape that `fit` gave, fp32 or wider, any device; it is only read.
        """

    def forms(self, shape: Shape, weight: Callable[[], Tensor]) -> Forms | None:
        """What the change does to the output of a linear layer or convolution, at full strength, in fp32.

        `None` where it has no such form of its own. `shape`: as `fit` gave it. `weight`: gives the weight in fp32, for
        a change that cannot do without; it costs what patching would. A change that only adds gives its matrix, as
        thin as that is.
        """
        matrix = self.matrix(torch.device("cpu")) if self.additive else None
        return None if matrix is None else (of_matrix(matrix, shape),)

    def apply(self, weight: Tensor, multiplier: float, dtype: torch.dtype) -> Tensor:
        """W + multiplier · (f(W) − W), in place, rounded once to the weight's dtype.

        `weight`: any device and float dtype, of the shape that `fit` gave. `dtype`: the caller's type for products; a
        family may compute in a wider one.
        """
        exact = torch.promote_types(torch.promote_types(weight.dtype, dtype), torch.float32)
        return weight.add_(self.delta(weight.to(exact)), alpha=multiplier)


@dataclass(frozen=True, slots=True)
class Claim:
    """A parameter of a module, what changes it, and the endings of the keys that say so."""

    parameter: str
    """`weight` or `bias`."""
    strategy: Strategy
    endings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """How a family is recognised. A family that is not built in is added by `register_strategy`."""

    name: str
    endings: Mapping[str, str]
    """Canonical ending → regular expression of what stands in the file after the module's name and a dot."""
    read: Callable[[ModuleTensors], Iterable[Claim]]
    """Takes what it recognises out of a module's tensors. Raises `StrategyError` for a module that is broken."""
    strategies: tuple[type[Strategy], ...]
    """The classes that its claims use and no other family registers."""


@dataclass(frozen=True, slots=True)
class Wrapper:
    """Something that goes around the change of a weight, whatever its family."""

    endings: Mapping[str, str]
    """As a family's."""
    wrap: Callable[[Strategy, ModuleTensors], Strategy]
    """The change with what the module adds to it, or the change itself."""
    strategy: type[Strategy]


_CLASSES: dict[str, type[Strategy]] = {}


def register_class(cls: type[Strategy]) -> None:
    """Makes a class known to `unpack`. Raises `ValueError` for a second class of the same name."""
    if _CLASSES.setdefault(cls.__name__, cls) is not cls:
        raise ValueError(f"Two strategies are called {cls.__name__!r}.")


def pack(strategy: Strategy) -> Packed:
    """The strategy as a nested tuple of tensors and plain values."""
    values = (getattr(strategy, f.name) for f in fields(strategy))  # type: ignore[arg-type]
    return (type(strategy).__name__, *(_packed_value(value) for value in values))


def _packed_value(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.contiguous()
    if isinstance(value, Strategy):
        return pack(value)
    return tuple(map(_packed_value, value)) if isinstance(value, tuple) else value


def unpack(packed: Packed) -> Strategy:
    """The inverse of `pack`."""
    name, *values = packed
    return _CLASSES[name](*(unpack(value) if _is_packed(value) else value for value in values))


def _is_packed(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], str) and value[0] in _CLASSES


def _tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _tensors_in(item)


def check_values(strategy: Strategy) -> None:
    """Reads every tensor once. Raises `StrategyError` for one that is no float type or holds NaN or infinity."""
    for tensor in strategy.numbers:
        if not tensor.is_floating_point():
            raise StrategyError(
                f"it holds numbers of type {_dtype_name(tensor.dtype)}, which is no floating-point type"
            )
        # A sum in fp32 carries NaN and infinity through and is one pass over the mapped bytes; fp64's may overflow.
        total = tensor.to(torch.float32) if tensor.element_size() == 1 else tensor
        wide = torch.float64 if tensor.element_size() >= 4 else torch.float32
        if not torch.isfinite(total.sum(dtype=wide)):
            raise StrategyError("it holds NaN or infinite numbers")


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def check_same_size(what: str, found: Shape, shape: Shape) -> None:
    """Raises `StrategyError` unless a tensor of `found` can be read as one of `shape`, rows kept."""
    if torch.Size(found).numel() != torch.Size(shape).numel() or (found and shape and found[0] != shape[0]):
        raise StrategyError(f"{what} {found} does not fit a weight of shape {shape}")
