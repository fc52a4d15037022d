"""What a file may be, and what is said about one that is not as it should be, on the real host."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lora_deck.stack.errors import LoraFileError

from .conftest import UNET, patched
from .test_apply import CLIP_MODULES, UNET_MODULES, apply, write_lora

LINEAR = "lora_unet_input_blocks_1_1_transformer_blocks_0_attn2_to_k"
"""(320, 768), without a bias."""
PROJ = "lora_unet_input_blocks_1_1_proj_in"
"""(320, 320, 1, 1), with a bias."""
CONV_IN = "lora_unet_input_blocks_0_0"
"""(320, 4, 3, 3)"""
CONV_KEY = "diffusion_model.input_blocks.0.0.weight"


def save(path: Path, tensors: dict[str, Any], metadata: dict[str, str] | None = None) -> Path:
    """A safetensors file, its folders made."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: tensor.contiguous().clone() for key, tensor in tensors.items()}, path, metadata)
    return path


def factors(module: str, out: int, *inner: int, rank: int = 2, seed: int = 1, size: float = 0.05) -> dict[str, Any]:
    """A plain LoRA of one module."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    up = torch.randn(out, rank, *[1] * (len(inner) - 1), generator=generator)
    down = torch.randn(rank, *inner, generator=generator) * size
    return {f"{module}.lora_up.weight": up, f"{module}.lora_down.weight": down}


def product(tensors: dict[str, Any], module: str) -> Any:
    """up·down of a module, in fp64."""
    up, down = (tensors[f"{module}.lora_{side}.weight"].double() for side in ("up", "down"))
    return (up.flatten(1) @ down.flatten(1)).reshape(up.shape[0], *down.shape[1:])


def weight_of(model: Any, key: str) -> Any:
    """The model's own weight."""
    return model.model.state_dict()[key].detach().clone()


@pytest.mark.parametrize("extension", ["pt", "ckpt", "bin", "pth"])
def test_pickled_files_give_what_the_same_safetensors_gives(
    make_model: Callable[..., Any], lora_folder: Path, extension: str
) -> None:
    import torch
    from safetensors.torch import load_file

    write_lora(lora_folder / "a.safetensors", UNET_MODULES, seed=1)
    tensors = load_file(lora_folder / "a.safetensors")
    torch.save({"state_dict": {**tensors, "epoch": 3}}, lora_folder / f"b.{extension}")
    model = make_model()
    expected = patched(apply(model, None, "<lora:a:0.5>").model)
    got = patched(apply(model, None, "<lora:b:0.5>").model)
    assert all(torch.equal(got[key], value) for key, value in expected.items())


@pytest.mark.parametrize("extension", ["pt", "ckpt", "bin"])
def test_a_pickle_that_runs_code_is_refused(
    make_model: Callable[..., Any], lora_folder: Path, tmp_path: Path, extension: str
) -> None:
    import torch

    ran = tmp_path / "ran"

    class Payload:
        def __reduce__(self) -> Any:
            return (Path.touch, (ran,))

    torch.save({"x": Payload()}, lora_folder / f"evil.{extension}")
    with pytest.raises(LoraFileError, match=rf"evil\.{extension}.*cannot be read"):
        apply(make_model(), None, "<lora:evil>")
    (lora_folder / f"evil.{extension}").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(LoraFileError, match=rf"evil\.{extension}.*cannot be read"):
        apply(make_model(), None, "<lora:evil>")
    assert not ran.exists()


def test_two_families_on_one_module_name_the_file_and_both(make_model: Callable[..., Any], lora_folder: Path) -> None:
    import torch

    save(lora_folder / "both.safetensors", {**factors(LINEAR, 320, 768), f"{LINEAR}.diff": torch.zeros(320, 768)})
    with pytest.raises(LoraFileError, match=rf"both\.safetensors.*{LINEAR}.*as lora .*as full"):
        apply(make_model(), None, "<lora:both>")


