"""Other packs' `LORA_STACK`: a plain list of `(name, model weight, clip weight)`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real

from .entry import LoraEntry
from .errors import StackFormatError
from .stack import LoraStack

PlainStack = list[tuple[str, float, float]]


def as_stack(value: object) -> LoraStack:
    """A `LoraStack` from anything that a `stack` input may receive.

    Accepts a `LoraStack`, `None`, the JSON form as a dict, or other packs' list of `(name, model, clip)` triples,
    where the name is a path below a LoRA folder with either separator. Their order is model first, ours te first.

    Raises:
        StackFormatError: the value is none of these; the message says which item is wrong.
    """
    if value is None:
        return LoraStack()
    if isinstance(value, LoraStack):
        return value
    if isinstance(value, dict):
        return LoraStack.from_json(value)
    if isinstance(value, list | tuple):
        return LoraStack(tuple(_entry(item, index) for index, item in enumerate(value) if not _is_none(item)))
    raise StackFormatError(
        f"This input takes a LoRA stack or a list of (name, model weight, clip weight); it got a "
        f"{type(value).__name__}."
    )


def _is_none(item: object) -> bool:
    """Stackers of other packs keep unused rows as the name "None"."""
    return isinstance(item, Sequence) and len(item) > 0 and item[0] in (None, "None")


def _entry(item: object, index: int) -> LoraEntry:
    where = f"Item {index + 1} of the plain LoRA list"
    if not isinstance(item, list | tuple) or len(item) < 3:
        raise StackFormatError(f"{where} is {item!r:.200}; expected (name, model weight, clip weight).")
    return checked_entry(item[0], te=item[2], unet=item[1], where=where)


def checked_entry(name: object, *, te: object, unet: object, where: str) -> LoraEntry:
    """An entry from values that came from outside.

    Raises:
        StackFormatError: the name is no text, or a weight is no finite number; the message begins with `where`.
    """
    if not isinstance(name, str) or not name.strip():
        raise StackFormatError(f"{where} has the name {name!r:.80}; expected the name of a LoRA.")
    numbers = []
    for weight in (te, unet):
        if isinstance(weight, bool) or not isinstance(weight, Real) or not math.isfinite(weight):
            raise StackFormatError(f"{where} ({name!r:.80}) has the weight {weight!r:.80}; expected a number.")
        numbers.append(float(weight))
    return LoraEntry(name=name.replace("\\", "/"), te=numbers[0], unet=numbers[1])


def lost_in_plain_list(entry: LoraEntry, form: str = "a plain list") -> list[str]:
    """One sentence for each thing of an entry that a `(name, model, clip)` triple cannot carry. `form`: its name."""
    lost = {
        "block weights": entry.lbw is not None,
        "element weights": entry.lbwe is not None,
        "the rank limit": entry.dyn is not None or entry.rank_limit is not None,
        "hires weights": entry.hr_te is not None or entry.hr_unet is not None,
        **{f'"{key}"': True for key, _ in entry.extra},
    }
    return [f"{entry.name}: {form} cannot carry {what}." for what, is_there in lost.items() if is_there]
