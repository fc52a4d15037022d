"""A second machine: the same LoRAs under other names in other folders, never hashed, some of them missing."""

from __future__ import annotations

import shutil
from pathlib import Path

from lora_deck.library.personal import set_setting
from lora_deck.library.schema import Store

from .harness import HostServer

INK, MIRA, NEON, GRAIN = (
    "styles/ink_wash_v2", "characters/mira_lighthouse", "neon_nights", "styles/film_grain",
)  # fmt: skip
THERE = {INK: "Pinsel/brush 07", NEON: "Pinsel/nacht (1)", GRAIN: "korn"}
"""Name here → name there, without extension. Mira's is missing, and her name means another file there."""


class Elsewhere(HostServer):
    """Its library holds no file under its original name, but for one that has other content."""

    def prepare(self) -> None:
        super().prepare()
        here = self.base / "original"
        shutil.move(self.loras, here)
        for name, there in THERE.items():
            target = self.loras / f"{there}.safetensors"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(here / f"{name}.safetensors", target)
        self.decoy.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(here / "styles" / "水墨山水.safetensors", self.decoy)
        shutil.rmtree(here)
        store = Store(self.base / "user" / "__lora_deck")
        set_setting(store, "hashing_off", "1")
        store.close()

    @property
    def decoy(self) -> Path:
        """A file of another LoRA under the name of one that is missing."""
        return self.loras / f"{MIRA}.safetensors"