def test_unknown_and_sick_modules_are_named_and_the_rest_applies(
    make_model: Callable[..., Any], make_clip: Callable[..., Any], lora_folder: Path
) -> None:
    import torch

    write_lora(lora_folder / "a.safetensors", {**UNET_MODULES, **CLIP_MODULES}, seed=1)
    from safetensors.torch import load_file

    tensors = load_file(lora_folder / "a.safetensors")
    save(lora_folder / "good.safetensors", tensors)
    sick = factors(LINEAR, 320, 768)
    sick[f"{LINEAR}.lora_up.weight"][3, 1] = float("nan")
    mystery = {"lora_unet_x.q_layer.weight": torch.zeros(2, 2), "lora_unet_x.lambda_layer": torch.zeros(2)}
    bias = {
        **factors(LINEAR.replace("to_k", "to_v"), 320, 768),
        f"{LINEAR.replace('to_k', 'to_v')}.diff_b": torch.ones(320),
    }
    more = {**factors("lora_unet_nowhere_to_be_found", 8, 8), "metadata_tensor": torch.zeros(1)}
    save(lora_folder / "mixed.safetensors", {**tensors, **sick, **mystery, **bias, **more})
    model, clip = make_model(), make_clip()
    applied = apply(model, clip, "<lora:mixed:0.5>")
    report = str(applied.report)
    assert f"{LINEAR} left out, it holds NaN" in report
    assert "lora_unet_x" in report and "lora_unet_nowhere_to_be_found" in report and "metadata_tensor" in report
    assert "its bias: this layer of the model has none" in report
    assert "7 of 9 modules, 5 in the model, 2 in the text encoder" in report
    clean = patched(apply(model, clip, "<lora:good:0.5>").model)
    got = patched(applied.model)
    differ = {key for key, value in clean.items() if not torch.equal(got[key], value)}
    assert differ == {"diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_v.weight"}
    assert all(torch.isfinite(value).all() for value in got.values())


