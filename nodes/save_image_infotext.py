"""Save image with infotext."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import folder_paths
import numpy as np
from comfy.cli_args import args
from comfy_api.latest import io
from comfyui_version import __version__
from PIL import Image, PngImagePlugin

from ..sharing.file_prefix import filled_in
from ..sharing.graph import Graph
from ..sharing.receipt import Given, library_model_hash, picture_text
from ..sharing.trace import trace
from .keep_record import list_index
from .show import show_text
from .sockets import CATEGORY, Choice

Format = Literal["png", "jpeg", "webp"]

_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_PROMPT_TAG, _FIRST_EXTRA_TAG = 0x0110, 0x010F
"""Where the host's own savers put `prompt:…` and, counting down, each of `extra_pnginfo`."""
_JPEG_EXIF_BYTES = 65_533 - 6
"""What one segment of a JPEG holds."""


class SaveImageInfotext(io.ComfyNode):
    """Saves pictures that A1111 and Civitai read as their own, with the workflow in them as well."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        def socket(kind: Any, name: str, what: str) -> io.Input:
            return kind.Input(
                name, optional=True, force_input=True,
                tooltip=f"{what}. Not linked: it is looked for in the graph.",
            )  # fmt: skip

        def choice(name: str, what: str) -> io.Input:
            return Choice.Input(name, optional=True, tooltip=f"{what}. Not linked: it is looked for in the graph.")

        return io.Schema(
            node_id="SaveImageInfotext",
            display_name="Save image with infotext",
            category=CATEGORY,
            description="Saves images with A1111's infotext (prompt with LoRA tags, settings, hashes) "
            "beside ComfyUI's workflow.",
            search_aliases=["a1111 metadata", "save image metadata", "civitai", "parameters", "lora hashes"],
            is_output_node=True,
            inputs=[
                io.Image.Input("images", tooltip="The images to save."),
                io.String.Input(
                    "filename_prefix", default="ComfyUI",
                    tooltip="The beginning of the files' names, as in Save Image: folders, %date:yyyy-MM-dd%, %width% "
                    "and %KSampler.seed% are filled in.",
                ),
                io.Combo.Input(
                    "format", options=["png", "jpeg", "webp"], default="png",
                    tooltip="png keeps every pixel. jpeg and webp are smaller; the texts are in them all the same.",
                ),
                io.Int.Input(
                    "quality", default=90, min=1, max=100,
                    tooltip="Of jpeg and webp. 100 makes webp lossless. png takes no notice of it.",
                ),
                io.Boolean.Input(
                    "lora_hashes", default=True,
                    tooltip="Whether the hash of every LoRA is written, by which A1111 and Civitai find the file.",
                ),
                socket(io.String, "prompt", "The prompt"),
                socket(io.String, "negative", "The negative prompt"),
                socket(io.Int, "steps", "Number of steps"),
                choice("sampler", "The sampler's name"),
                choice("scheduler", "The scheduler's name"),
                socket(io.Float, "cfg", "The CFG scale"),
                socket(io.Int, "seed", "The seed"),
                choice("model_name", "The checkpoint's or diffusion model's name"),
            ],
            outputs=[],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, images: Any, filename_prefix: str, format: Format, quality: int, lora_hashes: bool,
        prompt: str | None = None, negative: str | None = None, steps: int | None = None, sampler: str | None = None,
        scheduler: str | None = None, cfg: float | None = None, seed: int | None = None,
        model_name: str | None = None,
    ) -> io.NodeOutput:  # fmt: skip
        given = Given(prompt, negative, steps, sampler, scheduler, cfg, seed, model_name)
        extra = cls.hidden.extra_pnginfo if isinstance(cls.hidden.extra_pnginfo, dict) else {}
        graph = Graph.of(cls.hidden.prompt or {}, extra, list_index())
        traced = trace(graph, str(cls.hidden.unique_id))
        height, width = images[0].shape[0], images[0].shape[1]
        prefix = filled_in(filename_prefix, graph.prompt, extra.get("workflow"), datetime.now())
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            prefix, folder_paths.get_output_directory(), width, height
        )
        saved, texts = [], []
        for number, image in enumerate(images):
            text = picture_text(
                graph, traced, given, (width, height), f"ComfyUI {__version__}", lora_hashes, library_model_hash,
                (len(images), number),
            )  # fmt: skip
            texts.append(text)
            file = f"{name.replace('%batch_num%', str(number))}_{counter:05}_.{format}"
            note = _save(image, Path(folder) / file, format, quality, text, cls.hidden.prompt, extra)
            texts.extend([note] if note else [])
            saved.append({"filename": file, "subfolder": subfolder, "type": "output"})
            counter += 1
        show_text(cls.hidden.unique_id, "\n\n".join(dict.fromkeys(texts)))
        return io.NodeOutput(ui={"images": saved})


def _save(
    image: Any, path: Path, format: Format, quality: int, text: str, prompt: Any, extra: Mapping[str, Any]
) -> str:  # fmt: skip
    """Writes one picture; a sentence about what could not be written, empty where all was."""
    picture = Image.fromarray(np.clip(255.0 * image.cpu().numpy(), 0, 255).astype(np.uint8))
    if format == "png":
        picture.save(path, pnginfo=_chunks(text, prompt, extra), compress_level=4)
        return ""
    exif, note = _exif(text, prompt, extra, _JPEG_EXIF_BYTES if format == "jpeg" else None)
    if format == "jpeg":
        picture.convert("RGB").save(path, "JPEG", quality=quality, exif=exif)
    else:
        picture.save(path, "WEBP", quality=quality, lossless=quality == 100, exif=exif)
    return note


def _chunks(text: str, prompt: Any, extra: Mapping[str, Any]) -> PngImagePlugin.PngInfo | None:
    """The host's text chunks and A1111's; none where the host is told to write no metadata."""
    if args.disable_metadata:
        return None
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", text)
    if prompt is not None:
        info.add_text("prompt", json.dumps(prompt))
    for key, value in extra.items():
        info.add_text(key, json.dumps(value))
    return info


def _exif(text: str, prompt: Any, extra: Mapping[str, Any], limit: int | None) -> tuple[bytes, str]:
    """(EXIF block, what found no room): the infotext as A1111 encodes it, and what the host's front end reads."""
    if args.disable_metadata:
        return b"", ""
    whole = Image.Exif()
    whole.get_ifd(_EXIF_IFD)[_USER_COMMENT] = b"UNICODE\0" + text.encode("utf-16-be", "replace")
    bare = whole.tobytes()
    if prompt is not None:
        whole[_PROMPT_TAG] = f"prompt:{json.dumps(prompt)}"
    for number, (key, value) in enumerate(extra.items()):
        whole[_FIRST_EXTRA_TAG - number] = f"{key}:{json.dumps(value)}"
    content = whole.tobytes()
    if limit is None or len(content) <= limit:
        return content, ""
    if len(bare) <= limit:
        return bare, "The workflow is too long for a JPEG and is not in it; the infotext is. Choose png or webp for it."
    return b"", "The infotext and the workflow are too long for a JPEG; neither is in it. Choose png or webp for them."
