"""Validation of names before a prompt runs, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from .. import library
from ..sharing.missing import Wanted, current_wants
from ..stack.errors import AmbiguousLoraError, LoraNotFoundError


async def names_exist(node_id: object, names: Callable[[], Iterable[tuple[str, str]]]) -> bool | str:
    """`True`, or one message about every name that does not resolve, as the host's `validate_inputs` wants it.

    `names` gives pairs of (what to call it, name). What the Applies downstream want counts: with `missing` on `warn`,
    or without any, nothing is refused here, nor is a name whose file their lock can find by content.
    """
    wanted = current_wants.get().get(str(node_id))
    if wanted is None or not wanted.error:
        return True
    return await asyncio.to_thread(_check, names, wanted)


def _check(names: Callable[[], Iterable[tuple[str, str]]], wanted: Wanted) -> bool | str:
    messages: list[str] = []
    for label, name in names():
        if not wanted.refuses(name):
            continue
        try:
            library.resolve(name)
        except (LoraNotFoundError, AmbiguousLoraError) as error:
            messages.append(f"{label}: {error} {wanted.problem}".rstrip())
    return "\n".join(messages) or True
