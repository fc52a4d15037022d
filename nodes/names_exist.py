"""Validation of names before a prompt runs, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from .. import library
from ..sharing.missing import current_policies
from ..stack.errors import AmbiguousLoraError, LoraNotFoundError


async def names_exist(node_id: object, names: Callable[[], Iterable[tuple[str, str]]]) -> bool | str:
    """`True`, or one message about every name that does not resolve, as the host's `validate_inputs` wants it.

    `names` gives pairs of (what to call it, name). What the Applies downstream want counts: with `missing` on `warn`,
    or without any, nothing is refused here.
    """
    if current_policies.get().get(str(node_id)) != "error":
        return True
    return await asyncio.to_thread(_check, names)


def _check(names: Callable[[], Iterable[tuple[str, str]]]) -> bool | str:
    messages: list[str] = []
    for label, name in names():
        try:
            library.resolve(name)
        except (LoraNotFoundError, AmbiguousLoraError) as error:
            messages.append(f"{label}: {error}")
    return "\n".join(messages) or True
