"""What the pictures are painted with: gradients, noise, ridges, shadows.

A picture is a float array ``(768, 512, 3)``, a mask ``(768, 512)``, both from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Picture = NDArray[np.float64]
Mask = NDArray[np.float64]
Colour = tuple[int, int, int]
Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 512, 768
# Shapes are drawn this much larger and scaled down, for smooth edges.
OVERSAMPLING = 2


def rgb(colour: Colour) -> NDArray[np.float64]:
    return np.array(colour) / 255


def gradient(*stops: tuple[float, Colour]) -> Picture:
    """A vertical gradient through colours at heights from 0 (top) to 1 (bottom)."""
    heights = np.linspace(0, 1, HEIGHT)
    places = [place for place, _ in stops]
    channels = [np.interp(heights, places, [colour[c] / 255 for _, colour in stops]) for c in range(3)]
    return np.repeat(np.stack(channels, axis=1)[:, None, :], WIDTH, axis=1)


def noise(rng: np.random.Generator, cell_x: float, cell_y: float | None = None) -> Mask:
    """Smooth noise between 0 and 1 with cells of the given size in pixels."""
    rows = max(2, round(HEIGHT / (cell_y or cell_x)))
    columns = max(2, round(WIDTH / cell_x))
    cells = Image.fromarray((rng.random((rows, columns)) * 255).astype(np.uint8))
    return np.asarray(cells.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)) / 255.0


def clouds(rng: np.random.Generator, cell: float, octaves: int = 4, stretch: float = 1.0) -> Mask:
    """Fractal noise between 0 and 1; ``stretch`` widens it sideways."""
    total, weight = np.zeros((HEIGHT, WIDTH)), 0.0
    for octave in range(octaves):
        size = max(2.0, cell / 2**octave)
        total += noise(rng, size * stretch, size) / 2**octave
        weight += 1 / 2**octave
    return total / weight


def ridge(rng: np.random.Generator, roughness: float = 0.5, cell: float = 180.0) -> NDArray[np.float64]:
    """A skyline of one value per column, about -1 to 1."""
    columns, line, size, height = np.arange(WIDTH), np.zeros(WIDTH), cell, 1.0
    while size > 3:
        knots = int(WIDTH / size) + 3
        offset = rng.random() * size
        line += height * np.interp(columns + offset, np.arange(knots) * size, rng.uniform(-1, 1, knots))
        size, height = size / 2, height * roughness
    return np.convolve(np.pad(line, 2, mode="edge"), np.ones(5) / 5, mode="valid")


def below(line: NDArray[np.float64], softness: float = 1.0) -> Mask:
    """1 below a skyline given in pixels from the top, 0 above it."""
    rows = np.arange(HEIGHT)[:, None]
    return np.clip((rows - line[None, :]) / softness + 0.5, 0, 1)


def polygon(outline: Points) -> Mask:
    return _drawn(lambda draw: draw.polygon(_large(outline), fill=255))


def disc(x: float, y: float, radius: float, squash: float = 1.0) -> Mask:
    box = [(x - radius, y - radius * squash), (x + radius, y + radius * squash)]
    return _drawn(lambda draw: draw.ellipse([c for point in _large(box) for c in point], fill=255))


def stroke(points: Points, width: float) -> Mask:
    return _drawn(lambda draw: draw.line(_large(points), fill=255, width=round(width * OVERSAMPLING), joint="curve"))


def blurred(mask: Mask, radius: float) -> Mask:
    image = Image.fromarray((np.clip(mask, 0, 1) * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius))) / 255.0


def shifted(mask: Mask, dx: int, dy: int) -> Mask:
    return np.roll(mask, (dy, dx), (0, 1))


def paint(picture: Picture, mask: Mask, colour: Colour | Picture, strength: float = 1.0) -> Picture:
    """``colour`` (one, or a picture) laid over ``picture`` where the mask is."""
    over = colour if isinstance(colour, np.ndarray) else rgb(colour)
    share = (np.clip(mask, 0, 1) * strength)[..., None]
    return picture * (1 - share) + over * share


def shine(picture: Picture, mask: Mask, colour: Colour, strength: float = 1.0) -> Picture:
    """Light added where the mask is."""
    return 1 - (1 - picture) * (1 - np.clip(mask, 0, 1)[..., None] * rgb(colour) * strength)


def darken(picture: Picture, mask: Mask, strength: float) -> Picture:
    return picture * (1 - np.clip(mask, 0, 1) * strength)[..., None]


def vignette() -> Mask:
    """0 in the middle, 1 in the corners."""
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    distance: Mask = np.clip((x**2 + y**2) / 2, 0, 1)
    return distance**1.5


def image(picture: Picture) -> Image.Image:
    return Image.fromarray((np.clip(picture, 0, 1) * 255).round().astype(np.uint8))


def _drawn(draw_on: Callable[[ImageDraw.ImageDraw], object]) -> Mask:
    sheet = Image.new("L", (WIDTH * OVERSAMPLING, HEIGHT * OVERSAMPLING))
    draw_on(ImageDraw.Draw(sheet))
    return np.asarray(sheet.resize((WIDTH, HEIGHT), Image.Resampling.BOX)) / 255.0


def _large(points: Points) -> list[tuple[float, float]]:
    return [(x * OVERSAMPLING, y * OVERSAMPLING) for x, y in points]
