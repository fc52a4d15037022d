"""Every model class of the host: it is in the table, it can be told by its keys, and its names lead to its weights."""

from __future__ import annotations

from typing import Any

import pytest

from . import layouts

FORMS = (
    "{dotted}",
    "diffusion_model.{dotted}",
    "model.diffusion_model.{dotted}",
    "base_model.model.{dotted}",
    "base_model.model.diffusion_model.{dotted}",
    "transformer.base_model.model.{dotted}",
    "net.{dotted}",
    "pipe.dit.{dotted}",
    "module.{dotted}",
    "conditional_transformer.{dotted}",
    "lora_unet_{flat}",
    "lora_unet__{flat}",
    "lora_transformer_{flat}",
    "lycoris_{flat}",
    "oft_unet_{flat}",
    "lora_unet_{flat}_",
)
"""What trainers put before a model's own names."""


def model(comfy: Any, name: str) -> Any:
    if layouts.host_class(comfy, name) is None:
        pytest.skip(f"this host has no {layouts.models()[name]['class']}")
    return layouts.diffusion_model(comfy, name)


def test_every_class_of_the_host_is_in_the_table(comfy: Any) -> None:
    known = {each["class"] for each in layouts.models().values()}
    assert {each.__name__ for each in comfy.supported_models.models} <= known


@pytest.mark.parametrize("name", layouts.models())
def test_every_name_leads_to_its_weight(comfy: Any, name: str) -> None:
    from lora_deck.patching.keymap import key_map

    made = model(comfy, name)
    names = key_map("unet", made)
    weights = [k for k, v in made.state_dict().items() if k.startswith("diffusion_model.") and k.endswith(".weight")]
    assert len(weights) > 30 and names.is_reachable
    lost: list[str] = []
    for key in weights:
        dotted = key.removeprefix("diffusion_model.").removesuffix(".weight")
        for form in FORMS:
            module = form.format(dotted=dotted, flat=dotted.replace(".", "_"))
            target = names.find(module, "weight")
            if target is None or (target.key, target.offset, target.function) != (key, None, None):
                lost.append(f"{module} → {target and target.key}")
    assert not lost, f"{len(lost)} of {len(weights) * len(FORMS)}: {lost[:5]}"
