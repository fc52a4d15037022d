"""Embeddings bundled with a LoRA, through the host's own tokenizers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .test_apply import CLIP_MODULES, UNET_MODULES, apply, write_lora


def bundle(path: Path, tensors: dict[str, Any], modules: bool = True) -> None:
    """Adds embeddings to a LoRA file."""
    from safetensors.torch import load_file, save_file

    if modules:
        write_lora(path, {**UNET_MODULES, **CLIP_MODULES}, seed=4)
        tensors = {**load_file(path), **tensors}
    save_file({key: tensor.clone() for key, tensor in tensors.items()}, path)


def vectors_in(clip: Any, text: str) -> list[Any]:
    """Every token of the prompt that is a vector."""
    tokens = next(iter(clip.tokenize(text).values()))
    return [token for batch in tokens for token, *_ in batch if not isinstance(token, int)]


@pytest.mark.parametrize("parameter", ["string_to_param.*", "vec", "clip_l", "emb_params"])
def test_a_bundled_embedding_works_in_prompts_of_this_clip_only(
    make_clip: Callable[..., Any], make_model: Callable[..., Any], lora_folder: Path, parameter: str
) -> None:
    import torch

    vectors = torch.randn(2, 768, generator=torch.Generator().manual_seed(1))
    bundle(lora_folder / "a.safetensors", {f"bundle_emb.frost.{parameter}": vectors})
    clip = make_clip()
    applied = apply(make_model(), clip, "<lora:a>")
    for text in ("embedding:frost", "a cat, embedding:frost, at night", "(embedding:frost:1.2)", "embedding:frost,"):
        found = vectors_in(applied.clip, text)
        assert len(found) == 2 and all(torch.equal(f, v) for f, v in zip(found, vectors, strict=True)), text
    assert vectors_in(applied.clip, "embedding:frosty") == []
    assert vectors_in(clip, "embedding:frost") == []
    assert vectors_in(apply(None, clip, "").clip, "embedding:frost") == []
    assert vectors_in(applied.clip.clone(), "embedding:frost") != []
    assert "embedding:frost" in str(applied.report)
    assert "bundle_emb" not in str(applied.report)


def test_the_embeddings_change_the_conditioning(make_clip: Callable[..., Any], lora_folder: Path) -> None:
    import torch

    bundle(lora_folder / "a.safetensors", {"bundle_emb.frost.vec": torch.randn(1, 64)}, modules=False)
    clip = make_clip()
    clip.tokenizer.clip_l.embedding_size = 64
    applied = apply(None, clip, "<lora:a>")
    plain, frosted = (c.encode_from_tokens(c.tokenize("embedding:frost")) for c in (clip, applied.clip))
    assert not torch.equal(plain, frosted)


def test_the_folder_wins_and_of_two_bundles_the_first(
    make_clip: Callable[..., Any], lora_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import torch
    from safetensors.torch import save_file

    ones, twos, threes = (torch.full((1, 768), float(n)) for n in (1, 2, 3))
    bundle(lora_folder / "a.safetensors", {"bundle_emb.frost.vec": ones, "bundle_emb.ice.vec": ones}, modules=False)
    bundle(lora_folder / "b.safetensors", {"bundle_emb.frost.vec": twos, "bundle_emb.rime.vec": twos}, modules=False)
    folder = tmp_path_factory.mktemp("embeddings")
    save_file({"emb_params": threes}, folder / "ice.safetensors")
    clip = make_clip()
    clip.tokenizer.clip_l.embedding_directory = [str(folder)]
    # Two Apply nodes in a row: the second adds to the first.
    once = apply(None, clip, "<lora:a>").clip
    for applied in (apply(None, clip, "<lora:a><lora:b>").clip, apply(None, once, "<lora:b>").clip):
        for name, expected in (("frost", 1), ("rime", 2), ("ice", 3)):
            (vector,) = vectors_in(applied, f"embedding:{name}")
            assert float(vector[0]) == expected


def test_each_encoder_takes_its_own_and_a_foreign_width_is_named(comfy: Any, lora_folder: Path) -> None:
    import torch
    from comfy.sdxl_clip import SDXLTokenizer
    from lora_deck.patching.embeddings import Embedding, add_embeddings

    class Clip:
        tokenizer = SDXLTokenizer()

    clip = Clip()
    both = Embedding("both", {"clip_l": torch.ones(1, 768), "clip_g": torch.ones(3, 1280)})
    small = Embedding("small", {"vec": torch.ones(768)})
    foreign = Embedding("foreign", {"vec": torch.ones(4, 1024)})
    assert add_embeddings(clip, [both, small, foreign]) == ("foreign",)
    tokens = clip.tokenizer.tokenize_with_weights("embedding:both embedding:small")
    counts = {k: sum(not isinstance(t, int) for batch in v for t, *_ in batch) for k, v in tokens.items()}
    assert counts == {"l": 2, "g": 3}
    assert clip.tokenizer is not Clip.tokenizer and "_try_get_embedding" not in vars(Clip.tokenizer.clip_l)
