"""Textual-inversion embeddings inside LoRA files: usable as `embedding:<name>` in the prompts of one CLIP clone.

Keys are `bundle_emb.<name>.<parameter>`. The parameter is an encoder's name (`clip_l`, `clip_g`, …), or says only that
it is a vector (`vec`, `string_to_param.*`, `emb_params`); then its width decides which encoder it is for. The host
looks a name up through each encoder's tokenizer, so a clone gets tokenizers of its own that know the bundled names
after the files of the embeddings folder, which win.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

PREFIX = "bundle_emb."
_KEY = re.compile(r"bundle_emb\.(?P<name>.+?)\.(?P<parameter>string_to_param\..+|[^.]+)")
Lookup = Callable[[str], tuple[Tensor | None, str, str]]
"""(what follows `embedding:`) → (vectors, name as written, what is left of the text)."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """One bundled embedding."""

    name: str
    vectors: Mapping[str, Tensor]
    """Parameter → (tokens, width) or (width,)."""

    def for_encoder(self, key: str, width: int) -> Tensor | None:
        """The vectors for an encoder that the host calls `key`, `None` where none are as wide as its tokens."""
        named = self.vectors.get(key)
        candidates = [named] if named is not None else list(self.vectors.values())
        return next((v for v in candidates if v.ndim in (1, 2) and v.shape[-1] == width), None)


def split_bundle(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[Embedding, ...]]:
    """(a file's other tensors, its embeddings in the order of the file)."""
    rest: dict[str, Tensor] = {}
    found: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        match = _KEY.fullmatch(key)
        if match is None or not tensor.is_floating_point():
            rest[key] = tensor
        else:
            found.setdefault(match["name"], {})[match["parameter"]] = tensor
    return rest, tuple(Embedding(name, vectors) for name, vectors in found.items())


def add_embeddings(clip: Any, embeddings: Iterable[Embedding]) -> tuple[str, ...]:
    """Makes embeddings known to a `CLIP` that nobody else holds; of one name the first counts.

    Returns the names that no encoder of it can use.
    """
    by_name: dict[str, Embedding] = {}
    for embedding in embeddings:
        by_name.setdefault(embedding.name, embedding)
    if not by_name:
        return ()
    tokenizer = copy.copy(clip.tokenizer)
    used: set[str] = set()
    if _looks_up(tokenizer):
        used |= _extend(tokenizer, by_name)
    for attribute, part in list(vars(tokenizer).items()):
        if _looks_up(part):
            own = copy.copy(part)
            used |= _extend(own, by_name)
            setattr(tokenizer, attribute, own)
    clip.tokenizer = tokenizer
    return tuple(name for name in by_name if name not in used)


def _looks_up(tokenizer: object) -> bool:
    return hasattr(tokenizer, "_try_get_embedding") and hasattr(tokenizer, "embedding_size")


def _extend(tokenizer: Any, embeddings: Mapping[str, Embedding]) -> set[str]:
    """Lets a tokenizer of our own find the embeddings that fit it, and names them."""
    fitting = {
        name: vectors
        for name, embedding in embeddings.items()
        if (vectors := embedding.for_encoder(tokenizer.embedding_key, tokenizer.embedding_size)) is not None
    }
    before: Lookup = tokenizer._try_get_embedding

    def look_up(written: str) -> tuple[Tensor | None, str, str]:
        vectors, name, left = before(written)
        if vectors is None:
            vectors = fitting.get(name, fitting.get(name.strip(",")))
        return vectors, name, left

    if fitting:
        tokenizer._try_get_embedding = look_up
        if tokenizer.embedding_directory is None:
            # Without a folder the host does not look names up at all.
            tokenizer.embedding_directory = []
    return set(fitting)
