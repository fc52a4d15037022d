"""Which files are refused, and what the message says that they look like."""

from __future__ import annotations

from typing import Any

import pytest
from lora_deck.library.files import Fingerprint, LoraFile
from lora_deck.stack.architectures import candidates
from lora_deck.stack.errors import LoraFileError

from . import layouts

Keys = dict[str, tuple[int, ...]]


def fit(comfy: Any, model: str, keys: Keys) -> tuple[int, int]:
    """(modules that match, modules of the file) for a file of these keys, at the model's true size."""
    from types import SimpleNamespace

    import lora_deck.patching.match as matching
    import torch
    from lora_deck.patching.fit import check_fit
    from lora_deck.patching.open import OpenFile
    from lora_deck.strategies import read

    unet = layouts.diffusion_model(comfy, model)
    tensors = {key: torch.ones(()).expand(shape) for key, shape in keys.items()}
    opened = OpenFile("a", read(tensors), len(keys), candidates(keys))
    file = LoraFile("a", "a.safetensors", Fingerprint(0, 0))
    matched = matching.match("unet", unet, file, opened)
    check_fit(file, opened, {"unet": matched}, {"unet": SimpleNamespace(model=unet)})
    return len(matched.modules), len(opened.modules.modules)


def some(title: str, *parts: str, blocks: int = 10**6, prefix: str = "transformer.") -> Keys:
    """The keys of a LoRA over those modules of diffusers' class whose names hold one of `parts`."""
    modules = layouts.diffusers()[title]
    chosen = {
        name: shape
        for name, shape in modules.items()
        if any(part in name for part in parts) and int(next((n for n in name.split(".") if n.isdigit()), 0)) < blocks
    }
    return layouts.lora_keys(chosen, prefix)


QWEN = "qwen-image QwenImageTransformer2DModel"
FLUX = "flux FluxTransformer2DModel"
WAN = "wan21-t2v-14b WanTransformer3DModel"


def test_a_small_file_whose_keys_are_several_models_is_for_each(comfy: Any) -> None:
    keys = some(QWEN, "attn.to_q", "attn.to_k", "attn.add_", blocks=8)
    assert candidates(keys)[0] == "Flux" and "Qwen-Image" in candidates(keys)
    assert fit(comfy, "qwen-image", keys) == (40, 40)
    assert fit(comfy, "flux", keys) == (40, 40)
    with pytest.raises(
        LoraFileError, match=r"It looks like a LoRA for Flux, Qwen-Image, .* or Flux 2, and this model is SDXL"
    ):
        fit(comfy, "sdxl", keys)


def test_a_few_misfits_do_not_refuse_a_file(comfy: Any) -> None:
    keys = some(FLUX, "attn.", blocks=4)
    keys.update(some(FLUX, "context_embedder"))
    keys["transformer.x_embedder.lora_A.weight"] = (4, 65)
    keys["transformer.x_embedder.lora_B.weight"] = (3072, 4)
    matched, modules = fit(comfy, "flux", keys)
    assert matched == modules - 1
    foreign = dict(keys)
    foreign["transformer.distilled_guidance_layer.in_proj.lora_A.weight"] = (4, 64)
    foreign["transformer.distilled_guidance_layer.in_proj.lora_B.weight"] = (5120, 4)
    assert candidates(foreign) == ("Chroma",) and fit(comfy, "flux", foreign) == (matched, modules + 1)


@pytest.mark.parametrize(
    ("model", "title", "said"),
    [
        ("wan21-t2v-1.3b", WAN, "It looks like a LoRA for Wan, in another size than this model's"),
        ("ltxv-2b", WAN, "It looks like a LoRA for Wan, and this model is LTX-Video"),
        (
            "wan21-t2v-14b",
            "ltxv-13b LTXVideoTransformer3DModel",
            "It looks like a LoRA for LTX-Video, and this model is Wan",
        ),
        ("flux", "cosmos-1 CosmosTransformer3DModel", "It looks like a LoRA for Cosmos, and this model is Flux"),
        (
            "omnigen2",
            "lumina2 Lumina2Transformer2DModel",
            "It looks like a LoRA for Lumina 2, and this model is OmniGen2",
        ),
        ("lumina2", "z-image ZImageTransformer2DModel", "It looks like a LoRA for Z-Image, and this model is Lumina 2"),
        ("cogvideox", "mochi MochiTransformer3DModel", "It looks like a LoRA for Mochi, and this model is CogVideoX"),
        (
            "hunyuan-video",
            "hunyuan-video-1.5 HunyuanVideo15Transformer3DModel",
            "a LoRA for Hunyuan Video 1.5, and this",
        ),
        ("flux2-klein-9b", "flux2-klein-4b Flux2Transformer2DModel", "a LoRA for Flux 2, in another size"),
    ],
)
def test_a_file_for_another_model_is_named(comfy: Any, model: str, title: str, said: str) -> None:
    with pytest.raises(LoraFileError, match=said):
        fit(comfy, model, some(title, ""))


@pytest.mark.parametrize(("model", "layout"), [("sdxl", "sd15-lcm"), ("sd15", "sdxl-kohya-sgm"), ("sd21", "sd15-lcm")])
def test_unets_of_another_width_are_refused(comfy: Any, model: str, layout: str) -> None:
    data = layouts.layout(layout)
    keys = {key: tuple(tensor.shape) for key, tensor in layouts.tensors(data).items()}
    with pytest.raises(LoraFileError, match=f"It looks like a LoRA for {'SD1' if layout == 'sd15-lcm' else 'SDXL'},"):
        fit(comfy, model, keys)
