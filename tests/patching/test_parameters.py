"""What a model is made of, without torch's own walk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.mark.parametrize("kind", ["model", "clip"])
def test_the_same_as_the_state_dict(make_model: Callable[..., Any], make_clip: Callable[..., Any], kind: str) -> None:
    from lora_deck.patching.parameters import Parameters, shapes_of

    model = make_model().model if kind == "model" else make_clip().patcher.model
    assert shapes_of(model) == {key: tuple(value.shape) for key, value in model.state_dict().items()}
    assert dict(Parameters(model).by_name).keys() == {
        name for name, _ in model.named_parameters(remove_duplicate=False)
    }


def test_layers_that_keep_something_else(comfy: Any) -> None:
    """Packs write what they have packed, or more; shapes are those of the weights themselves."""
    import torch
    from lora_deck.patching.parameters import Parameters, shapes_of

    class Packed(torch.nn.Linear):
        def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
            destination[prefix + "weight"] = torch.zeros(3)
            destination[prefix + "scale"] = torch.zeros(())

    def more(module: Any, state: Any, prefix: str, _: Any) -> None:
        state[prefix + "hooked"] = torch.zeros(2)

    usual = torch.nn.Linear(4, 5)
    usual.register_buffer("kept", torch.zeros(6))
    usual.register_buffer("passing", torch.zeros(7), persistent=False)
    usual.register_parameter("none", None)
    assert shapes_of(usual) == {"weight": (5, 4), "bias": (5,), "kept": (6,)}
    model = torch.nn.ModuleDict({"usual": usual, "packed": Packed(2, 3)})
    shapes = {"usual.weight": (5, 4), "usual.bias": (5,), "usual.kept": (6,), "packed.weight": (3, 2)}
    assert shapes_of(model) == {**shapes, "packed.scale": ()}
    model["packed"] = usual
    assert Parameters(model).by_name["packed.weight"] is usual.weight
    usual.register_state_dict_post_hook(more)
    assert shapes_of(model)["packed.hooked"] == (2,)
