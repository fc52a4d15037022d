"""A LoRA of a test's own, and the dialog on its card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, expect
from safetensors import safe_open
from safetensors.torch import save_file

from ..deck_page import DeckPage

TAGS = {"tide": 40, "foam (sea)": 30, "gull": 20, "mist": 4}
BUCKETS = {"buckets": {"0": {"resolution": [512, 768], "count": 9}}}
TRAINED = {"ss_tag_frequency": json.dumps({"a": TAGS}), "ss_bucket_info": json.dumps(BUCKETS)}


def write_lora(path: Path, source: Path, metadata: dict[str, str] | None = None, seed: int = 1) -> None:
    """A copy of a LoRA with a header of its own, and so with other hashes."""
    with safe_open(source, "pt") as file:
        tensors = {key: file.get_tensor(key) * (1 + seed / 97) for key in file.offset_keys()}
    save_file(tensors, path, metadata)


class Card:
    """One LoRA of a test's own, and the dialog on it."""

    def __init__(self, deck: DeckPage, folder: Path, name: str, sidecar: dict[str, Any] | None = None,
                 metadata: dict[str, str] | None = None) -> None:  # fmt: skip
        self.deck, self.name, self.page = deck, name, deck.page
        self.file = folder / f"{name}.safetensors"
        self.sidecar = folder / f"{name}.json"
        write_lora(self.file, deck.host.loras / "styles" / "ink_wash_v2.safetensors", metadata, seed=len(name))
        if sidecar is not None:
            self.sidecar.write_text(json.dumps(sidecar, ensure_ascii=False), encoding="utf-8")
        deck.host.post("/lora-deck/refresh", {"wait": True})
        deck.reset(fits=False, text=name)
        expect(deck.card(name)).to_have_count(1)

    def open(self) -> Locator:
        self.deck.card(self.name).focus()
        self.page.keyboard.press("F2")
        dialog = self.page.get_by_role("dialog", name=self.name)
        expect(dialog).to_be_visible()
        return dialog

    def saved(self) -> dict[str, Any]:
        return dict(json.loads(self.sidecar.read_text(encoding="utf-8")))


def state(dialog: Locator) -> Locator:
    return dialog.locator(".ld-bot [role=status]")
