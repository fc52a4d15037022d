"""The language of `lbw=`: a preset, a vector or selectors become a weight per block of one model.

    MIDD                            a preset
    1,0,0,0.5,…                     a vector of a length that the model's layout gives a meaning
    IN04-OUT05=0.8,M00=0.2,NOT S    selectors: named blocks act, the others are 0, later items win

followed by any of `;A=0.8` `;B=1` `;X=0.5` `;seed=3` `;inv`.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from .blocks import AROUND, TEXT_ENCODERS, BlockLayout
from .errors import LoraDeckError
from .presets import built_in, find_preset


class BlockWeightError(LoraDeckError):
    """A block weight cannot be read against this model; the message says what it would take."""


@dataclass(frozen=True, slots=True)
class BlockWeights:
    """A weight for every block of one model."""

    blocks: tuple[tuple[str, float], ...]
    """(id, weight) of numbered blocks; `M00/1` stands before `M00` for that part of it. Absent: 0."""
    around: tuple[tuple[str, float], ...]
    """(`BASE`, `CLIP`, `T5`, `PRE`, `POST`; weight)."""
    _lookup: dict[str, float] = field(init=False, repr=False, compare=False, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_lookup", {**dict(self.around), **dict(self.blocks)})

    def of(self, block: str) -> float:
        """Weight of a block by the id that `BlockLayout.block_of` or `text_encoder_of` gives."""
        found = self._lookup.get(block)
        return found if found is not None else self._lookup.get(block.partition("/")[0], 0.0)


@dataclass(frozen=True, slots=True)
class _Variables:
    a: float = 4.0
    b: float = 1.0
    x: float = 1.0
    seed: int = 0


_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_ITEM = re.compile(rf"(?:{_NUMBER}|[RrUu]|[AaBb]|[Xx](?:[+-]\d*\.?\d+)?)")
_SELECTOR = re.compile(r"(?P<not>NOT\s+)?(?P<what>[^=]*?)\s*(?:=\s*(?P<value>.*))?", re.IGNORECASE | re.DOTALL)
_ID = re.compile(r"([A-Z]+)(\d+)")


def resolve_block_weights(
    spec: str, layout: BlockLayout, presets: Mapping[str, str], x: float | None, where: str
) -> BlockWeights:
    """Reads `spec` against a model.

    Args:
        spec: what stands behind `lbw=`.
        layout: the model's blocks.
        presets: the user's presets, name → spec; they win over built-ins of the same name.
        x: base of `X` items, from the tag's `x=`.
        where: which file the user's presets live in, for the error message.

    Raises:
        BlockWeightError: unknown preset or block, or a vector of a length that means nothing here.
    """
    return _resolve(spec, {} if x is None else {"x": x}, layout, presets, where)


def _resolve(
    spec: str, given: Mapping[str, float], layout: BlockLayout, presets: Mapping[str, str], where: str
) -> BlockWeights:
    """`given`: options that win over the text's own; those of the tag over those of the preset that it names."""
    body, own = _options(spec)
    options = {**own, **given}
    inverse = bool(options.pop("inv", 0.0))
    found = _named(body, layout, presets, options, where)
    if found is None:
        roll = _items(
            _Variables(**{key: value for key, value in options.items() if key != "seed"}, seed=_seed(options))
        )
        items = [item.strip() for item in body.split(",")]
        if len(items) > 1 and all(_ITEM.fullmatch(item) for item in items):
            found = _vector([roll(item) for item in items], layout)
        else:
            found = _selectors(body, layout, presets, roll, where)
    if inverse:
        found = replace(found, blocks=tuple((block, 1 - weight) for block, weight in _all_blocks(found, layout)))
    return found


def _seed(options: Mapping[str, float]) -> int:
    return int(options.get("seed", 0))


def _options(spec: str) -> tuple[str, dict[str, float]]:
    """(what stands before the first `;`, option → value)."""
    body, *texts = [part.strip() for part in spec.split(";")]
    options: dict[str, float] = {}
    for text in texts:
        key, _, value = (part.strip() for part in text.partition("="))
        name = key.lower()
        if name in ("inv", "inverse"):
            options["inv"] = 1.0
        elif name == "seed" and re.fullmatch(r"\d{1,15}", value):
            options["seed"] = float(value)
        elif name in ("a", "b", "x") and re.fullmatch(_NUMBER, value):
            options[name] = _finite(float(value), text)
        elif text:
            raise BlockWeightError(f'Block weights {spec!r}: ";{text}" is not known. Known: ;A= ;B= ;X= ;seed= ;inv.')
    return body, options


