"""Progress and Cancel: while a stack is prepared, and while the host patches its weights for good."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import patched
from .test_apply import UNET_MODULES, apply, write_lora

SHOWN_AFTER = "lora_deck.patching.progress.SHOWN_AFTER"
STACK = "".join(f"<lora:c{i}:0.5>" for i in range(4))
Watch = Callable[[Callable[[int, int], None]], list[tuple[int, int]]]


@pytest.fixture(autouse=True)
def uncancelled(comfy: Any) -> Iterator[None]:
    yield
    comfy.model_management.interrupt_current_processing(False)
    comfy.model_management.unload_all_models()


@pytest.fixture
def files(lora_folder: Path) -> Path:
    for i in range(4):
        write_lora(lora_folder / f"c{i}.safetensors", UNET_MODULES, seed=40 + i)
    return lora_folder


@pytest.fixture
def watch(comfy: Any, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Puts a hook under the host's progress bars, as its server does; gives what they send."""
    sent: list[tuple[int, int]] = []

    def start(then: Callable[[int, int], None]) -> list[tuple[int, int]]:
        def hook(value: int, total: int, preview: Any, node_id: Any = None) -> None:
            sent.append((value, total))
            then(value, total)

        monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", hook)
        monkeypatch.setattr(comfy.utils, "PROGRESS_THROTTLE_MIN_INTERVAL", 0, raising=False)
        return sent

    return start


def bytes_of(model: Any) -> dict[str, Any]:
    return {key: value.detach().clone() for key, value in model.model.state_dict().items()}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    import torch

    return all(torch.equal(one[key], other[key]) for key in one)


def test_the_bar_goes_through_to_its_end(
    make_model: Callable[..., Any], files: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SHOWN_AFTER, 0)
    sent = watch(lambda value, total: None)
    model = make_model()
    apply(model, None, STACK + "<lora:c0:0>")
    values = [value for value, _ in sent]
    assert {total for _, total in sent} == {12} and values == sorted(values) and values[-1] == 12 and len(values) > 3
    sent.clear()
    apply(model, None, STACK)
    assert sent[-1] == (12, 12)


def test_what_is_soon_prepared_shows_no_bar(
    make_model: Callable[..., Any], files: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SHOWN_AFTER, 1e6)
    sent = watch(lambda value, total: None)
    apply(make_model(), None, STACK)
    assert not sent


@pytest.mark.parametrize("at", [1, 4, 6, 9, 11])
def test_cancel_while_a_stack_is_prepared(
    comfy: Any,
    make_model: Callable[..., Any],
    files: Path,
    watch: Watch,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
) -> None:
    """It ends at the next step; afterwards the same stack is as if nothing had been."""
    management = comfy.model_management
    monkeypatch.setattr(SHOWN_AFTER, 0)
    model = make_model()
    before, expected = bytes_of(model), patched(apply(make_model(), None, STACK).model)
    sent = watch(lambda value, total: management.interrupt_current_processing(value >= at))
    with pytest.raises(management.InterruptProcessingException):
        apply(model, None, STACK)
    assert [value for value, _ in sent][-1] == at
    assert not management.processing_interrupted()
    assert same(bytes_of(model), before) and not model.patches
    watch(lambda value, total: None)
    assert same(patched(apply(model, None, STACK).model), expected)


def interrupted_after(comfy: Any, monkeypatch: pytest.MonkeyPatch, count: int) -> list[str]:
    """Cancels when the host has come to its weight number `count`; the keys that it came to."""
    real = comfy.lora.calculate_weight
    keys: list[str] = []

    def counted(patches: Any, weight: Any, key: str, *args: Any, **kwargs: Any) -> Any:
        keys.append(key)
        if len(keys) == count:
            comfy.model_management.interrupt_current_processing()
        return real(patches, weight, key, *args, **kwargs)

    monkeypatch.setattr(comfy.lora, "calculate_weight", counted)
    return keys


@pytest.mark.parametrize("in_place", [False, True])
def test_cancel_while_the_host_patches(
    comfy: Any, make_model: Callable[..., Any], files: Path, monkeypatch: pytest.MonkeyPatch, in_place: bool
) -> None:
    management = comfy.model_management
    model = make_model()
    model.weight_inplace_update = in_place
    before = bytes_of(model)
    ours = apply(model, None, STACK).model
    expected = patched(ours)
    with monkeypatch.context() as patch:
        keys = interrupted_after(comfy, patch, 3)
        with pytest.raises(management.InterruptProcessingException):
            management.load_models_gpu([ours])
        # Two weights had been changed by then.
        assert len(keys) == 3 < len(UNET_MODULES)
    assert not management.processing_interrupted()
    assert same(bytes_of(model), before) and not ours.backup and ours.model.current_weight_patches_uuid is None
    assert all(loaded.model is not ours for loaded in management.current_loaded_models)
    management.load_models_gpu([ours])
    assert same(bytes_of(model), expected)
    management.load_models_gpu([model])
    assert same(bytes_of(model), before)


def test_cancel_of_a_load_that_changes_a_loaded_model(
    comfy: Any, make_model: Callable[..., Any], files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    management = comfy.model_management
    model = make_model()
    before = bytes_of(model)
    first, second = (apply(model, None, stack).model for stack in (STACK, "<lora:c1>"))
    expected = patched(first)
    management.load_models_gpu([first])
    with monkeypatch.context() as patch:
        interrupted_after(comfy, patch, 2)
        with pytest.raises(management.InterruptProcessingException):
            management.load_models_gpu([second])
    assert same(bytes_of(model), before)
    management.load_models_gpu([first])
    assert same(bytes_of(model), expected)


def test_cancel_of_a_load_of_a_part(
    comfy: Any, make_model: Callable[..., Any], files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers that do not fit carry their patches along; after a cancel they do not."""
    import torch

    model = make_model()
    before = bytes_of(model)
    ours = apply(model, None, STACK).model
    cpu = torch.device("cpu")
    room = model.model_size() // 2

    def carried() -> list[Any]:
        modules = model.model.modules()
        return [m for m in modules if getattr(m, "weight_function", None) or hasattr(m, "prev_comfy_cast_weights")]

    ours.partially_load(cpu, room)
    functions = [f for m in carried() for f in m.weight_function]
    for_good = len(UNET_MODULES) - len(functions)
    assert functions and for_good
    ours.detach()
    assert not carried()
    with monkeypatch.context() as patch:
        interrupted_after(comfy, patch, for_good)
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            ours.partially_load(cpu, room)
    assert not carried() and same(bytes_of(model), before)


def test_in_a_forward_pass_nothing_is_cancelled(
    comfy: Any, make_model: Callable[..., Any], files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host asks between layers itself; a weight half way through its functions is no place for it."""
    import torch
    from comfy.model_patcher import LowVramPatch

    ours = apply(make_model(), None, STACK).model
    key = next(iter(ours.patches))
    weight = comfy.utils.get_attr(ours.model, key).detach()
    expected = LowVramPatch(key, ours.patches)(weight.clone())
    comfy.model_management.interrupt_current_processing()
    assert torch.equal(LowVramPatch(key, ours.patches)(weight.clone()), expected)
    # Nor where a patcher is asked for one weight, outside a load that would put things in order.
    assert ours.patch_weight_to_device(key, return_weight=True).shape == weight.shape
    assert comfy.model_management.processing_interrupted()
