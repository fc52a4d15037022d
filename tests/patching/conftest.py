"""A small SD1.5-family UNet and text encoder of the real host, in this process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lora_deck.benchmarks.quantised import UNET

HOST = os.environ.get("LORA_DECK_HOST")


@pytest.fixture(scope="session")
def comfy() -> Any:
    """The host's `comfy`, on the CPU."""
    if HOST is None:
        pytest.fail("These tests need the host. Run them with `python tools/dev.py test`.")
    if HOST not in sys.path:
        sys.path.insert(0, HOST)
    import comfy.cli_args

    comfy.cli_args.args.cpu = True
    import comfy.lora_convert
    import comfy.model_detection
    import comfy.model_patcher
    import comfy.sd
    import comfy.sd1_clip
    import comfy.utils

    return comfy


@pytest.fixture(scope="session")
def build_model(comfy: Any) -> Callable[..., Any]:
    """Makes a `ModelPatcher` over a seeded UNet of the config."""
    import torch

    def build(dtype: Any = torch.float32, config: dict[str, Any] = UNET) -> Any:
        model_config = comfy.model_detection.model_config_from_unet_config(dict(config))
        model_config.set_inference_dtype(dtype, None)
        model = model_config.get_model({}, "", device=torch.device("cpu"))
        _fill(model, dtype)
        cpu = torch.device("cpu")
        return comfy.model_patcher.ModelPatcher(model, load_device=cpu, offload_device=cpu)

    return build


@pytest.fixture(scope="session")
def build_clip(comfy: Any) -> Callable[..., Any]:
    """Makes a `CLIP` over a seeded CLIP-L of two layers."""
    import torch

    def build(dtype: Any = torch.float32) -> Any:
        small = {
            "num_hidden_layers": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_attention_heads": 4,
        }
        target = SimpleNamespace(
            params={"dtype": dtype}, clip=comfy.sd1_clip.SD1ClipModel, tokenizer=comfy.sd1_clip.SD1Tokenizer
        )
        clip = comfy.sd.CLIP(target, model_options={"clip_l_model_config": small, "dtype": dtype})
        _fill(clip.cond_stage_model, dtype)
        return clip

    return build


@pytest.fixture
def make_model(build_model: Callable[..., Any]) -> Callable[..., Any]:
    """A new UNet at each call."""
    return build_model


@pytest.fixture
def make_clip(build_clip: Callable[..., Any]) -> Callable[..., Any]:
    """A new text encoder at each call."""
    return build_clip


def _fill(module: Any, dtype: Any) -> None:
    import torch

    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.is_floating_point():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
        # The host leaves position tables unset until a checkpoint fills them: what stood in memory may be NaN,
        # which equals nothing. The tables of the sampling schedule are computed, and stay.
        for buffer in getattr(module, "diffusion_model", module).buffers():
            if buffer.is_floating_point():
                buffer.copy_(torch.randn(buffer.shape, generator=generator) * 0.05)


@pytest.fixture
def lora_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comfy: Any) -> Path:
    """The host's only LoRA folder, beside a user folder of this test's own."""
    import folder_paths

    loras = tmp_path / "loras"
    loras.mkdir()
    monkeypatch.setattr(folder_paths, "user_directory", str(tmp_path / "user"))
    monkeypatch.setitem(
        folder_paths.folder_names_and_paths, "loras", ([str(loras)], folder_paths.supported_pt_extensions)
    )
    folder_paths.filename_list_cache.pop("loras", None)
    yield loras
    folder_paths.filename_list_cache.pop("loras", None)


def patched(patcher: Any) -> dict[str, Any]:
    """The weights as the host patches them, and restored afterwards."""
    patcher.patch_model()
    try:
        return {key: value.detach().clone() for key, value in patcher.model.state_dict().items()}
    finally:
        patcher.unpatch_model()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Prints how many cases of the fidelity table the pack and the host's own loader get right."""
    from .test_fidelity import TALLY

    tally = config.stash.get(TALLY, None)
    if tally is not None:
        terminalreporter.section("fidelity: right cases")
        for line in tally.lines():
            terminalreporter.write_line(line)
