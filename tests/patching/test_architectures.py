"""Every model class of the host: it is in the table, it can be told by its keys, and its names lead to its weights."""

from __future__ import annotations

import re
from typing import Any

import pytest
from lora_deck.stack.architectures import candidates, detect

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


def flat_keys(keys: dict[str, tuple[int, ...]], prefix: str) -> dict[str, tuple[int, ...]]:
    """A LoRA's keys as kohya writes them."""
    endings = {"lora_A.weight": "lora_down.weight", "lora_B.weight": "lora_up.weight"}
    flat = {}
    for key, shape in keys.items():
        module, _, ending = key.partition(".lora_")
        flat[f"{prefix}{module.replace('.', '_')}.{endings['lora_' + ending]}"] = shape
    return flat


def attention(modules: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """What most trainers leave of a model when they are asked for little."""
    return {name: shape for name, shape in modules.items() if re.search(r"\d.*(?:attn|attention)", name)}


@pytest.mark.parametrize("name", layouts.models())
def test_models_and_files_are_told_by_their_keys(comfy: Any, name: str) -> None:
    made = model(comfy, name)
    expected = layouts.models()[name]["architecture"]
    shapes = {key: tuple(value.shape) for key, value in made.state_dict().items()}
    assert detect(shapes) == expected
    if expected is None:
        return
    own = {
        key.removeprefix("diffusion_model.").removesuffix(".weight"): shape
        for key, shape in shapes.items()
        if key.startswith("diffusion_model.") and key.endswith(".weight") and len(shape) > 1
    }
    theirs = [modules for title, modules in layouts.diffusers().items() if title.split(" ")[0] == name]
    names = [(own, "diffusion_model.", "lora_unet_"), *((m, "transformer.", "lora_transformer_") for m in theirs)]
    for modules, dotted, flat in names:
        whole = layouts.lora_keys(modules, dotted)
        assert detect(whole) == expected and detect(flat_keys(layouts.lora_keys(modules, ""), flat)) == expected
        few = layouts.lora_keys(attention(modules), dotted)
        if few:
            assert expected in candidates(few)
            assert expected in candidates(flat_keys(layouts.lora_keys(attention(modules), ""), flat))
