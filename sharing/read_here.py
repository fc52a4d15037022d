"""An infotext with what it means on this machine: files found by hash, the stack under their names here."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ..library import Library, LoraFile
from ..library.models import with_hash
from ..library.names import base_of, without_extension
from ..stack.printer import print_stack, print_tag
from ..stack.stack import LoraStack
from ..stack.tag import TagMatch, parse_prompt
from .infotext import Infotext, read_infotext
from .infotext_loras import named_loras, stack_of
from .picture import read_picture
from .renames import FoundLora, find_loras
from .samplers import host_names

SEEDS = 1 << 64
"""The host's samplers take seeds below it."""


@dataclass(frozen=True, slots=True)
class ReadHere:
    """What a text says, here."""

    infotext: Infotext
    loras: tuple[FoundLora, ...]
    stack: LoraStack
    library: Library
    text: str = ""
    """The infotext itself; empty where there is none."""
    workflow: bool = False
    """Whether the picture carries a ComfyUI workflow."""

    @property
    def prompt(self) -> str:
        """Without the tags, which the stack holds."""
        return parse_prompt(self.infotext.prompt).text

    @property
    def tagged(self) -> str:
        """The prompt with its tags under the names that hold here; where tags stand for less than the stack says (other
        fields name LoRAs, a hires prompt has tags of its own), the stack's tags behind the bare prompt."""
        prompt = self.infotext.prompt
        tags = [tag for tag in parse_prompt(prompt).tags if tag.entry is not None]
        parts: list[str] = []
        position = 0
        for tag, found in zip(tags, self.loras, strict=False):
            parts.append(prompt[position : tag.start] + _tag(prompt, tag, found))
            position = tag.end
        text = "".join(parts) + prompt[position:]
        if parse_prompt(text, repeats="a1111").stack.entries == self.stack.entries:
            return text
        return f"{self.prompt.rstrip()} {print_stack(self.stack)}".strip()

    @property
    def seed(self) -> int | None:
        seed = self.infotext.whole("Seed")
        return seed if seed is not None and 0 <= seed < SEEDS else None

    @property
    def repeats(self) -> bool:
        """Whether a name comes twice in `tagged`, which A1111 counts in a way of its own."""
        names = [entry.name for entry in parse_prompt(self.tagged).stack]
        return len(set(names)) < len(names)

    @property
    def files(self) -> tuple[LoraFile, ...]:
        return tuple(found.file for found in self.loras if found.file is not None)

    @property
    def asked(self) -> tuple[tuple[str, str | None], ...]:
        """(name, path that it stood for) of every name under which a LoRA was looked for and goes on."""
        paths = [(found, found.file.path if found.file else None) for found in self.loras]
        names = [(found.lora.entry.name, path) for found, path in paths if found.lora.entry.name]
        missing = [(f.lora.hash, None) for f in self.loras if f.how == "missing" and f.lora.hash]
        return (*names, *missing)

    def sampling(self, samplers: Collection[str], schedulers: Collection[str]) -> tuple[str | None, str | None]:
        """(sampler, scheduler) as the host's combos have them."""
        fields = self.infotext.fields
        schedule = fields.get("Schedule type") or fields.get("Scheduler") or ""
        return host_names(str(fields.get("Sampler", "")), str(schedule), samplers, schedulers)

    def model(self, names: Sequence[str]) -> str | None:
        """The checkpoint that the text means, out of a combo's: by its hash where one is known, else by its name."""
        digits = str(self.infotext.fields.get("Model hash", "")).strip().lower()
        if re.fullmatch("[0-9a-f]{8,64}", digits):
            known = with_hash(self.library.store, self.library.roots.models, names, digits)
            if known is not None:
                return known
        wanted = str(self.infotext.fields.get("Model", "")).strip()
        for spelled in (_path, _stem):
            same = [name for name in names if wanted and spelled(name) == spelled(wanted)]
            if len(same) == 1:
                return same[0]
        return None

    def summary(self) -> str:
        """What was found, for a person: one line per LoRA, then what could not be read."""
        words = {"hash": "found by hash", "name": "found by name", "missing": "missing"}
        lines = [
            f"{x.lora.entry.name or x.lora.title or 'LoRA'}: {words[x.how]}" + (f". {x.note}" if x.note else "")
            for x in self.loras
        ]
        return "\n".join(
            [*(lines or ["no LoRA"]), *self.stack.notes, *([self.infotext.note] * bool(self.infotext.note))]
        )

    def to_json(self) -> dict[str, Any]:
        info = self.infotext
        return {
            "text": self.text,
            "workflow": self.workflow,
            "note": info.note,
            "program": info.program,
            "hires_weights": any(e.weights("first") != e.weights("hires") for e in self.stack),
            "prompt": self.tagged,
            "clean_prompt": self.prompt,
            "negative": info.negative,
            "fields": dict(info.fields),
            "loras": [found.to_json() for found in self.loras],
            "stack": self.stack.to_json(),
            "repeats": self.repeats,
            "steps": info.whole("Steps"),
            "cfg": info.number("CFG scale"),
            "seed": self.seed,
            "size": list(info.size) if info.size else None,
        }


def _tag(prompt: str, tag: TagMatch, found: FoundLora) -> str:
    """The tag as written, or printed anew under another name."""
    return prompt[tag.start : tag.end] if found.lora.entry.name == found.written else print_tag(found.lora.entry)


def read_here(text: str, own: Library) -> ReadHere:
    """Reads a text and looks its LoRAs up in a library. Blocks on the disk."""
    return _here(read_infotext(text), text, False, own)


def read_picture_here(content: bytes, own: Library) -> ReadHere:
    """Reads a picture's bytes and looks its LoRAs up in a library. Blocks on the disk."""
    found = read_picture(content)
    return _here(found.infotext, found.text, found.workflow, own)


def _here(infotext: Infotext, text: str, workflow: bool, own: Library) -> ReadHere:
    loras = find_loras(named_loras(infotext), own)
    stack = stack_of(infotext, tuple(found.lora for found in loras))
    return ReadHere(infotext, loras, stack, own, text, workflow)


def _path(name: str) -> str:
    return name.replace("\\", "/").lower()


def _stem(name: str) -> str:
    return without_extension(base_of(_path(name)))
