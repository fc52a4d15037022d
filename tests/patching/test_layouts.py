"""Every module of every layout is applied to the model that it was made for; the host's own loader beside it.

`docs/compatibility.md` is written from this table; to write it anew, run these tests with `LORA_DECK_WRITE=1`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from lora_deck.library.files import Fingerprint, LoraFile
from lora_deck.stack.architectures import candidates, detect, is_text_encoder_name

from . import layouts

DOCS = Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"

LOOK_ALIKE = ("anima-onetrainer-original",)
"""Files that cannot be told from another architecture's: their modules and widths are the same."""


@dataclass(frozen=True)
class Row:
    name: str
    real: bool
    architecture: str
    modules: int
    applied: int
    host: int


@pytest.fixture(scope="module", autouse=True)
def values_unread(comfy: Any) -> Iterator[None]:
    """Every value is one; reading them is most of the time that matching takes."""
    import lora_deck.patching.match as matching

    with mock.patch.object(matching, "check_values"):
        yield


@pytest.fixture(scope="module")
def measured(comfy: Any) -> dict[str, Row]:
    models: dict[str, Any] = {}
    return {name: measure(comfy, name, models) for name in layouts.NAMES}


@pytest.fixture(scope="module")
def diffusers(comfy: Any) -> list[Row]:
    """A LoRA over every layer of diffusers' classes."""
    import lora_deck.patching.match as matching
    import torch
    from lora_deck.patching.open import OpenFile
    from lora_deck.strategies import read

    rows = []
    for name, shapes in layouts.diffusers().items():
        model, title = name.split(" ")
        prefix = "unet." if "UNet" in title else "transformer."
        keys = layouts.lora_keys(shapes, prefix)
        tensors = {key: torch.ones(()).expand(shape) for key, shape in keys.items()}
        unet = layouts.diffusion_model(comfy, model)
        opened = OpenFile(name, read(tensors), len(tensors), candidates(keys))
        matched = matching.match("unet", unet, LoraFile(name, name, Fingerprint(0, 0)), opened)
        assert not matched.misfits, name
        assert opened.looks_like[:1] == (layouts.models()[model]["architecture"],), name
        theirs = comfy.lora.load_lora(tensors, comfy.lora.model_lora_keys_unet(unet, {}), log_missing=False)
        # Where a name of the host's leads to another layer, or outside of a weight, nothing is gained.
        weights = unet.state_dict()
        fits = sum(fit(weights, target, patch) for target, patch in theirs.items())
        rows.append(Row(title, False, model, len(opened.modules.modules), len(matched.modules), fits))
    return rows


def fit(weights: dict[str, Any], target: Any, patch: Any) -> bool:
    key, offset = (target, None) if isinstance(target, str) else target[:2]
    found = weights.get(key)
    if found is None:
        return False
    rows = found.shape[0]
    up, down = patch.weights[:2]
    if offset is not None:
        return bool(offset[1] + offset[2] <= rows and up.shape[0] == offset[2])
    return bool(up.shape[0] == rows and down[0].numel() == found[0].numel())


