"""Which rows of a batch belong to which conditioning.

What a row wants travels as one more of the host's model conditions: those follow the conditioning through areas, masks,
context windows and devices, and come out joined in the order of the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

CONDITION = "lora_deck_rows"
"""Name of the model condition, and of what is left of it in `transformer_options`."""

Call = tuple[Any, Any, Any, Any, dict[str, Any]]
"""The arguments of the host's `apply_model` after x: t, c_concat, c_crossattn, control, transformer_options."""


class RowCondition:
    """The host's protocol of a model condition, around a value that is no tensor."""

    def __init__(self, values: Sequence[Any]) -> None:
        self.values = tuple(values)

    def process_cond(self, batch_size: int, **_: Any) -> RowCondition:
        """The same for every latent of the batch."""
        return self

    def can_concat(self, other: object) -> bool:
        """Rows of different stacks go through the model together."""
        return isinstance(other, RowCondition)

    def concat(self, others: Sequence[RowCondition]) -> RowCondition:
        """One after the other."""
        return RowCondition([value for condition in (self, *others) for value in condition.values])

    def size(self) -> list[int]:
        """For the host's estimate of memory."""
        return [1]


def rows_of(
    options: Mapping[str, Any], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]:
    """(what every group of rows wants, `transformer_options` that say so to the next one, the other arguments)."""
    condition = kwargs.get(CONDITION)
    if condition is None:
        return tuple(options.get(CONDITION, ())), dict(options), kwargs
    rest = {name: value for name, value in kwargs.items() if name != CONDITION}
    return condition.values, {**options, CONDITION: condition.values}, rest


def split(rows: int, x: Tensor, call: Call, kwargs: dict[str, Any]) -> Iterator[tuple[Tensor, Call, dict[str, Any]]]:
    """The call as one for each group of rows. Everything whose first dimension is the batch is cut."""
    batch = x.shape[0]
    size = batch // rows
    *tensors, options = call
    for i in range(rows):

        def cut(value: Any, start: int = i * size) -> Any:
            if isinstance(value, Tensor):
                return value.narrow(0, start, size) if value.ndim and value.shape[0] == batch else value
            if isinstance(value, dict):
                return {key: cut(item) for key, item in value.items()}
            if isinstance(value, list | tuple):
                return type(value)(cut(item) for item in value)
            return value

        own = dict(options)
        for name in ("cond_or_uncond", "uuids", CONDITION):
            if len(own.get(name, ())) == rows:
                own[name] = own[name][i : i + 1]
        t, concat, crossattn, control = (cut(value) for value in tensors)
        yield cut(x), (t, concat, crossattn, control, own), cut(kwargs)
