"""Infotexts in the formats of several programs, written for these tests."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping

from PIL import Image, PngImagePlugin

A1111 = """a harbour at dawn, (mist:1.2) <lora:inkwash final:0.8:0.6> <lora:grain:0.4>
second line
Negative prompt: blurry, <lora:not_read:1>,
low quality
Steps: 28, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 123456789012, Size: 832x1216, \
Model hash: 1a2b3c4d5e, Model: harbour_v2, VAE hash: 00ff00ff00, VAE: some.vae.pt, Denoising strength: 0.45, \
Clip skip: 2, ADetailer model: face_yolov8n.pt, ADetailer prompt: "a face, \\"calm\\" <lora:face:0.5>", \
ADetailer confidence: 0.3, Hires upscale: 1.5, Hires steps: 12, Hires upscaler: 4x-UltraSharp, \
Lora hashes: "inkwash final: 0123456789ab, grain: BA9876543210", TI hashes: "easyneg: c74b4e810b03", \
Version: v1.10.1"""

FORGE = """neon street <lora:Neon_City-XL:0.7>
Steps: 20, Sampler: Euler, Schedule type: Simple, CFG scale: 1, Distilled CFG Scale: 3.5, Seed: 7, Size: 896x1152, \
Model hash: c161224931, Model: flux1-dev-fp8, Lora hashes: \
"Neon_City-XL: 8d2c6f0e7a913b5d4c2f1e0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a1b0c", Beta schedule alpha: 0.6, \
Beta schedule beta: 0.6, Diffusion in Low Bits: Automatic (fp16 LoRA), Module 1: ae, Module 2: clip_l, \
Version: f2.0.1v1.10.1-previous-659-gc055f2d4"""

SDNEXT = """fox in snow <lora:winter:0.9>
Negative prompt: text
Steps: 25, Size: 1024x1024, Seed: 99, Sampler: UniPC, CFG scale: 6, CFG true: True, App: SD.Next, Version: 1a2b3c4, \
Pipeline: StableDiffusionXLPipeline, Operations: txt2img, Model: foxes_v3, Model hash: 0a1b2c3d4e, \
LoRA hashes: "winter: 9f08b9d7", Sampler options: order 2/low order, Batch: 4x1"""

CIVITAI_HASHES = """tower <lora:stone,tall:1>
Steps: 30, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x768, Version: v1.7.0, \
Hashes: {"model": "9aba26abdf", "lora:stone,tall": "fe6d7d9c98", "vae": ""}"""

HIRES = """cat <lora:ink:0.8> <lora:grain:0.5>
Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x768, Hires upscale: 2, \
Hires prompt: "cat, detailed <lora:ink:0.4> <lora:sharp:1>", Version: v1.10.1"""

ONE_LINE = (
    "a pier at night. long exposure.Negative prompt: crowd, cars.Steps: 22, Sampler: Euler a, CFG scale: 7, "
    "Seed: 11, Size: 512x512, Model: nights"
)

MATRIX = (
    "a lake\r\nNegative prompt: fog\r\nSteps: 12, Sampler: Euler, CFG scale: 5, Seed: 3, Size: 512x512, "
    "Model hash: 9ABA26ABDF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF012345, Model: lakes"
)

NETWORKS = """a road
Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 4, Size: 512x512, AddNet Enabled: True, AddNet Module 1: LoRA, \
AddNet Model 1: dust(0f1e2d3c4b5a), AddNet Weight A 1: 0.7, AddNet Weight B 1: 0.3, AddNet Module 2: LoRA, \
AddNet Model 2: None, AddNet Weight A 2: 1, AddNet Weight B 2: 1"""

BROKEN = 'Steps: 20, Sampler: Euler, Data: {"a": [1, 2, Seed: 9, CFG scale: 7'

ALL = (A1111, FORGE, SDNEXT, CIVITAI_HASHES, HIRES, ONE_LINE, MATRIX, NETWORKS, BROKEN)


def png(**chunks: str) -> bytes:
    """A small PNG with text chunks as PIL writes them: Latin-1 where that is possible, else UTF-8."""
    info = PngImagePlugin.PngInfo()
    for name, text in chunks.items():
        info.add_text(name, text)
    return _picture("PNG", pnginfo=info)


def png_with_raw(name: str, body: bytes) -> bytes:
    """A PNG whose `tEXt` chunk holds these bytes."""
    info = PngImagePlugin.PngInfo()
    info.add(b"tEXt", name.encode() + b"\0" + body)
    return _picture("PNG", pnginfo=info)


def with_comment(kind: str, raw: bytes, **more: str) -> bytes:
    """A picture of a format (`JPEG`, `WEBP`, `PNG`) whose EXIF holds `raw` as UserComment."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = raw
    for tag, text in more.items():
        exif[int(tag.removeprefix("tag"), 16)] = text
    return _picture(kind, exif=exif.tobytes())


def comments(text: str) -> Mapping[str, bytes]:
    """One text in the encodings that programs use for UserComment."""
    return {
        "A1111, big-endian": b"UNICODE\0" + text.encode("utf-16-be"),
        "SwarmUI, little-endian": b"UNICODE\0" + text.encode("utf-16-le"),
        "with a byte order mark": b"UNICODE\0" + text.encode("utf-16"),
        "UTF-8 under the code for UTF-16": b"UNICODE\0" + text.encode(),
        "UTF-8 without a code": text.encode(),
        "undefined": b"\0" * 8 + text.encode(),
        "named ASCII": b"ASCII\0\0\0" + text.encode(),
    }


def _picture(kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 120, 40)).save(out, kind, **options)
    return out.getvalue()


def cut(content: bytes) -> bytes:
    """The picture without its last third, and with a wrong length in the middle."""
    short = content[: len(content) * 2 // 3]
    return short[:-8] + struct.pack(">I", 0x7FFFFFFF) + short[-4:]
