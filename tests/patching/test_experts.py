"""Files for two experts, of which the connected model is one; and files in forms that only other loaders read."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lora_deck.stack.errors import LoraFileError

from . import layouts
from .conftest import patched
from .test_apply import apply, write_lora
from .test_block_weights import of_class

NAMES = [
    ("transformer.blocks.{}.attn1.to_q", "transformer_2.blocks.{}.attn1.to_q"),
    ("pipe.dit.blocks.{}.self_attn.q", "pipe.dit2.blocks.{}.self_attn.q"),
    ("high_noise_model.blocks.{}.self_attn.q", "low_noise_model.blocks.{}.self_attn.q"),
    ("diffusion_model.high_noise.blocks.{}.self_attn.q", "diffusion_model.low_noise.blocks.{}.self_attn.q"),
    ("lora_unet_high_noise_blocks_{}_self_attn_q", "lora_unet_low_noise_blocks_{}_self_attn_q"),
]


def wan(comfy: Any, file: str | None) -> Any:
    """A small Wan of the host, as a loader gives it that read it from a file of that name."""
    entry = layouts.models()["wan21-t2v-14b"]
    small = {"dim": 64, "num_heads": 2, "ffn_dim": 64, "num_layers": 2}
    patcher = of_class(comfy, entry["class"], {**entry["config"], **small})
    if file is not None:
        patcher.cached_patcher_init = (comfy.sd.load_diffusion_model, (f"/models/high and low/{file}", {}))
    return patcher


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize(
    ("file", "expert"),
    [("wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors", 0), ("Wan2.2-T2V-A14B-LowNoise-Q4_K_M.gguf", 1)],
)
def test_a_model_gets_what_is_for_it(comfy: Any, lora_folder: Path, names: Any, file: str, expert: int) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    shape = (64, 64)
    both = {}
    for number, name in enumerate(names):
        write_lora(lora_folder / "one.safetensors", {name.format(i): shape for i in (0, 1)}, seed=number)
        both.update(load_file(lora_folder / "one.safetensors"))
    save_file(both, lora_folder / "both.safetensors")
    single = {
        key.replace(names[expert].format(i), f"diffusion_model.blocks.{i}.self_attn.q"): value
        for key, value in both.items()
        for i in (0, 1)
        if key.startswith(names[expert].format(i) + ".")
    }
    save_file(single, lora_folder / "single.safetensors")
    model = wan(comfy, file)
    base, wanted = patched(model), patched(apply(model, None, "<lora:single>").model)
    applied = apply(model, None, "<lora:both>")
    got = patched(applied.model)
    key = "diffusion_model.blocks.1.self_attn.q.weight"
    assert not torch.equal(base[key], wanted[key])
    assert all(torch.equal(got[each], wanted[each]) for each in base)
    assert "2 of its modules are for the other expert" in str(applied.report)


@pytest.mark.parametrize("file", [None, "wan2.2.safetensors", "high_and_low.safetensors", "follow.safetensors"])
def test_a_model_of_which_nothing_says_what_it_is(comfy: Any, lora_folder: Path, file: str | None) -> None:
    write_lora(lora_folder / "both.safetensors", {name.format(0): (64, 64) for name in NAMES[0]}, seed=1)
    with pytest.raises(LoraFileError, match=r"high and low noise.*does not say.*a LoRA file for each"):
        apply(wan(comfy, file), None, "<lora:both>")


def test_a_file_for_one_expert_is_for_any_model(comfy: Any, lora_folder: Path) -> None:
    write_lora(lora_folder / "one.safetensors", {NAMES[0][1].format(0): (64, 64)}, seed=1)
    assert "1 of 1 modules" in str(apply(wan(comfy, None), None, "<lora:one>").report)


def test_the_models_file_is_read_by_words(comfy: Any) -> None:
    from lora_deck.patching.experts import expert_of, file_of

    assert expert_of("Wan2_2-T2V-A14B-HIGH_fp8.safetensors") == "high"
    assert expert_of("wan22_low.safetensors") == "low"
    assert expert_of("smoothMixWan22I2VT2V_i2vHigh.safetensors") == "high"
    assert expert_of("DasiwaWAN22I2V14B_lowV8.safetensors") == "low"
    assert expert_of("wan22_high_noise_lightx2v_low_mem.safetensors") == "high"
    for name in ("yellow_flowers", "Highlights", "Lowland", "highres", "high_and_low", "high_noise_low_noise"):
        assert expert_of(f"{name}.safetensors") is None

    def loaded(*arguments: Any) -> Any:
        return file_of(SimpleNamespace(cached_patcher_init=(None, arguments)))

    assert loaded("/high/wan22_low.safetensors", {"high": 1}) == "wan22_low.safetensors"
    assert loaded() is None and file_of(SimpleNamespace()) is None


@pytest.mark.parametrize(
    "modules",
    [
        ("transformer_blocks.0.qkv_proj", "transformer_blocks.0.mlp_fc1", "single_transformer_blocks.3.out_proj"),
        ("transformer_blocks.0.attn.to_qkv", "transformer_blocks.0.img_mlp.net.0.proj"),
    ],
)
def test_nunchakus_packed_files_are_named(comfy: Any, lora_folder: Path, modules: Any) -> None:
    """As nunchaku's converter writes them: Flux' and Qwen's."""
    import torch
    from safetensors.torch import save_file

    tensors = {f"{m}.{side}": torch.ones(64, 16).half() for m in modules for side in ("lora_down", "lora_up")}
    save_file(tensors, lora_folder / "packed.safetensors")
    with pytest.raises(LoraFileError, match="packed for Nunchaku"):
        apply(wan(comfy, None), None, "<lora:packed>")