def test_the_report_counts_modules_by_family(
    make_model: Callable[..., Any], lora_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    tensors = {
        **factors(PROJ, 320, 320, 1, 1, rank=4),
        f"{PROJ}.diff_b": torch.ones(320),
        **factors(LINEAR, 320, 768, rank=8),
        "lora_unet_input_blocks_1_1_norm.w_norm": torch.ones(320),
        "lora_unet_input_blocks_1_1_norm.b_norm": torch.ones(320),
    }
    save(lora_folder / "a.safetensors", tensors)
    with caplog.at_level("INFO", logger="lora_deck"):
        report = str(apply(make_model(), None, "<lora:a:0.25:0.5>").report)
    assert report.startswith(
        "a.safetensors (te 0.25, unet 0.5): 2 lora, 1 norm, rank 4 to 8; 3 of 3 modules, 3 in the model"
    )
    assert len([r for r in caplog.records if r.name == "lora_deck" and r.levelname == "INFO"]) == 1


def test_reshape_weight_grows_the_weight_and_unpatching_shrinks_it(
    comfy: Any, make_model: Callable[..., Any], lora_folder: Path
) -> None:
    """As Black Forest Labs' control LoRAs do through the host; the host's own loader is held against the same."""
    import torch

    grown = {**factors(CONV_IN, 320, 8, 3, 3), f"{CONV_IN}.reshape_weight": torch.tensor([320, 8, 3, 3])}
    path = save(lora_folder / "wide.safetensors", grown)
    plain = factors(CONV_IN, 320, 4, 3, 3, seed=2)
    save(lora_folder / "plain.safetensors", plain)
    model = make_model()
    base = weight_of(model, CONV_KEY)
    padded = torch.nn.functional.pad(base.double(), (0, 0, 0, 0, 0, 4))
    narrow = torch.nn.functional.pad(product(plain, CONV_IN), (0, 0, 0, 0, 0, 4))

    applied = apply(model, None, "<lora:wide:0.5>").model
    lora = comfy.utils.load_torch_file(str(path), safe_load=True)
    theirs, _ = comfy.sd.load_lora_for_models(model, None, lora, 0.5, 0.5)
    got = patched(applied)[CONV_KEY]
    assert torch.equal(got, patched(theirs)[CONV_KEY])
    assert (got.double() - (padded + 0.5 * product(grown, CONV_IN))).abs().max() < 1e-6
    assert comfy.lora.calculate_shape(applied.patches[CONV_KEY], base, CONV_KEY) == (320, 8, 3, 3)
    assert torch.equal(weight_of(model, CONV_KEY), base)

    # In any order, and in two nodes one after the other, the narrow one is for the first channels.
    expected = padded + 0.5 * product(grown, CONV_IN) + narrow
    first = apply(model, None, "<lora:wide:0.5>").model
    for result in (
        apply(model, None, "<lora:wide:0.5><lora:plain>").model,
        apply(model, None, "<lora:plain><lora:wide:0.5>").model,
        apply(first, None, "<lora:plain>").model,
    ):
        assert (patched(result)[CONV_KEY].double() - expected).abs().max() < 2e-6
    assert torch.equal(weight_of(model, CONV_KEY), base)


def test_a_larger_difference_grows_the_weight_as_the_host_pads(
    make_model: Callable[..., Any], lora_folder: Path
) -> None:
    import torch

    diff = torch.randn(320, 6, 3, 3)
    save(lora_folder / "a.safetensors", {f"{CONV_IN}.diff": diff})
    model = make_model()
    base = weight_of(model, CONV_KEY)
    got = patched(apply(model, None, "<lora:a:0.5>").model)[CONV_KEY]
    expected = torch.nn.functional.pad(base, (0, 0, 0, 0, 0, 2)).double() + 0.5 * diff.double()
    assert (got.double() - expected).abs().max() < 1e-6


def test_four_latent_channels_change_the_first_four_of_an_inpainting_model(
    make_model: Callable[..., Any], lora_folder: Path
) -> None:
    """A1111's rule: the difference is padded from 4 to 9 channels."""
    import torch

    tensors = factors(CONV_IN, 320, 4, 3, 3)
    save(lora_folder / "a.safetensors", tensors)
    model = make_model(config={**UNET, "in_channels": 9})
    base = weight_of(model, CONV_KEY)
    got = patched(apply(model, None, "<lora:a:0.5>").model)[CONV_KEY]
    assert torch.equal(got[:, 4:], base[:, 4:])
    assert (got[:, :4].double() - (base[:, :4].double() + 0.5 * product(tensors, CONV_IN))).abs().max() < 1e-6


def peft(folder: Path, config: dict[str, Any] | None, metadata: dict[str, str] | None = None) -> dict[str, Any]:
    """PEFT's pair of files; the tensors under the pack's own spelling."""
    tensors = factors(LINEAR, 320, 768)
    names = {"lora_up": "lora_B", "lora_down": "lora_A"}
    module = "base_model.model.input_blocks.1.1.transformer_blocks.0.attn2.to_k"
    written = {f"{module}.{names[key.split('.')[1]]}.weight": tensor for key, tensor in tensors.items()}
    save(folder / "adapter_model.safetensors", written, metadata)
    if config is not None:
        (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return tensors


def scale_of(model: Any, tensors: dict[str, Any], prompt: str) -> float:
    """How much of up·down arrives."""
    key = "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    change = patched(apply(model, None, prompt).model)[key].double() - weight_of(model, key).double()
    delta = product(tensors, LINEAR)
    return float((change * delta).sum() / (delta * delta).sum())


def test_an_adapter_folder_is_one_lora_scaled_by_its_configuration(
    make_model: Callable[..., Any], lora_folder: Path
) -> None:
    model = make_model()
    tensors = peft(lora_folder / "frost", {"peft_type": "LORA", "r": 2, "lora_alpha": 6})
    for name in ("frost", "frost/adapter_model"):
        assert scale_of(model, tensors, f"<lora:{name}>") == pytest.approx(3.0, rel=1e-5)
    # Another configuration beside the same tensors is another LoRA.
    peft(lora_folder / "frost", {"peft_type": "LORA", "r": 2, "lora_alpha": 60})
    assert scale_of(model, tensors, "<lora:frost>") == pytest.approx(30.0, rel=1e-5)
    (lora_folder / "frost" / "adapter_config.json").write_text("{", encoding="utf-8")
    with pytest.raises(LoraFileError, match=r"adapter_config\.json: cannot be read"):
        apply(model, None, "<lora:frost>")
    (lora_folder / "frost" / "adapter_config.json").unlink()
    assert scale_of(model, tensors, "<lora:frost>") == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize(
    ("metadata", "scale"),
    [
        ({"lora_adapter_metadata": json.dumps({"unet.r": 2, "unet.lora_alpha": 6})}, 3.0),
        ({"lora_adapter_metadata": json.dumps({"r": 2, "lora_alpha": 6, "use_rslora": True})}, 6 / 2**0.5),
        ({"lora_adapter_metadata": json.dumps({"lora_alpha": 6, "alpha_pattern": {"attn2.to_k": 1}})}, 0.5),
        ({"lora_alpha": "6", "r": "2", "use_rslora": "False"}, 3.0),
        ({"lora_adapter_metadata": "not json", "ss_network_alpha": "64"}, 1.0),
    ],
)
def test_alpha_in_the_header_wins(
    make_model: Callable[..., Any], lora_folder: Path, metadata: dict[str, str], scale: float
) -> None:
    model = make_model()
    tensors = peft(lora_folder / "frost", None, metadata)
    assert scale_of(model, tensors, "<lora:frost>") == pytest.approx(scale, rel=1e-5)
    if scale != 1.0:
        peft(lora_folder / "rime", {"r": 2, "lora_alpha": 100}, metadata)
        assert scale_of(model, tensors, "<lora:rime>") == pytest.approx(scale, rel=1e-5)


def test_a_configuration_is_for_the_file_that_it_came_with(make_model: Callable[..., Any], lora_folder: Path) -> None:
    """A renamed pair still belongs together; among other files only PEFT's own name does."""
    model = make_model()
    tensors = peft(lora_folder / "one", {"r": 2, "lora_alpha": 6})
    (lora_folder / "one" / "adapter_model.safetensors").rename(lora_folder / "one" / "frost.safetensors")
    assert scale_of(model, tensors, "<lora:frost>") == pytest.approx(3.0, rel=1e-5)
    save(lora_folder / "one" / "rime.safetensors", factors(LINEAR, 320, 768))
    assert scale_of(model, tensors, "<lora:frost>") == pytest.approx(1.0, rel=1e-5)


def test_low_vram_patches_are_rounded_once(comfy: Any, make_model: Callable[..., Any], lora_folder: Path) -> None:
    """Weights that do not stay patched go through the host's `LowVramPatch` in the compute type."""
    import torch
    from comfy.model_patcher import LowVramPatch

    for name, seed in (("a", 1), ("b", 2), ("c", 3)):
        write_lora(lora_folder / f"{name}.safetensors", UNET_MODULES, seed=seed)
    model = make_model(torch.float16)
    applied = apply(model, None, "<lora:a:0.3><lora:b:0.6><lora:c:-0.4>").model
    exact = apply(make_model(torch.float32), None, "<lora:a:0.3><lora:b:0.6><lora:c:-0.4>").model
    for key, patches in applied.patches.items():
        base = comfy.utils.get_attr(model.model, key).detach()
        got = LowVramPatch(key, applied.patches)(base.clone())
        truth = comfy.lora.calculate_weight(exact.patches[key], base.double(), key, intermediate_dtype=torch.float64)
        error = (got.double() - truth).norm()
        assert got.dtype == torch.float16 and len(patches) == 1
        assert error <= 1.01 * (truth.half().double() - truth).norm()
