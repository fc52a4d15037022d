"""Read infotext."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import comfy.samplers
import folder_paths
from comfy_api.latest import io

from .. import library
from ..sharing.graph import as_link
from ..sharing.infotext import Infotext
from ..sharing.read_here import read_here, read_picture_here
from ..stack.errors import InfotextError
from .changed_files import changed_files
from .keep_record import keep_outputs
from .show import show_text
from .sockets import CATEGORY, Choice, Stack

NO_PICTURE = ""


class ReadInfotext(io.ComfyNode):
    """Takes apart what A1111 wrote."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ReadInfotext",
            display_name="Read infotext",
            category=CATEGORY,
            description="Reads A1111's infotext from a text or a picture: prompts, LoRAs (found by hash) and settings.",
            search_aliases=["a1111 metadata", "png info", "parameters", "read metadata", "civitai"],
            inputs=[
                io.String.Input(
                    "text", multiline=True, default="",
                    placeholder="Paste an infotext here, or choose a picture below",
                    tooltip="An infotext as A1111, Forge, SD.Next or Civitai show it. It counts before the picture.",
                ),
                io.Combo.Input(
                    "image", options=[NO_PICTURE, *_pictures()], default=NO_PICTURE, optional=True,
                    upload=io.UploadType.image, image_folder=io.FolderType.input,
                    tooltip="A picture of the input folder that A1111 or a relative made. Read where text is empty.",
                ),
            ],
            outputs=[
                io.String.Output("prompt", tooltip="The prompt without its LoRA tags."),
                io.String.Output("negative", tooltip="The negative prompt."),
                Stack.Output("stack", tooltip="The LoRAs, under the names that their files have here."),
                io.Int.Output("steps"),
                Choice.Output("sampler", tooltip="As the host's samplers take it."),
                Choice.Output("scheduler", tooltip="As the host's samplers take it."),
                io.Float.Output("cfg"),
                io.Int.Output("seed"),
                io.Int.Output("width"),
                io.Int.Output("height"),
                Choice.Output("model_name", tooltip="The checkpoint, as its loader takes it."),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, image: Any = None) -> bool | str:
        if not isinstance(image, str) or image == NO_PICTURE or folder_paths.exists_annotated_filepath(image):
            return True
        return f"There is no picture {image!r:.200} in the input folder."

    @classmethod
    def fingerprint_inputs(cls, text: Any = "", image: Any = None, **_: Any) -> str:
        picture = b"" if not isinstance(image, str) or not image or _is_text(text) else _content(image)
        return f"{hashlib.sha256(picture).hexdigest()} {changed_files.counter(cls.hidden.unique_id)}"

    @classmethod
    def execute(cls, text: str, image: str | None = None) -> io.NodeOutput:
        own = library.current()
        found = read_here(text, own) if _is_text(text) or not image else read_picture_here(_content(image), own)
        changed_files.record(cls.hidden.unique_id, found.files, found.asked)
        info = found.infotext
        sampler, scheduler = found.sampling(comfy.samplers.SAMPLER_NAMES, comfy.samplers.SCHEDULER_NAMES)
        width, height = info.size or (None, None)
        values: dict[str, Any] = {
            "prompt": found.prompt,
            "negative": info.negative,
            "stack": found.stack,
            "steps": info.whole("Steps"),
            "sampler": sampler,
            "scheduler": scheduler,
            "cfg": info.number("CFG scale"),
            "seed": found.seed,
            "width": width,
            "height": height,
            "model_name": found.model(folder_paths.get_filename_list("checkpoints")),
        }
        _check(values, _linked(cls.hidden.prompt, str(cls.hidden.unique_id)), info)
        keep_outputs(cls.hidden, {n: v for n, (k, v) in enumerate(values.items()) if k != "stack" and v is not None})
        show_text(cls.hidden.unique_id, found.summary())
        return io.NodeOutput(*values.values())


def _linked(prompt: Any, node_id: str) -> set[int]:
    """The outputs of a node that something takes."""
    inputs = [node.get("inputs", {}) for node in (prompt or {}).values()]
    links = (as_link(value) for given in inputs for value in given.values())
    return {link[1] for link in links if link is not None and link[0] == node_id}


def _check(values: Mapping[str, Any], linked: set[int], info: Infotext) -> None:
    """Refuses to go on where something takes a value that the text does not give.

    Raises:
        InfotextError: one line for each such value.
    """
    missing = [name for slot, (name, value) in enumerate(values.items()) if value is None and slot in linked]
    if info.note and info.is_empty and linked:
        raise InfotextError(info.note)
    if missing:
        raise InfotextError("\n".join(_absent(name, info) for name in missing))


def _absent(name: str, info: Infotext) -> str:
    field = {"sampler": "Sampler", "scheduler": "Schedule type", "model_name": "Model", "seed": "Seed"}.get(name, "")
    written = info.fields.get(field) or (info.fields.get("Sampler") if name == "scheduler" else None)
    if written:
        return f"{name}: the text says {written!r:.80}, and there is nothing of that name here. Set it by hand."
    return f"{name}: the text does not say. Set it by hand."


def _is_text(text: object) -> bool:
    return isinstance(text, str) and bool(text.strip())


def _pictures() -> list[str]:
    folder = Path(folder_paths.get_input_directory())
    found = [path.name for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    return sorted(folder_paths.filter_files_content_types(found, ["image"]))


def _content(image: str) -> bytes:
    return Path(folder_paths.get_annotated_filepath(image)).read_bytes()
