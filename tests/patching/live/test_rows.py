"""LoRAs of one conditioning: all rows in one batch, each as if it were alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lora_deck.stack.row_stack import SUM, split_prompt, with_row_stack
from lora_deck.stack.tag import parse_prompt

from ..test_apply import apply
from .test_engine import loras as loras
from .test_engine import model as model


def own(condition: list[Any], tags: str, combine: Any = "add") -> list[Any]:
    return with_row_stack([condition], parse_prompt(tags).stack, combine)[0]


def test_rows_are_as_if_alone(comfy: Any, model: Any, loras: Path) -> None:
    import torch

    from . import sampling as s

    before = s.state(model)
    ready = apply(model, None, "<lora:b:0.5>").model
    left = torch.zeros(1, 8, 8)
    left[:, :, :4] = 1
    masks = {"mask": left, "mask_strength": 1.0}, {"mask": 1 - left, "mask_strength": 1.0}
    one, two = s.condition(1, **masks[0]), s.condition(3, **masks[1])
    negative = [s.condition(2)]
    calls = s.Calls()
    positive = [own(one, "<lora:a:4>"), own(two, "<lora:a:-3:0@0,-3@1><lora:b:2>")]
    s.sample(ready, positive, negative, calls=calls, batch=2)
    assert [rows for _, rows in calls.seen] == [6, 6], "all conditionings in one batch, two pictures each"
    for step, second in enumerate(("<lora:b:2.5>", "<lora:b:2.5><lora:a:-3>")):
        rows = calls.denoised[step].chunk(3)
        options = calls.arguments[step][0][5]
        plain = calls.again(step, apply(model, None, "<lora:b:0.5>", method="patch").model).chunk(3)
        for tags, index in (("<lora:b:0.5><lora:a:4>", 0), (second, 1)):
            truth = calls.again(step, apply(model, None, tags, method="patch").model).chunk(3)
            which = _row_of(options, index, calls, step)
            assert s.difference(rows[which], truth[which], plain[which]) < 1e-3
        negatives = options["cond_or_uncond"].index(1)
        assert (rows[negatives] - plain[negatives]).abs().max() < 1e-4
    assert s.is_untouched(model, before)
    assert not ready.model_options["transformer_options"].get("wrappers")


def _row_of(options: Any, index: int, calls: Any, step: int) -> int:
    """Which row of the batch is the positive with that number: the host sets the last one first."""
    positives = [i for i, kind in enumerate(options["cond_or_uncond"]) if kind == 0]
    context = calls.arguments[step][0][3].chunk(len(options["cond_or_uncond"]))
    from . import sampling as s

    wanted = s.condition((1, 3)[index])[0][0]
    return next(i for i in positives if float((context[i][0] - wanted).abs().max()) < 1e-6)


def test_replace(comfy: Any, model: Any, loras: Path) -> None:
    from lora_deck.stack.errors import LoraDeckError

    from . import sampling as s

    negative = [s.condition(2)]
    patched = apply(model, None, "<lora:b:2>").model
    with pytest.raises(LoraDeckError, match="Set method of Apply LoRA stack to live"):
        s.sample(patched, [own(s.condition(1), "<lora:a>", "replace")], negative)
    live = apply(model, None, "<lora:b:2>", method="live").model
    calls = s.Calls()
    s.sample(live, [own(s.condition(1), "<lora:a:3>", "replace")], negative, steps=1, calls=calls)
    order = calls.arguments[0][0][5]["cond_or_uncond"]
    rows = calls.denoised[0].chunk(2)
    only_a, only_b, base = (
        calls.again(0, apply(model, None, tags, method="patch").model).chunk(2)
        for tags in ("<lora:a:3>", "<lora:b:2>", "")
    )
    positive, other = order.index(0), order.index(1)
    assert s.difference(rows[positive], only_a[positive], base[positive]) < 1e-4
    assert s.difference(rows[other], only_b[other], base[other]) < 1e-4


@pytest.mark.parametrize("weights", [(1.0, 0.7), (1.0, -0.4, 0.6), (1.0, -1.0)])
def test_and_is_a_sum(comfy: Any, model: Any, loras: Path, weights: tuple[float, ...]) -> None:
    from . import sampling as s

    ready = apply(model, None, "").model
    negative = [s.condition(2)]
    positive = [s.condition(i + 3, strength=w, **{SUM: True}) for i, w in enumerate(weights)]
    got = s.sample(ready, positive, negative, steps=1, cfg=3.0)
    parts = [s.sample(ready, [s.condition(i + 3)], negative, steps=1, cfg=1.0) for i in range(len(weights))]
    base = s.sample(ready, negative, negative, steps=1, cfg=1.0)
    # One Euler step down to no noise gives the prediction itself: u + cfg · Σ w · (c − u).
    truth = base + 3.0 * sum(w * (part - base) for w, part in zip(weights, parts, strict=True))
    assert s.difference(got, truth, base) < 1e-4


def test_splitting() -> None:
    text = "a <lora:x:0.5> BREAK b AND c <lora:a AND b:1> :0.7 AND d:-1"
    whole = split_prompt(text, "prompt", "a1111", "sum")
    assert [(part.chunks, part.weight) for part in whole.parts] == [(("a", "b"), 1), ((" c",), 0.7), ((" d",), -1)]
    assert [entry.name for entry in whole.stack] == ["x", "a AND b"]
    parts = split_prompt(text, "sub-prompt", "a1111", "sum").parts
    assert [[entry.name for entry in part.stack] for part in parts] == [["x"], ["a AND b"], []]
    assert [part.weight for part in parts] == [1, 0.7, -1]
    (alone,) = split_prompt("a picture, 16:9", "prompt", "a1111", "sum").parts
    assert alone.chunks == ("a picture, 16:9",) and alone.weight == 1


def test_layers_that_mix_rows_take_them_one_by_one(
    comfy: Any, model: Any, loras: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a layer's first dimension is not the batch nothing is guessed: every group of rows runs alone."""
    from lora_deck.patching.live.bound import Bound

    from . import sampling as s

    ready = apply(model, None, "<lora:b:2>").model
    positive, negative = [own(s.condition(1), "<lora:a:4>")], [s.condition(2)]
    together, apart = s.Calls(), s.Calls()
    wanted = s.sample(ready, positive, negative, calls=together, batch=2)
    monkeypatch.setattr(Bound, "mixes_rows", property(lambda self: True))
    got = s.sample(ready, positive, negative, calls=apart, batch=2)
    base = s.sample(model, positive, negative, batch=2)
    assert s.difference(got, wanted, base) < 1e-4
