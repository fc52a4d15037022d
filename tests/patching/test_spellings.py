"""Every way in which trainers put a prefix before a model's own names leads to the weight, for every host model."""

from __future__ import annotations

import json
from typing import Any

import pytest

from . import layouts

FORMS = (
    "{dotted}",
    "diffusion_model.{dotted}",
    "model.diffusion_model.{dotted}",
    "base_model.model.{dotted}",
    "base_model.model.diffusion_model.{dotted}",
    "net.{dotted}",
    "conditional_transformer.{dotted}",
    "lora_unet_{flat}",
    "lora_unet__{flat}",
    "lora_transformer_{flat}",
    "lycoris_{flat}",
    "oft_unet_{flat}",
    "lora_unet_{flat}_",
)
ON_META = "ace-step-1.5"
"""The host cannot make this one without memory: its constructor reads a number out of a tensor."""


def models() -> list[str]:
    path = layouts.FOLDER / "models.json"
    return [name for name in json.loads(path.read_text()) if name != ON_META] if path.exists() else []


@pytest.mark.parametrize("name", models())
def test_every_prefix_leads_to_the_weight(comfy: Any, name: str) -> None:
    from lora_deck.patching.keymap import key_map

    model = layouts.diffusion_model(comfy, name)
    names = key_map("unet", model)
    weights = [k for k, v in model.state_dict().items() if k.endswith(".weight") and v.ndim >= 2]
    assert weights
    lost: list[str] = []
    for key in weights:
        dotted = key.removeprefix("diffusion_model.").removesuffix(".weight")
        for form in FORMS:
            module = form.format(dotted=dotted, flat=dotted.replace(".", "_"))
            target = names.find(module, "weight")
            if target is None or target.key != key:
                lost.append(f"{module} → {target and target.key}")
    assert not lost, f"{len(lost)} of {len(weights) * len(FORMS)}: {lost[:5]}"


def test_the_models_are_there() -> None:
    layouts.need_layouts()
    assert len(models()) > 30


def test_a_rename_leads_nowhere_in_another_architecture(comfy: Any) -> None:
    layouts.need_layouts()
    from lora_deck.patching.keymap import key_map

    names = key_map("unet", layouts.diffusion_model(comfy, "sd15"))
    for module in (
        "transformer.blocks.0.attn1.to_q",
        "double_blocks.0.processor.qkv_lora1",
        "lora_unet_blocks_0_ffn_0",
    ):
        assert names.find(module, "weight") is None and names.find_rows(module, "weight") == ()
