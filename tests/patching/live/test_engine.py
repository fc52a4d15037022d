"""Constant stacks in the forward pass, on the real host's sampler, against the same stacks patched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..test_apply import apply, write_lora

MODULES = {
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q": (320, 320),
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k": (320, 768),
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_ff_net_0_proj": (2560, 320),
    "lora_unet_mid_block_attentions_0_proj_in": (320, 320, 1, 1),
    "lora_unet_input_blocks_1_1_proj_in": (320, 320, 1, 1),
    "lora_unet_down_blocks_0_resnets_0_conv1": (320, 320, 3, 3),
    "lora_unet_up_blocks_0_attentions_0_transformer_blocks_0_attn2_to_v": (320, 768),
}


@pytest.fixture(scope="module")
def model(build_model: Callable[..., Any]) -> Any:
    """A `ModelPatcher` for all tests: nothing here may change it."""
    return build_model()


@pytest.fixture
def loras(lora_folder: Path) -> Path:
    write_lora(lora_folder / "a.safetensors", MODULES, seed=1)
    write_lora(lora_folder / "b.safetensors", MODULES, seed=2, rank=8, alpha=None)
    return lora_folder


STACK = "<lora:a:0.7:lbw=IN01,OUT00=0.5,M00=0.3><lora:b:-0.4:dyn=3>"


def test_equals_the_patch(comfy: Any, model: Any, loras: Path) -> None:
    from . import sampling as s

    positive, negative = [s.condition(1)], [s.condition(2)]
    before = s.state(model)
    base = s.sample(model, positive, negative)
    live = apply(model, None, STACK, method="live")
    assert not live.model.patches and live.model.patches_uuid == model.patches_uuid
    calls = s.Calls()
    got = s.sample(live.model, positive, negative, calls=calls)
    assert [rows for _, rows in calls.seen] == [2] * 2
    assert s.is_untouched(model, before)
    patched = s.sample(apply(model, None, STACK, method="patch").model, positive, negative)
    assert s.difference(got, patched, base) < 2e-5
    assert s.difference(patched, base, base + 1e-3) > 1
    assert "in the forward pass, because method is live" in str(live.report)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_equals_the_patch_within_a_rounding(
    comfy: Any, make_model: Callable[..., Any], loras: Path, dtype: str
) -> None:
    """Of one layer: what the weight's rounding makes of the patch, live may not be farther from the truth."""
    import torch

    from . import sampling as s

    model = make_model(getattr(torch, dtype))
    key = "input_blocks.1.1.transformer_blocks.0.attn2.to_k"
    layer = model.model.diffusion_model.get_submodule(key)
    x = torch.randn(4, 77, 768, generator=torch.Generator().manual_seed(3)).to(layer.weight.dtype)
    truth = exact(model, f"diffusion_model.{key}.weight", loras)
    wanted = x.double() @ truth.T
    patched = apply(model, None, STACK, method="patch").model
    weight = patched.patch_weight_to_device(f"diffusion_model.{key}.weight", return_weight=True)
    rounded = (torch.nn.functional.linear(x, weight).double() - wanted).norm()
    got = s.inside(apply(model, None, STACK, method="live").model, lambda: layer(x))
    assert (got.double() - wanted).norm() <= 1.5 * rounded


def exact(model: Any, key: str, loras: Path) -> Any:
    """W + Δ of the stack in fp64."""
    import comfy.utils

    weight = comfy.utils.get_attr(model.model, key).double()
    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    for file, factor, rank in (("a", 0.7 * 2 / 4, 4), ("b", -0.4, 3)):
        lora = comfy.utils.load_torch_file(str(loras / f"{file}.safetensors"))
        up, down = lora[f"{name}.lora_up.weight"].double(), lora[f"{name}.lora_down.weight"].double()
        weight = weight + factor * up[:, :rank] @ down[:rank]
    return weight


def test_nothing_is_left_after_an_exception(comfy: Any, model: Any, loras: Path) -> None:
    from . import sampling as s

    before = s.state(model)
    live = apply(model, None, STACK, method="live").model
    broken = model.model.diffusion_model.out[2]
    handle = broken.register_forward_hook(lambda *_: (_ for _ in ()).throw(RuntimeError("cancelled")))
    with pytest.raises(RuntimeError, match="cancelled"):
        s.sample(live, [s.condition(1)], [s.condition(2)])
    handle.remove()
    assert s.is_untouched(model, before)
    plain = s.sample(model, [s.condition(1)], [s.condition(2)])
    assert (s.sample(live, [s.condition(1)], [s.condition(2)]) - plain).abs().max() > 1e-3


def test_two_appliers_and_patches_below(comfy: Any, model: Any, loras: Path) -> None:
    from . import sampling as s

    conditions = [s.condition(1)], [s.condition(2)]
    base = s.sample(model, *conditions)
    both = s.sample(apply(model, None, "<lora:a:0.7><lora:b:0.5>", method="patch").model, *conditions)
    first = apply(model, None, "<lora:a:0.7>", method="live").model
    chained = apply(first, None, "<lora:b:0.5>", method="live").model
    assert s.difference(s.sample(chained, *conditions), both, base) < 2e-5
    patched = apply(model, None, "<lora:a:0.7>", method="patch").model
    on_top = apply(patched, None, "<lora:b:0.5>", method="live").model
    assert s.difference(s.sample(on_top, *conditions), both, base) < 2e-5
    below = apply(first, None, "<lora:b:0.5>", method="patch").model
    assert s.difference(s.sample(below, *conditions), both, base) < 2e-5


