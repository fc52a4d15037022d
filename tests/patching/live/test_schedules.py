"""Weights that move over the steps, by the real host's samplers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lora_deck.stack.schedule import schedule_of
from lora_deck.stack.tag import parse_prompt

from ..test_apply import apply
from .test_engine import loras as loras
from .test_engine import model as model


def weight_now(tag: str, place: float, steps: int, sampling_pass: Any = "first") -> float:
    (entry,) = parse_prompt(tag).stack
    schedule = schedule_of(entry, sampling_pass)
    assert schedule is not None
    return schedule.at(place, steps)


SAMPLERS = {
    "euler": [0, 1, 2, 3],
    "heun": [0, 1, 1, 2, 2, 3, 3],
    "dpmpp_2m_sde": [0, 1, 2, 3],
    "dpm_2_ancestral": None,
    "uni_pc": [0, 1, 2, 3],
}
"""Sampler → step of each call of the model; `None` where it asks between the steps."""


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_each_step_is_a_constant_run_at_its_weight(comfy: Any, model: Any, loras: Path, sampler: str) -> None:
    from lora_deck.patching.live.place import place_of

    from . import sampling as s

    tag = "<lora:a:1:4@0,0.4@1>"
    applied = apply(model, None, tag + "<lora:b:0.5>")
    calls = s.Calls()
    s.sample(applied.model, [s.condition(1)], [s.condition(2)], steps=4, sampler=sampler, calls=calls)
    assert applied.model.patches and "by this pass's own steps" in str(applied.report)
    places = [place_of(sigma, calls.sigmas) for sigma, _ in calls.seen]
    wanted = SAMPLERS[sampler]
    if wanted is not None:
        assert [place for place, _ in places] == wanted
    for number, (place, steps) in enumerate(places):
        assert steps == 4
        constant = apply(model, None, f"<lora:a:1:{weight_now(tag, place, steps)!r}><lora:b:0.5>", method="patch")
        base = calls.again(number, apply(model, None, "<lora:b:0.5>").model)
        truth = calls.again(number, constant.model)
        if float((truth - base).abs().max()):
            assert s.difference(calls.denoised[number], truth, base) < 2e-3, number


def test_img2img_counts_its_own_steps(comfy: Any, model: Any, loras: Path) -> None:
    import torch

    from . import sampling as s

    tag = "<lora:a:1:0@0,1@1>"
    calls = s.Calls()
    image = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(9))
    live = apply(model, None, tag).model
    s.sample(live, [s.condition(1)], [s.condition(2)], steps=3, denoise=0.5, image=image, calls=calls)
    assert len(calls.seen) == 3
    plain = [calls.again(i, model) for i in range(3)]
    assert torch.equal(calls.denoised[0], plain[0])
    full = apply(model, None, "<lora:a>", method="patch").model
    assert s.difference(calls.denoised[2], calls.again(2, full), plain[2]) < 2e-3
    half = apply(model, None, "<lora:a:0.5>", method="patch").model
    assert s.difference(calls.denoised[1], calls.again(1, half), plain[1]) < 2e-3


def test_both_passes(comfy: Any, model: Any, loras: Path) -> None:
    import torch

    from . import sampling as s

    tag = "<lora:a:1:stop=2:hrunet=0@0,1@1>"
    first, hires = (apply(model, None, tag, sampling_pass=p).model for p in ("first", "hires"))
    for patcher, sampling_pass in ((first, "first"), (hires, "hires")):
        calls = s.Calls()
        s.sample(patcher, [s.condition(1)], [s.condition(2)], steps=3, calls=calls)
        for step in range(3):
            base = calls.again(step, model)
            weight = weight_now(tag, step, 3, sampling_pass)
            if not weight:
                assert torch.equal(calls.denoised[step], base)
                continue
            truth = calls.again(step, apply(model, None, f"<lora:a:{weight}>", method="patch").model)
            assert s.difference(calls.denoised[step], truth, base) < 2e-3


def test_what_cannot_move_is_said(comfy: Any, model: Any, loras: Path) -> None:
    import torch
    from safetensors.torch import save_file

    norm = "lora_unet_input_blocks_1_1_norm"
    save_file({f"{norm}.w_norm": torch.ones(320) * 0.1, f"{norm}.b_norm": torch.ones(320)}, loras / "norm.safetensors")
    applied = apply(model, None, "<lora:norm:1:0@0,0.5@1>")
    report = str(applied.report)
    assert "2 changes of GroupNorm layers have no form in the forward pass and are patched at weight 0.5" in report
    assert set(applied.model.patches) == {f"diffusion_model.input_blocks.1.1.norm.{p}" for p in ("weight", "bias")}
    report = str(apply(model, None, "<lora:a:1:0@0,0.5@1>", method="patch").report)
    assert "0@0,0.5@1 is not followed with method patch; its weight is 0.5 throughout" in report


def test_places() -> None:
    from lora_deck.patching.live.place import place_of

    sigmas = [14.6, 5.0, 1.2, 0.3, 0.0]
    assert [place_of(sigma, sigmas)[0] for sigma in sigmas[:-1]] == [0, 1, 2, 3]
    assert place_of(5.0 * (1 + 1e-6), sigmas) == (1, 4)
    assert place_of(3.1, sigmas)[0] == pytest.approx(1.5) and place_of(20.0, sigmas)[0] == 0
    assert 3 < place_of(0.1, sigmas)[0] < 4
    assert place_of(0.5, [0.5, 0.2]) == (0, 1) and place_of(1.0, [1.0]) == (0, 1) and place_of(1.0, []) == (0, 1)
    assert place_of(2.0, [4.0, 2.0, 1.0, 3.0, 2.0, 0.0])[1] == 5
