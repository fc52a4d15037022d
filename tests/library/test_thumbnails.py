"""Small pictures: scaled, cached by version, bounded."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from lora_deck.library import thumbnails
from lora_deck.library.pictures import Preview
from lora_deck.library.previews import sniff
from lora_deck.library.thumbnails import ThumbnailError, Thumbnails
from PIL import Image


def preview(path: Path, version: str = "1") -> Preview:
    return Preview(sniff(path.read_bytes()[:32]) or "", path, None, version)


def opened(content: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(content))
    assert picture.format == "WEBP"
    return picture


@pytest.mark.parametrize("fmt", ["PNG", "JPEG", "WEBP", "GIF"])
def test_scaled_webp(tmp_path: Path, fmt: str) -> None:
    Image.new("RGB", (900, 300), "red").save(tmp_path / "a.png", fmt)
    content = Thumbnails(tmp_path / "t").get("lora", preview(tmp_path / "a.png"), 256)
    assert opened(content).size == (256, 85)
    red, green, blue = opened(content).convert("RGB").getpixel((9, 9))  # type: ignore[misc]
    assert red > 200 and green < 40 and blue < 40


def test_turned_as_exif_says_and_transparent(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (200, 100)).save(tmp_path / "a.jpg", exif=exif)
    assert opened(Thumbnails(tmp_path / "t").get("l", preview(tmp_path / "a.jpg"), 128)).size == (64, 128)
    Image.new("RGBA", (10, 10), (0, 0, 0, 0)).save(tmp_path / "b.png")
    small = opened(Thumbnails(tmp_path / "t").get("l", preview(tmp_path / "b.png"), 128))
    assert small.mode == "RGBA" and small.size == (10, 10)


def test_the_first_frame_of_a_video(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="the host brings av; without it videos have no still")
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as video:
        stream = video.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 320, 160, "yuv420p"
        for _ in range(3):
            frame = av.VideoFrame.from_image(Image.new("RGB", (320, 160), "blue"))
            video.mux(stream.encode(frame))
        video.mux(stream.encode())
    assert opened(Thumbnails(tmp_path / "t").get("l", preview(path), 128)).size == (128, 64)


def test_made_once_and_anew_for_a_new_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (20, 20), "red").save(tmp_path / "a.png")
    made: list[int] = []
    real = thumbnails.make
    monkeypatch.setattr(thumbnails, "make", lambda p, side: (made.append(side), real(p, side))[1])
    cache = Thumbnails(tmp_path / "t")
    first = cache.get("l", preview(tmp_path / "a.png"), 200)
    assert cache.get("l", preview(tmp_path / "a.png"), 256) == first and made == [256]
    assert Thumbnails(tmp_path / "t").get("l", preview(tmp_path / "a.png"), 200) == first and made == [256]
    Image.new("RGB", (20, 20), "blue").save(tmp_path / "a.png")
    assert cache.get("l", preview(tmp_path / "a.png", "2"), 200) != first
    cache.get("l", preview(tmp_path / "a.png", "2"), 100_000)
    assert made == [256, 256, 1024]


def test_the_folder_stays_below_its_bound(tmp_path: Path) -> None:
    bound = 60_000
    cache = Thumbnails(tmp_path / "t", bound)
    for number in range(60):
        (tmp_path / "a.png").unlink(missing_ok=True)
        Image.frombytes("RGB", (64, 64), os.urandom(64 * 64 * 3)).save(tmp_path / "a.png")
        cache.get("l", preview(tmp_path / "a.png", str(number)), 128)
    kept = [p.stat().st_size for p in (tmp_path / "t").rglob("*.webp")]
    assert 0 < sum(kept) <= bound + bound // 8


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n" + b"x" * 90, b"\xff\xd8\xff\xe0", b"RIFF\0\0\0\0WEBPxx",
                                     b"\0\0\0\x18ftypmp42" + b"x" * 80, b"\x1aE\xdf\xa3" + b"x" * 60])  # fmt: skip
def test_what_cannot_be_decoded_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ThumbnailError, match=r"\w{4}"):
        Thumbnails(tmp_path / "t").get("l", preview(tmp_path / "a.png"), 128)