def measure(comfy: Any, name: str, models: dict[str, Any]) -> Row:
    import lora_deck.patching.match as matching
    from lora_deck.patching.open import OpenFile
    from lora_deck.strategies import read

    data = layouts.layout(name)
    tensors = layouts.tensors(data)
    converted = comfy.lora_convert.convert_lora(dict(tensors))
    modules = read(converted)
    assert not modules.unrecognised and not modules.broken, name
    looks = candidates({key: tuple(t.shape) for key, t in tensors.items()})
    opened = OpenFile(name, modules, len(tensors), looks)
    file = LoraFile(name, name, Fingerprint(0, 0))
    if data["model"] not in models:
        models.clear()
        models[data["model"]] = layouts.diffusion_model(comfy, data["model"])
    unet = models[data["model"]]
    found = [matching.match("unet", unet, file, opened)]
    key_map = comfy.lora.model_lora_keys_unet(unet, {})
    if any(is_text_encoder_name(module) for module in modules.modules):
        encoder = layouts.text_encoder(data["arch"])
        found.append(matching.match("te", encoder, file, opened))
        key_map = comfy.lora.model_lora_keys_clip(encoder, key_map)
    assert not [misfit for each in found for misfit in each.misfits], name
    applied = frozenset().union(*(each.modules for each in found))
    assert applied == frozenset(modules.modules), (name, sorted(set(modules.modules) - applied)[:3])
    assert sum(len(each.modules) for each in found) == len(applied), f"{name}: a module goes to two places"
    theirs = comfy.lora.load_lora(converted, key_map, log_missing=False)
    host = sum(not (key if isinstance(key, str) else key[0]).endswith(".bias") for key in theirs)
    architecture = detect({key: tuple(value.shape) for key, value in unet.state_dict().items()})
    assert architecture in looks and (looks[0] == architecture or name in LOOK_ALIKE), (name, looks)
    return Row(name, data["real"], architecture, len(modules.modules), len(applied), host)


def test_every_module_is_applied(measured: dict[str, Row]) -> None:
    assert len(measured) >= 50 and all(row.applied == row.modules for row in measured.values())


def test_every_module_of_diffusers_is_applied(diffusers: list[Row]) -> None:
    assert len(diffusers) >= 35 and all(row.applied == row.modules for row in diffusers)


def test_the_documented_table_is_what_was_measured(measured: dict[str, Row], diffusers: list[Row]) -> None:
    text = written(measured, diffusers)
    if os.environ.get("LORA_DECK_WRITE"):
        DOCS.write_text(text, encoding="utf-8")
    assert DOCS.read_text(encoding="utf-8") == text


def written(measured: dict[str, Row], diffusers: list[Row]) -> str:
    ours = sum(r.applied for r in measured.values())
    host = sum(min(r.host, r.modules) for r in measured.values())
    total = sum(r.modules for r in measured.values())
    lines = [
        "# Files that are tested",
        "",
        "Key names and shapes of LoRA files as their trainers write them, each against ComfyUI's own model (and text",
        "encoders) at its true size. A module counts where it finds the weight that it was trained on, in its shape.",
        "Written by `tests/patching/test_layouts.py`.",
        "",
        f"LoRA Deck applies {ours} of {total} modules, ComfyUI's own loader {host}, and all of a file in "
        f"{sum(r.applied == r.modules for r in measured.values())} and "
        f"{sum(r.host >= r.modules for r in measured.values())} of {len(measured)} files.",
        "",
        "| file | model | from | modules | LoRA Deck | ComfyUI |",
        "|---|---|---|--:|--:|--:|",
    ]
    for row in sorted(measured.values(), key=lambda r: (r.architecture.casefold(), r.name)):
        source = "a published file" if row.real else "the trainer's rule"
        theirs = min(row.host, row.modules)
        lines.append(f"| {row.name} | {row.architecture} | {source} | {row.modules} | {row.applied} | {theirs} |")
    lines += [
        "",
        "## diffusers' own names",
        "",
        "A LoRA over every layer of the class that diffusers has for a model, under diffusers' names, as its trainers",
        "write it when they leave nothing out.",
        "",
        "| class | model | layers | LoRA Deck | ComfyUI |",
        "|---|---|--:|--:|--:|",
    ]
    for row in diffusers:
        lines.append(f"| {row.name} | {row.architecture} | {row.modules} | {row.applied} | {row.host} |")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "name", ["sd15-lycoris-loha", "sdxl-diffusers-peft", "flux-kohya-te", "flux-onetrainer-comfy", "lumina2-kohya"]
)
def test_without_the_text_encoder_its_modules_are_named(comfy: Any, name: str) -> None:
    from lora_deck.strategies import read

    modules = read(comfy.lora_convert.convert_lora(layouts.tensors(layouts.layout(name)))).modules
    encoders = [module for module in modules if is_text_encoder_name(module)]
    assert encoders and len(encoders) < len(modules)