def _finite(value: float, text: str) -> float:
    if not math.isfinite(value):
        raise BlockWeightError(f"Block weight {text!r} is too large for a number.")
    return value


def _items(variables: _Variables) -> Callable[[str], float]:
    """Reads one item. `R` is drawn from 0…1 and `U` from −0.5…1.5 (hako-mikan's ranges, 3 decimals), from the seed."""
    draw = random.Random(variables.seed)

    def read(item: str) -> float:
        letter = item[0]
        if letter in "Rr":
            return round(draw.uniform(0, 1), 3)
        if letter in "Uu":
            return round(draw.uniform(-0.5, 1.5), 3)
        if letter in "AB":
            return variables.a if letter == "A" else variables.b
        if letter in "ab":
            return (variables.a if letter == "a" else variables.b) / 2
        if letter in "Xx":
            return variables.x + (float(item[1:]) if len(item) > 1 else 0.0)
        return _finite(float(item), item)

    return read


def _named(
    body: str, layout: BlockLayout, presets: Mapping[str, str], options: Mapping[str, float], where: str
) -> BlockWeights | None:
    name = find_preset(body, presets)
    if name is not None:
        others = {key: value for key, value in presets.items() if key != name}
        try:
            return _resolve(presets[name], options, layout, others, where)
        except BlockWeightError as error:
            raise BlockWeightError(f"The preset {name!r} in {where}: {error}") from error
    ours = built_in(layout)
    name = find_preset(body, dict.fromkeys(ours, ""))
    if name is None:
        return None
    weights = ours[name]
    around = {key: weights.get(key, 1.0) for key in (*TEXT_ENCODERS, *AROUND)}
    return _make({block: weights.get(block, 0.0) for block in layout.ids}, around)


def _make(blocks: Mapping[str, float], around: Mapping[str, float]) -> BlockWeights:
    return BlockWeights(tuple(blocks.items()), tuple(around.items()))


def _all_blocks(weights: BlockWeights, layout: BlockLayout) -> list[tuple[str, float]]:
    parts = [(block, weight) for block, weight in weights.blocks if "/" in block]
    return parts + [(block, weights.of(block)) for block in layout.ids]


_ONES = dict.fromkeys((*TEXT_ENCODERS, *AROUND), 1.0)


def _vector(values: list[float], layout: BlockLayout) -> BlockWeights:
    lists = vector_lists(layout)
    names = lists.get(len(values))
    if names is None:
        lengths = ", ".join(str(length) for length in sorted(lists))
        raise BlockWeightError(
            f"A block weight vector of {len(values)} numbers means nothing for this model, which has the blocks "
            f"{describe(layout)}. Lengths that do: {lengths}."
        )
    given = dict(zip(names, values, strict=True))
    around = dict(_ONES)
    if "BASE" in given:
        around.update(dict.fromkeys(TEXT_ENCODERS, given["BASE"]))
    around.update((key, value) for key, value in given.items() if key in around)
    there = {*layout.ids, *(f"M00/{part}" for part in range(3))}
    blocks = {key: value for key, value in given.items() if key in there}
    if len(values) == layout.count("D") + 1 and layout.count("S"):
        # Inspire fills a short vector with its last value.
        blocks.update((block, values[-1]) for block in layout.ids if block not in blocks)
    return _make({**dict.fromkeys(layout.ids, 0.0), **blocks}, around)


_HAKO_17 = ["BASE", "IN01", "IN02", "IN04", "IN05", "IN07", "IN08", "M00", *(f"OUT{n:02d}" for n in range(3, 12))]
_HAKO_12 = ["BASE", "IN04", "IN05", "IN07", "IN08", "M00", *(f"OUT{n:02d}" for n in range(6))]


def _unet_list(inputs: int, outputs: int) -> list[str]:
    return [f"IN{n:02d}" for n in range(inputs)] + ["M00"] + [f"OUT{n:02d}" for n in range(outputs)]


