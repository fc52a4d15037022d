"""The text that a picture carries: PNG text chunks, EXIF, and what other programs keep there instead of an infotext."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from .infotext import Infotext, read_infotext

_EXIF_IFD = 0x8769
_USER_COMMENT = 0x9286
_IMAGE_DESCRIPTION = 0x010E
_CODES = (b"UNICODE\0", b"ASCII\0\0\0", b"JIS\0\0\0\0\0", b"\0" * 8)
_WORKFLOW = ("workflow", "prompt")

UNREADABLE = "This is no picture that can be read here. Infotext is read from PNG, JPEG, WebP and the like."
NOTHING = "This picture carries no infotext. Programs that send pictures on often remove it; find the original."
NOVELAI = (
    "This picture is NovelAI's. Its prompt is written in a syntax of its own and its sampler is not ComfyUI's: "
    "prompt, steps, scale and seed are shown as they stand there, nothing is translated."
)


@dataclass(frozen=True, slots=True)
class PictureText:
    """What was found in a picture."""

    infotext: Infotext
    text: str = ""
    """The infotext as it stands in the picture; empty where there is none."""
    workflow: bool = False
    """Whether the picture carries a ComfyUI workflow or prompt."""
    record: Mapping[str, Any] | None = None
    """The content of the chunk `lora_deck`: what LoRA Deck applied for this picture."""


def read_picture(content: bytes) -> PictureText:
    """Finds the infotext in the bytes of a picture. Never raises; pixels are not decoded unless nothing stands before
    them. As in A1111, EXIF counts before the PNG chunk."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content)) as image:
                return _read(image)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError):
        return PictureText(Infotext(note=UNREADABLE))


def _read(image: Image.Image) -> PictureText:
    comment, embedded = _exif(image)
    chunks = _chunks(image)
    if not comment and not chunks and image.format == "PNG":
        # Some programs write their chunks behind the pixels.
        with contextlib.suppress(OSError, ValueError, SyntaxError):
            image.load()
        chunks = _chunks(image)
    chunks = {**embedded, **chunks}
    text = comment or chunks.get("parameters", "") or _comment(image)
    if text:
        infotext = read_infotext(text)
    elif chunks.get("Software") == "NovelAI" or _is_novelai(chunks.get("Comment")):
        infotext = _novelai(chunks)
    else:
        infotext = Infotext(note=_nothing(chunks), program="InvokeAI" if _is_invokeai(chunks) else "")
    workflow = any(name in chunks for name in _WORKFLOW)
    return PictureText(infotext, text, workflow, _json_object(chunks.get("lora_deck")))


def _chunks(image: Image.Image) -> dict[str, str]:
    texts = {key: value for key, value in image.info.items() if isinstance(key, str) and isinstance(value, str)}
    return {key: value if isinstance(value, PngImagePlugin.iTXt) else _as_utf8(value) for key, value in texts.items()}


def _as_utf8(text: str) -> str:
    """Some programs put UTF-8 into chunks that the standard says are Latin-1."""
    if text.isascii():
        return text
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def _exif(image: Image.Image) -> tuple[str, dict[str, str]]:
    """(the user comment or the description, what the host wrote as `name:JSON` into other tags)"""
    try:
        exif = image.getexif()
        comment = exif.get_ifd(_EXIF_IFD).get(_USER_COMMENT)
        tags = dict(exif)
    except (OSError, ValueError, SyntaxError, KeyError, TypeError, struct.error):
        return "", {}
    named: dict[str, str] = {}
    for value in tags.values():
        name, _, content = value.partition(":") if isinstance(value, str) else ("", "", "")
        if name.isidentifier() and content[:1] == "{":
            named[name] = content
    text = user_comment(comment) if isinstance(comment, bytes) else str(comment or "")
    if not text.strip():
        description = tags.get(_IMAGE_DESCRIPTION)
        text = description if isinstance(description, str) and read_infotext(description).fields else ""
    return text.strip(), named


def user_comment(raw: bytes) -> str:
    """An EXIF `UserComment` as text: with or without its code, UTF-16 in either byte order, UTF-8, or ASCII."""
    code = next((code for code in _CODES if raw.startswith(code)), b"")
    body = raw[len(code) :]
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return body.decode("utf-16", "replace").strip("\0")
    if code == b"UNICODE\0" or b"\0" in body:
        encodings = ["utf-16-be", "utf-16-le"] if b"\0" in body.rstrip(b"\0") else ["utf-8", "utf-16-be", "utf-16-le"]
        return max((body.decode(e, "replace") for e in encodings), key=_plain).strip("\0")
    for encoding in ("utf-8", "shift_jis") if code.startswith(b"JIS") else ("utf-8",):
        try:
            return body.decode(encoding).strip("\0")
        except UnicodeError:
            continue
    return body.decode("latin-1").strip("\0")


def _plain(text: str) -> int:
    """How many characters every infotext has many of: wrong byte orders have hardly any."""
    return sum(1 for character in text if " " <= character <= "~" or character == "\n")


def _comment(image: Image.Image) -> str:
    """The comment of a GIF or JPEG, where it is an infotext."""
    comment = image.info.get("comment")
    text = comment.decode("utf-8", "replace") if isinstance(comment, bytes) else comment
    return text if isinstance(text, str) and read_infotext(text).fields else ""


def _json_object(text: str | None) -> Mapping[str, Any] | None:
    try:
        content = json.loads(text or "null")
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _is_novelai(comment: str | None) -> bool:
    content = _json_object(comment)
    return content is not None and "uc" in content and "sampler" in content


def _novelai(chunks: Mapping[str, str]) -> Infotext:
    comment = _json_object(chunks.get("Comment")) or {}
    names = {"Steps": "steps", "CFG scale": "scale", "Seed": "seed", "NovelAI sampler": "sampler"}
    fields = {name: str(comment[key]) for name, key in names.items() if isinstance(comment.get(key), int | float | str)}
    negative = comment.get("uc")
    prompt = "\n".join(line.strip() for line in chunks.get("Description", "").strip().split("\n"))
    return Infotext(prompt, negative.strip() if isinstance(negative, str) else "", fields, NOVELAI, "NovelAI")


def _nothing(chunks: Mapping[str, str]) -> str:
    if any(name in chunks for name in _WORKFLOW):
        return "This picture carries a ComfyUI workflow and no infotext. Drop it on the canvas to open the workflow."
    if _is_invokeai(chunks):
        return "This picture is InvokeAI's, which writes metadata of its own and no infotext. Nothing was read."
    return NOTHING


def _is_invokeai(chunks: Mapping[str, str]) -> bool:
    return any(name.startswith(("invokeai", "sd-metadata", "Dream")) for name in chunks)