def test_the_same_stack_twice(comfy: Any, model: Any, loras: Path) -> None:
    """Both share their tensors, and each has its own weights."""
    from . import sampling as s

    conditions = [s.condition(1)], [s.condition(2)]
    base = s.sample(model, *conditions)
    patched = s.sample(apply(model, None, "<lora:a:0.9><lora:b:0.5>", method="patch").model, *conditions)
    first = apply(model, None, "<lora:a:0.7><lora:b:0.2>", method="live").model
    second = apply(first, None, "<lora:a:0.2><lora:b:0.3>", method="live").model
    assert s.difference(s.sample(second, *conditions), patched, base) < 2e-5


def test_the_device_keeps_what_is_bound_until_the_host_unloads(comfy: Any, model: Any, loras: Path) -> None:
    from . import sampling as s

    live = apply(model, None, "<lora:a:0.7>", method="live").model
    (patcher,) = live.get_additional_models_with_key("lora_deck")
    s.sample(live, [s.condition(1)], [s.condition(2)])
    (bound,) = patcher.model.bound[model.model]
    again = apply(model, None, "<lora:a:0.3>", method="live").model
    s.sample(again, [s.condition(1)], [s.condition(2)])
    assert patcher.model.bound[model.model] == [bound] and not bound.is_active
    comfy.model_management.unload_all_models()
    assert not patcher.model.bound


def test_dynamic_memory_does_not_bring_the_tensors_anew(comfy: Any) -> None:
    """The host's dynamic patcher loads whatever is no layer of its own each time that it samples."""
    import torch
    from comfy.model_patcher import ModelPatcher
    from lora_deck.patching.live.factors import Factors
    from lora_deck.patching.live.plan import _kept_where_it_is

    class Dynamic(ModelPatcher):  # type: ignore[misc]
        loads = 0

        def is_dynamic(self) -> bool:
            return True

        def load(self, *args: Any, **kwargs: Any) -> None:
            Dynamic.loads += 1
            super().load(*args, **kwargs)

    device = torch.device("cpu")
    factors = Factors({}, torch.float32, object())
    factors.tensors = torch.nn.ParameterList([torch.nn.Parameter(torch.ones(4))])
    patcher = _kept_where_it_is(Dynamic)(factors, load_device=device, offload_device=device)
    for _ in range(2):
        patcher.partially_load(device, 1 << 20)
    assert Dynamic.loads == 1
    patcher.detach()
    patcher.partially_load(device, 1 << 20)
    assert Dynamic.loads == 2


def test_a_new_weight_moves_no_tensor(comfy: Any, model: Any, loras: Path) -> None:
    from . import sampling as s

    conditions = [s.condition(1)], [s.condition(2)]
    one = apply(model, None, "<lora:a:0.7><lora:b:0.5>", method="live").model
    s.sample(one, *conditions)
    two = apply(model, None, "<lora:a:0.2><lora:b:-1>", method="live")
    assert two.model.get_additional_models_with_key("lora_deck")[0].model is (
        one.get_additional_models_with_key("lora_deck")[0].model
    )
    assert two.report.reused
    base = s.sample(model, *conditions)
    patched = s.sample(apply(model, None, "<lora:a:0.2><lora:b:-1>", method="patch").model, *conditions)
    assert s.difference(s.sample(two.model, *conditions), patched, base) < 2e-5


def test_another_copy_of_the_model(
    comfy: Any, model: Any, make_model: Callable[..., Any], loras: Path
) -> None:
    """The host may run a copy (delegates, several devices): layers are those of the model that runs."""
    from . import sampling as s

    conditions = [s.condition(1)], [s.condition(2)]
    live = apply(model, None, STACK, method="live").model
    wanted = s.sample(live, *conditions)
    other = live.clone()
    other.model = make_model().model
    before = s.state(model)
    assert s.difference(s.sample(other, *conditions), wanted, s.sample(model, *conditions)) < 1e-6
    assert s.is_untouched(model, before)


def test_compiled(comfy: Any, model: Any, loras: Path) -> None:
    """New weights make no new graph, whether the model was compiled before or after."""
    import torch
    from comfy_api.torch_helpers import set_torch_compile_wrapper

    from . import sampling as s

    graphs = []

    def backend(module: Any, inputs: Any) -> Any:
        graphs.append(module)
        return module.forward

    conditions = [s.condition(1)], [s.condition(2)]
    base = s.sample(model, *conditions, steps=2)

    patched = s.sample(apply(model, None, "<lora:a:0.5>", method="patch").model, *conditions, steps=2)
    for compile_first in (True, False):
        torch._dynamo.reset()
        graphs.clear()
        source = model.clone()
        if compile_first:
            set_torch_compile_wrapper(source, backend=backend)
        live = apply(source, None, "<lora:a:0.5>", method="live").model
        if not compile_first:
            set_torch_compile_wrapper(live, backend=backend)
        assert s.difference(s.sample(live, *conditions, steps=2), patched, base) < 2e-5
        assert graphs
    torch._dynamo.reset()
    compiled = model.clone()
    set_torch_compile_wrapper(compiled, backend=backend)
    for weight in (0.5, 0.25, -1.0):
        live = apply(compiled, None, f"<lora:a:{weight}>", method="live").model
        s.sample(live, *conditions, steps=2)
        if weight == 0.5:
            count = len(graphs)
    assert len(graphs) == count