def vector_lists(layout: BlockLayout) -> dict[int, list[str]]:
    """Length → the ids that the numbers of such a vector stand for, for this model.

    One number per block, with or without `BASE` before them, always has a meaning (VACE blocks may be left out).
    UNets also take hako-mikan's lists (12, 17, 20, 26) and Inspire's for LyCORIS files, which lack `IN00` and part the
    middle block in three; transformers with two kinds of blocks hako-mikan's `CLIP T5 IN … OUT` and Inspire's `BASE`
    with the double blocks.
    """
    ids = list(layout.ids)
    lists: dict[int, list[str]] = {}
    if layout.is_unet:
        inputs, outputs = layout.count("IN"), layout.count("OUT")
        lists = {
            12: _HAKO_12,
            17: _HAKO_17,
            20: ["BASE", *_unet_list(9, 9)],
            26: ["BASE", *_unet_list(12, 12)],
            inputs + outputs + 3: ["BASE", *ids[1:inputs], "M00/0", "M00/1", "M00/2", *ids[inputs + 1 :]],
        }
    elif layout.count("D") and layout.count("S"):
        lists = {
            layout.count("D") + 1: ["BASE", *ids[: layout.count("D")]],
            len(ids) + 4: ["CLIP", "T5", "PRE", *ids, "POST"],
        }
    main = [block for block in ids if block[0] != "V"]
    return {**lists, len(main): main, len(main) + 1: ["BASE", *main], len(ids): ids, len(ids) + 1: ["BASE", *ids]}


def _selectors(
    body: str, layout: BlockLayout, presets: Mapping[str, str], roll: Callable[[str], float], where: str
) -> BlockWeights:
    blocks = dict.fromkeys(layout.ids, 0.0)
    around = dict(_ONES)
    for text in body.split(","):
        match = _SELECTOR.fullmatch(text.strip())
        assert match is not None
        words = match["what"].upper().split()
        value = _value(text, match["value"], roll)
        if not words:
            raise BlockWeightError(f"Block weights {body!r}: an item names no block.")
        named: list[str] = []
        for word in words:
            ids = select(word, layout)
            if ids is None:
                raise _unknown(word, body, layout, presets, where)
            named.extend(ids)
        if match["not"]:
            around.update((key, 0.0) for key in _with_encoders(named) if key in around)
            named = [block for block in layout.ids if block not in named]
        for key in _with_encoders(named):
            (around if key in around else blocks)[key] = value
    return _make(blocks, around)


def _with_encoders(ids: list[str]) -> list[str]:
    """`BASE` stands for every text encoder."""
    return [key for block in ids for key in (TEXT_ENCODERS if block == "BASE" else (block,))]


def _value(item: str, text: str | None, roll: Callable[[str], float]) -> float:
    if text is None:
        return 1.0
    text = text.strip()
    if not _ITEM.fullmatch(text) or not math.isfinite(value := roll(text)):
        raise BlockWeightError(f'Block weight "{item.strip()}": {text!r} is no number.')
    return value


def select(word: str, layout: BlockLayout) -> tuple[str, ...] | None:
    """The ids of one selector (`IN04`, `IN4-OUT05`, `MID`, `ALL`, `PRE`), `None` where this model has no such block.

    `word`: in capitals. A range goes along the order of the blocks, from either end.
    """
    if word in (*TEXT_ENCODERS, *AROUND):
        return (word,)
    group = layout.group(word)
    if group is not None:
        return group
    ends = [_one(end, layout) for end in word.split("-")]
    known = [end for end in ends if end is not None]
    if len(known) != len(ends) or len(ends) > 2:
        return None
    first, last = sorted((known[0], known[-1]))
    return layout.ids[first : last + 1]


def _one(text: str, layout: BlockLayout) -> int | None:
    found = _ID.fullmatch(text)
    letters = "M" if found and found[1] == "MID" else found[1] if found else "M" if text in ("M", "MID") else None
    block = f"{letters}{int(found[2]) if found else 0:02d}"
    return layout.ids.index(block) if block in layout.ids else None


def _unknown(word: str, body: str, layout: BlockLayout, presets: Mapping[str, str], where: str) -> BlockWeightError:
    names = ", ".join([*built_in(layout), *presets])
    if word.casefold() == body.strip().casefold():
        return BlockWeightError(
            f"{body!r} is no block weight preset and no block of this model. Presets: {names}. Blocks: "
            f"{describe(layout)}. Define presets of your own in {where}, one line each: NAME:1,0,0.5,…"
        )
    return BlockWeightError(
        f"Block weights {body!r}: this model has no block {word!r}. It has {describe(layout)}, and BASE, CLIP, T5, "
        "PRE, POST, ALL."
    )


def describe(layout: BlockLayout) -> str:
    """The blocks of a model in words: `IN00–IN11, M00, OUT00–OUT11`."""
    parts = [
        f"{letters}00–{letters}{count - 1:02d}" if count > 1 else f"{letters}00" for letters, count in layout.counts
    ]
    return ", ".join(parts) or "no numbered blocks"
