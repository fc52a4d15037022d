"""The report accounts for every module of a file, with the reason where one changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lora_deck.stack.errors import LoraFileError

from .test_apply import CLIP_MODULES, UNET_MODULES, apply, write_lora


def test_every_module_has_its_line(
    make_model: Callable[..., Any], make_clip: Callable[..., Any], lora_folder: Path
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    strange = {
        "lora_unet_input_blocks_7_1_proj_in": (320, 320, 1, 1),
        "lora_unet_made_up_layer": (320, 320),
        "lora_te_text_model_encoder_layers_30_mlp_fc1": (128, 64),
    }
    write_lora(lora_folder / "a.safetensors", {**UNET_MODULES, **CLIP_MODULES, **strange}, seed=1)
    tensors = load_file(lora_folder / "a.safetensors")
    save_file({**tensors, "what.is_this": torch.zeros(1)}, lora_folder / "a.safetensors")
    report = str(apply(make_model(), make_clip(), "<lora:a>").report)
    assert "6 of 9 modules, 4 in the model, 2 in the text encoder" in report
    assert "1 not applied, this model has no such block: lora_unet_input_blocks_7_1_proj_in" in report
    assert "1 not applied, this model has no layer of that name: lora_unet_made_up_layer" in report
    assert "1 not applied, the text encoder here has no such layer: lora_te_text_model_encoder_layers_30" in report
    assert "1 not applied, no family claims these keys: what.is_this" in report
    assert "3 not applied, no text encoder is connected: " in str(apply(make_model(), None, "<lora:a>").report)
    assert "5 not applied, no model is connected" not in str(apply(make_model(), make_clip(), "<lora:a>").report)
    assert "6 not applied, no model is connected: " in str(apply(None, make_clip(), "<lora:a>").report)


def test_a_text_encoder_lora_on_a_model_alone_is_no_error(
    make_model: Callable[..., Any], make_clip: Callable[..., Any], lora_folder: Path
) -> None:
    write_lora(lora_folder / "te.safetensors", CLIP_MODULES, seed=1)
    applied = apply(make_model(), None, "<lora:te>")
    assert not applied.model.patches and "2 not applied, no text encoder is connected" in str(applied.report)
    other = {"lora_te_text_model_encoder_layers_30_mlp_fc1": (128, 64)}
    write_lora(lora_folder / "other.safetensors", other, seed=1)
    with pytest.raises(LoraFileError, match="text encoders only"):
        apply(make_model(), make_clip(), "<lora:other>")


def test_a_model_whose_weights_are_out_of_reach_is_named(make_model: Callable[..., Any], lora_folder: Path) -> None:
    import torch

    write_lora(lora_folder / "a.safetensors", UNET_MODULES, seed=1)
    model = make_model()
    # As packs with kernels of their own have it: packed blocks, and plain layers around them.
    block = torch.nn.Module()
    block.register_buffer("qweight", torch.zeros(4, 4, dtype=torch.int8))
    embedder = torch.nn.Linear(4, 4)
    model.model.diffusion_model = torch.nn.ModuleDict(
        {"transformer_blocks": torch.nn.ModuleList([block]), "x_embedder": embedder}
    )
    with pytest.raises(LoraFileError, match=r"0 of its 4 modules .* out of reach of ComfyUI's patcher"):
        apply(model, None, "<lora:a>")
    write_lora(lora_folder / "b.safetensors", {**UNET_MODULES, "diffusion_model.x_embedder": (4, 4)}, seed=1)
    with pytest.raises(LoraFileError, match=r"1 of its 5 modules .* out of reach of ComfyUI's patcher"):
        apply(model, None, "<lora:b>")
    write_lora(lora_folder / "c.safetensors", {"diffusion_model.x_embedder": (4, 4)}, seed=1)
    assert "1 of 1 modules" in str(apply(model, None, "<lora:c>").report)


def test_a_file_that_another_folder_hides_is_named(
    make_model: Callable[..., Any], lora_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import folder_paths

    second = tmp_path / "second"
    monkeypatch.setitem(
        folder_paths.folder_names_and_paths,
        "loras",
        ([str(lora_folder), str(second)], folder_paths.supported_pt_extensions),
    )
    write_lora(lora_folder / "a.safetensors", UNET_MODULES, seed=1)
    write_lora(second / "a.safetensors", UNET_MODULES, seed=2)
    report = str(apply(make_model(), None, "<lora:a>").report)
    assert f"{lora_folder / 'a.safetensors'} is used; of the same name: {second / 'a.safetensors'}" in report


def test_files_without_a_lora_are_refused(
    make_model: Callable[..., Any], make_clip: Callable[..., Any], lora_folder: Path
) -> None:
    import torch
    from safetensors.torch import save_file

    torch.save({"string_to_param": {"*": torch.zeros(2, 768)}, "name": "x"}, lora_folder / "inversion.pt")
    torch.save({1: torch.zeros(2)}, lora_folder / "numbers.pt")
    torch.save({"a": {"b": torch.zeros(2)}}, lora_folder / "nested.pt")
    save_file({}, lora_folder / "empty.safetensors")
    save_file({"first_stage_model.encoder.conv_in.weight": torch.zeros(2, 2)}, lora_folder / "vae.safetensors")
    for name in ("inversion", "numbers", "nested", "empty", "vae"):
        for model, clip in ((make_model(), None), (None, make_clip()), (make_model(), make_clip())):
            with pytest.raises(LoraFileError, match=rf"{name}.*are of a LoRA"):
                apply(model, clip, f"<lora:{name}>")


def test_a_file_for_another_text_encoder_is_refused(make_clip: Callable[..., Any], lora_folder: Path) -> None:
    other = {"lora_te_text_model_encoder_layers_30_mlp_fc1": (128, 64)}
    write_lora(lora_folder / "other.safetensors", {**other, **UNET_MODULES}, seed=1)
    with pytest.raises(LoraFileError, match="0 of its 5 modules match this text encoder"):
        apply(None, make_clip(), "<lora:other>")
    write_lora(lora_folder / "unet.safetensors", UNET_MODULES, seed=1)
    assert "no model is connected" in str(apply(None, make_clip(), "<lora:unet>").report)


def test_only_a_result_that_was_used_again_is_called_unchanged(
    make_model: Callable[..., Any], lora_folder: Path
) -> None:
    write_lora(lora_folder / "a.safetensors", UNET_MODULES, seed=1)
    model = make_model()
    assert "unchanged" not in str(apply(model, None, "<lora:a:lbw=NONE>").report)
    assert "unchanged" not in str(apply(model, None, "<lora:a>").report)
    assert "unchanged" in str(apply(model, None, "<lora:a>").report)
