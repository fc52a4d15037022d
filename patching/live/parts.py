"""What of a stack is applied in the forward pass, as steps of the layers that it changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor

from ...strategies import Strategy
from ...strategies.forms import Dense, Form, Gain, Kron, OnInput, OnOutput, Pair
from ..adapter import Offset, Rearrange

Shape = tuple[int, ...]
WeightOf = Callable[[str], Tensor]
"""Key of a parameter → its value under the constant patches, fp32."""


@dataclass(frozen=True, slots=True)
class LivePart:
    """One change of one parameter."""

    entry: int
    """Whose weight multiplies it."""
    factor: float
    """What its block or element adds to that."""
    strategy: Strategy
    key: str
    """The model's name of the parameter."""
    offset: Offset | None
    function: Rearrange | None
    region: Shape
    """Shape of the part of the weight that it changes, from the first corner of its slice."""


@dataclass(frozen=True, slots=True)
class Shift(Form):
    """A change of the bias: (out,)."""

    delta: Tensor


@dataclass(frozen=True, slots=True)
class Step:
    """A form on some output channels of a layer; inputs are the layer's own."""

    entry: int
    form: Form
    rows: tuple[int, int] | None
    """(start, length); `None` for all."""
    factor: float = 1.0
    """What multiplies it beside the entry's weight; forms that add have theirs inside."""


Layers = dict[str, tuple[Step, ...]]
"""Name of a module of the model → its steps in order."""


def build_layers(parts: Iterable[LivePart], shapes: Callable[[str], Shape], weight_of: WeightOf) -> Layers:
    """Steps of every layer. `parts`: in stack order. `shapes`: of a whole parameter by its key."""
    steps: dict[str, list[Step]] = {}
    for part in parts:
        module, _, parameter = part.key.rpartition(".")
        shape = shapes(part.key)
        made = _bias(part, shape, weight_of) if parameter == "bias" else _weight(part, shape, weight_of)
        steps.setdefault(module, []).extend(made)
    return {module: tuple(made) for module, made in steps.items()}


def _bias(part: LivePart, shape: Shape, weight_of: WeightOf) -> list[Step]:
    start = 0 if part.offset is None else part.offset[1]
    rows = (start, part.region[0])
    delta = _delta(part, weight_of(part.key).narrow(0, *rows)) * part.factor
    return [Step(part.entry, Shift(delta), None if rows == (0, shape[0]) else rows)]


def _weight(part: LivePart, shape: Shape, weight_of: WeightOf) -> list[Step]:
    corner = [0] * len(shape)
    if part.offset is not None:
        corner[part.offset[0]] = part.offset[1]

    def region() -> Tensor:
        weight = weight_of(part.key)
        for dim, (start, size) in enumerate(zip(corner, part.region, strict=True)):
            weight = weight.narrow(dim, start, size)
        return weight

    rows = None if part.region[0] == shape[0] else (corner[0], part.region[0])
    columns = None if part.region[1] == shape[1] else (corner[1], shape[1])
    forms = part.strategy.forms(part.region, lambda: _rearranged(part.function, region()))
    placed: list[Form] | None = None
    if forms is not None:
        found = [_placed(form, part, rows, columns) for form in forms]
        if all(form is not None for form in found):
            placed = [form for form in found if form is not None]
    if placed is None:
        dense = _placed(Dense(_delta(part, region())), part, rows, columns, rearranged=True)
        assert dense is not None
        placed = [dense]
    return [
        Step(
            part.entry,
            form,
            None if isinstance(form, OnInput) else rows,
            part.factor if isinstance(form, OnInput | OnOutput) else 1.0,
        )
        for form in placed
    ]


def _delta(part: LivePart, weight: Tensor) -> Tensor:
    """f(W) − W of a slice, rearranged as the host wants it."""
    if part.function is None:
        return part.strategy.delta(weight)
    return _rearranged(part.function, part.strategy.delta(_rearranged(part.function, weight)))


def _rearranged(function: Rearrange | None, value: Tensor) -> Tensor:
    # The host's rearrangement is its own inverse (two halves change places).
    return value if function is None else function(value).clone()


def _placed(
    form: Form,
    part: LivePart,
    rows: tuple[int, int] | None,
    columns: tuple[int, int] | None,
    rearranged: bool = False,
) -> Form | None:
    """The form for all inputs of the layer, one that adds times its part's factor; `None` where it cannot be said so.

    `columns`: (first input channel, input channels of the layer) where it is for fewer than those.
    """
    function = None if rearranged else part.function
    factor = part.factor
    if isinstance(form, Kron) and (function is not None or columns is not None):
        form = Dense(form.dense())
    if isinstance(form, Kron):
        return Kron(form.w1 * factor, form.w2)
    if isinstance(form, Pair):
        return Pair(_rearranged(function, form.up * factor), _widened(form.down, columns))
    if isinstance(form, Dense):
        return Dense(_widened(_rearranged(function, form.delta * factor), columns))
    if isinstance(form, OnOutput) and columns is None:
        if isinstance(form.channels, Gain):
            return OnOutput(Gain(_rearranged(function, form.channels.gain)))
        return form if function is None else None
    if isinstance(form, OnInput) and rows is None and function is None:
        if isinstance(form.channels, Gain):
            return OnInput(Gain(_widened(form.channels.gain.unsqueeze(0), columns)[0]))
        return form if columns is None else None
    return None


def _widened(value: Tensor, columns: tuple[int, int] | None) -> Tensor:
    """With zeros for the input channels that a change has none for. `value`: (…, in[, kernel…])."""
    if columns is None:
        return value
    start, total = columns
    wide = value.new_zeros((value.shape[0], total, *value.shape[2:]))
    wide.narrow(1, start, value.shape[1]).copy_(value)
    return wide
