"""The previews of the demo's LoRA files, each painted by a few lines; the same on every run."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .canvas import (
    HEIGHT,
    WIDTH,
    Colour,
    Picture,
    Points,
    below,
    blurred,
    clouds,
    darken,
    disc,
    gradient,
    image,
    noise,
    paint,
    polygon,
    ridge,
    shifted,
    shine,
    stroke,
    vignette,
)

Painter = Callable[[np.random.Generator], Picture]


def write_picture(motif: str, path: Path) -> None:
    """Paints ``motif`` (a key of ``MOTIFS``) as a PNG of 512×768."""
    number, painter = MOTIFS[motif]
    image(painter(np.random.default_rng(number))).save(path, optimize=True)


def _ink(rng: np.random.Generator) -> Picture:
    """Ink mountains that fade into paper, a few birds and a red seal."""
    picture = gradient((0, (240, 234, 219)), (1, (231, 222, 203)))
    picture = darken(picture, clouds(rng, 40, 5), 0.05)
    picture = darken(picture, noise(rng, 2), 0.04)
    for number, base in enumerate((300, 400, 500, 620)):
        line = base - 95 * ridge(rng, 0.55, 220) - 20 * number
        depth = np.clip(1 - (np.arange(HEIGHT)[:, None] - line[None, :]) / (150 + 25 * number), 0, 1)
        wash = below(line, 3) * depth**1.4 * (0.75 + 0.5 * clouds(rng, 60, 4))
        picture = paint(picture, wash, (38, 44, 52), 0.26 + 0.17 * number)
    for x, y, size in ((330, 120, 13), (368, 140, 9), (300, 150, 8)):
        wing: Points = [(x - size, y - size * 0.5), (x - size * 0.3, y - size * 0.35), (x, y)]
        picture = paint(picture, stroke(wing, 2.2), (45, 45, 50), 0.85)
        picture = paint(picture, stroke([(2 * x - a, b) for a, b in wing], 2.2), (45, 45, 50), 0.85)
    seal = polygon([(432, 668), (474, 666), (476, 710), (434, 712)])
    picture = paint(picture, seal * (0.75 + 0.25 * noise(rng, 3)), (168, 44, 36))
    for points in (
        [(441, 677), (441, 702)],
        [(452, 676), (452, 703)],
        [(441, 690), (467, 689)],
        [(465, 676), (466, 702)],
    ):
        picture = paint(picture, stroke(points, 2.4), (240, 228, 210))
    return picture


def _grain(rng: np.random.Generator) -> Picture:
    """A faded seaside print with a white border."""
    picture = gradient(
        (0, (150, 178, 178)),
        (0.35, (226, 196, 150)),
        (0.52, (241, 178, 116)),
        (0.53, (104, 132, 134)),
        (0.8, (74, 100, 104)),
        (1, (190, 160, 122)),
    )
    sun = disc(300, 330, 46)
    picture = shine(picture, blurred(sun, 40), (255, 200, 130), 0.9)
    picture = paint(picture, sun, (255, 236, 196))
    ripples = (clouds(rng, 14, 3, stretch=6) > 0.56) * below(np.full(WIDTH, 408.0))
    path = np.exp(-(((np.arange(WIDTH)[None, :] - 300) / (30 + np.arange(HEIGHT)[:, None] * 0.12)) ** 2))
    picture = shine(picture, ripples * path, (255, 208, 150), 0.8)
    picture = shine(picture, ripples * 1.0, (220, 220, 200), 0.12)
    shore = 640 + 14 * ridge(rng, 0.4, 260)
    picture = paint(picture, below(shore, 6), gradient((0.8, (196, 166, 128)), (1, (150, 122, 92))))
    picture = shine(picture, below(shore - 10, 8) - below(shore + 6, 8), (255, 250, 235), 0.5)
    picture = picture * 0.84 + 0.1
    picture = darken(picture, vignette(), 0.5)
    picture += rng.normal(0, 0.055, (HEIGHT, WIDTH, 1))
    inside = polygon([(26, 26), (486, 26), (486, 690), (26, 690)])
    border = gradient((0, (236, 230, 216)), (1, (228, 220, 204)))
    return paint(border, inside, np.clip(picture, 0, 1))


def _peaks(rng: np.random.Generator) -> Picture:
    """Blue-green peaks above a sea of cloud, a pale moon, a boat."""
    picture = gradient((0, (226, 231, 214)), (0.45, (244, 236, 212)), (1, (214, 224, 214)))
    picture = paint(picture, disc(372, 132, 44), (250, 247, 230))
    layers: tuple[tuple[float, float, Colour, Colour], ...] = (
        (260, 70, (176, 196, 188), (226, 230, 214)),
        (350, 130, (112, 158, 156), (206, 218, 204)),
        (450, 110, (58, 118, 122), (190, 208, 196)),
        (560, 70, (28, 78, 88), (150, 182, 174)),
    )
    for base, height, top, foot in layers:
        line = base - height * np.abs(ridge(rng, 0.6, 150)) ** 0.9
        fall = np.clip((np.arange(HEIGHT)[:, None] - line[None, :]) / 170, 0, 1)[..., None]
        body = np.array(top) / 255 * (1 - fall) + np.array(foot) / 255 * fall
        picture = paint(picture, below(line, 2), body * (0.93 + 0.12 * clouds(rng, 24, 3))[..., None])
        mist = clouds(rng, 50, 4, stretch=3.5)
        band = np.exp(-(((np.arange(HEIGHT)[:, None] - base - 40) / 46) ** 2))
        picture = paint(picture, np.clip(mist * 1.7 - 0.35, 0, 1) * band, (247, 244, 230), 0.95)
    picture = paint(picture, below(np.full(WIDTH, 640.0), 90), (218, 228, 218), 0.9)
    boat: Points = [(196, 694), (212, 703), (268, 703), (288, 692), (262, 698), (222, 699)]
    picture = paint(picture, polygon(boat), (48, 52, 52))
    picture = paint(picture, polygon([(238, 698), (240, 676), (247, 676), (248, 698)]), (48, 52, 52))
    picture = paint(picture, polygon([(230, 680), (244, 666), (258, 680)]), (150, 96, 60))
    return darken(picture, shifted(polygon(boat), 0, 12) * 0.5, 0.25)


def _papercut(rng: np.random.Generator) -> Picture:
    """Sheets of card, each with its shadow, around a moon."""
    picture = gradient((0, (255, 214, 170)), (1, (255, 170, 140)))
    picture = paint(picture, disc(262, 250, 92), (255, 244, 214))
    sheets: tuple[tuple[float, float, Colour], ...] = (
        (330, 70, (246, 150, 120)), (410, 60, (226, 108, 108)), (490, 60, (176, 76, 110)),
        (570, 50, (116, 58, 106)), (650, 45, (66, 42, 88)),
    )  # fmt: skip
    columns = np.arange(WIDTH)
    for base, height, colour in sheets:
        phase, length = rng.uniform(0, 7), rng.uniform(60, 110)
        line = base + height * (np.sin(columns / length + phase) + 0.35 * np.sin(columns / 31 + 2 * phase)) / 1.35
        sheet = below(line)
        picture = darken(picture, blurred(shifted(sheet, 6, -9), 12), 0.38)
        tone = (np.array(colour) / 255)[None, None, :] * (0.97 + 0.05 * noise(rng, 2))[..., None]
        picture = paint(picture, sheet, tone)
        picture = shine(picture, sheet - shifted(sheet, 0, 2), (255, 240, 220), 0.35)
    for x, y, size in ((92, 560, 60), (430, 520, 74), (360, 640, 52)):
        for level in range(3):
            width, top = size * (0.42 + 0.16 * level), y - size + level * size * 0.42
            tree = polygon([(x, top - size * 0.5), (x - width, top + size * 0.42), (x + width, top + size * 0.42)])
            picture = darken(picture, blurred(shifted(tree, 4, 5), 5), 0.3)
            picture = paint(picture, tree, (38, 84 + 14 * level, 96))
    frame = 1 - disc(256, 384, 300, 1.38)
    picture = darken(picture, blurred(shifted(frame, 5, 8), 14), 0.4)
    return paint(picture, frame, (40, 30, 66))


def _lighthouse(rng: np.random.Generator) -> Picture:
    """A lighthouse in a storm; somebody in a yellow coat."""
    picture = gradient((0, (18, 34, 58)), (0.5, (58, 92, 112)), (0.62, (122, 140, 138)))
    storm = clouds(rng, 130, 5, stretch=1.8)
    picture = paint(
        picture, np.clip(storm * 2 - 0.7, 0, 1) * (1 - below(np.full(WIDTH, 430.0), 160)), (22, 34, 52), 0.75
    )
    beam = polygon([(352, 202), (-60, 60), (-60, 300), (352, 218)])
    picture = shine(picture, blurred(beam, 14) * (0.55 + 0.3 * storm), (255, 232, 160), 0.75)
    picture = paint(picture, polygon([(322, 560), (336, 240), (368, 240), (384, 560)]), (226, 222, 210))
    for top in (290, 390, 490):
        spread = (top - 240) / 320 * 15
        stripe: Points = [
            (336 - spread * 0.93, top),
            (368 + spread, top),
            (370 + spread + 2, top + 50),
            (334 - spread - 2, top + 50),
        ]
        picture = paint(picture, polygon(stripe), (176, 54, 48))
    picture = darken(picture, polygon([(356, 240), (368, 240), (384, 560), (358, 560)]), 0.28)
    picture = paint(picture, polygon([(326, 240), (378, 240), (374, 230), (330, 230)]), (44, 48, 58))
    picture = paint(picture, polygon([(337, 230), (367, 230), (367, 192), (337, 192)]), (255, 238, 170))
    picture = paint(picture, polygon([(332, 194), (372, 194), (352, 168)]), (150, 44, 42))
    picture = shine(picture, blurred(disc(352, 211, 34), 22), (255, 230, 150), 0.9)
    rock = 556 - 30 * ridge(rng, 0.5, 120) + 150 * np.clip((250 - np.arange(WIDTH)) / 120, 0, 1) ** 2
    picture = paint(picture, below(rock, 2), gradient((0.7, (52, 54, 60)), (0.9, (26, 30, 38))))
    coat: Points = [(286, 562), (290, 524), (300, 516), (310, 524), (316, 562)]
    picture = paint(picture, polygon(coat), (246, 190, 40))
    picture = darken(picture, polygon([(302, 518), (310, 524), (316, 562), (304, 562)]), 0.2)
    picture = paint(picture, disc(300, 512, 9), (250, 200, 60))
    picture = paint(picture, polygon([(291, 562), (297, 562), (297, 574), (291, 574)]), (36, 36, 44))
    picture = paint(picture, polygon([(304, 562), (310, 562), (310, 574), (304, 574)]), (36, 36, 44))
    picture = shine(picture, blurred(disc(280, 546, 7), 6), (255, 220, 130), 1.0)
    for number, base in enumerate((588, 632, 682, 734)):
        line = base - (14 + 6 * number) * (
            np.sin(np.arange(WIDTH) / (32 + 8 * number) + 2 * number) + 0.5 * ridge(rng, 0.5, 60)
        )
        sea = gradient((0.7, (40 - 6 * number, 92 - 12 * number, 108 - 12 * number)), (1, (10, 34, 50)))
        picture = paint(picture, below(line, 2), sea)
        foam = (below(line, 2) - below(line + 9, 10)) * np.clip(clouds(rng, 16, 3) * 2.2 - 0.6, 0, 1)
        picture = paint(picture, foam, (226, 236, 232), 0.9)
    return darken(picture, vignette(), 0.45)


def _garden(rng: np.random.Generator) -> Picture:
    """Tomatoes and a straw hat in greenhouse light."""
    picture = gradient((0, (226, 240, 206)), (0.6, (150, 196, 130)), (1, (70, 112, 66)))
    for foot in range(-40, WIDTH + 80, 92):
        bar = stroke([(foot, 0), (foot * 0.7 + 78, 420)], 7)
        picture = shine(picture, blurred(bar, 2), (255, 255, 245), 0.55)
    picture = shine(picture, blurred(disc(400, 90, 110), 60), (255, 250, 210), 0.8)
    leaves = [
        (rng.uniform(-20, 530), rng.uniform(200, 790), rng.uniform(26, 52), rng.uniform(0, 6.3)) for _ in range(130)
    ]
    for x, y, size, angle in sorted(leaves, key=lambda leaf: leaf[1]):
        shade = (y - 200) / 590
        colour = (int(118 - 76 * shade), int(170 - 70 * shade), int(84 - 38 * shade))
        leaf = polygon(_leaf(x, y, size, angle))
        picture = darken(picture, blurred(shifted(leaf, 3, 6), 5), 0.22)
        picture = paint(picture, leaf, colour)
        tip = (x + size * math.cos(angle), y + size * math.sin(angle))
        picture = shine(picture, stroke([(x, y), tip], 1.4), (190, 220, 140), 0.5)
    for x, y, radius in ((120, 470, 38), (196, 520, 46), (404, 420, 40), (86, 580, 34), (330, 350, 28), (440, 510, 32)):
        fruit = disc(x, y, radius, 0.92)
        picture = darken(picture, blurred(shifted(fruit, 5, 12), 9), 0.4)
        picture = paint(picture, fruit, (214, 58, 38))
        picture = darken(picture, fruit * blurred(disc(x + radius * 0.5, y + radius * 0.5, radius * 0.8), 16), 0.35)
        picture = shine(
            picture, blurred(disc(x - radius * 0.35, y - radius * 0.38, radius * 0.26), 5), (255, 224, 200), 0.9
        )
        for spoke in range(5):
            angle = spoke * 1.257 + x
            tip = (x + 22 * math.cos(angle), y - radius * 0.8 + 12 * math.sin(angle))
            point = [(x - 4, y - radius * 0.8), (x + 4, y - radius * 0.8), tip]
            picture = paint(picture, polygon(point), (52, 104, 44))
    picture = darken(picture, blurred(disc(290, 672, 150, 0.3), 16), 0.45)
    picture = paint(picture, disc(284, 650, 150, 0.3), (226, 188, 112))
    picture = paint(picture, disc(284, 646, 128, 0.24), (240, 206, 134))
    crown = disc(284, 606, 76, 0.74) * (1 - below(np.full(WIDTH, 644.0)))
    picture = paint(picture, crown, (236, 200, 126))
    picture = darken(picture, crown * blurred(disc(336, 620, 50), 20), 0.22)
    band = crown * below(np.full(WIDTH, 622.0))
    picture = paint(picture, band, (134, 62, 48))
    for ring in range(5):
        weave = disc(284, 648, 146 - 13 * ring, 0.29) - disc(284, 648, 143 - 13 * ring, 0.288)
        picture = darken(picture, weave * (1 - crown), 0.14)
    return darken(picture, vignette(), 0.35)


def _leaf(x: float, y: float, size: float, angle: float) -> Points:
    along = [(t / 10, 0.28 * math.sin(math.pi * t / 10) ** 0.8) for t in range(11)]
    shape = along + [(t, -w) for t, w in reversed(along)]
    c, s = math.cos(angle), math.sin(angle)
    return [(x + size * (t * c - w * s), y + size * (t * s + w * c)) for t, w in shape]


def _neon(rng: np.random.Generator) -> Picture:
    """Signs over a wet street."""
    picture = gradient((0, (16, 12, 40)), (0.35, (44, 22, 78)), (0.6, (70, 26, 84)), (1, (12, 10, 30)))
    ground = 500
    picture = shine(picture, blurred(disc(256, 470, 90), 60), (255, 80, 160), 0.75)
    for side in (-1, 1):
        for depth in range(4):
            near = 256 + side * (66 + 58 * depth)
            far = 256 + side * (66 + 58 * depth + 120)
            top = 330 - 100 * depth
            wall: Points = [(near, top + 26), (far, top - 40), (far, ground + 60), (near, ground + 8 + 10 * depth)]
            picture = paint(picture, polygon(wall), (18 + 4 * (3 - depth), 14, 38 + 8 * (3 - depth)))
            for row in range(5 + 2 * depth):
                for column in range(2):
                    if rng.random() < 0.4:
                        x = near + side * (10 + 24 * column)
                        y = top + 60 + row * 34
                        window = polygon([(x, y), (x + side * 11, y - 3), (x + side * 11, y + 11), (x, y + 13)])
                        picture = shine(picture, window, (255, 196, 120), 0.45)
    hues: tuple[Colour, ...] = ((255, 40, 130), (40, 220, 255), (255, 160, 40), (160, 90, 255), (60, 255, 170))
    signs = (
        (176, 250, 22, 110),
        (338, 236, 20, 130),
        (112, 150, 30, 150),
        (398, 130, 32, 160),
        (60, 320, 26, 90),
        (452, 318, 24, 92),
    )
    for number, (x, y, width, height) in enumerate(signs):
        hue = hues[number % len(hues)]
        box = polygon([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])
        tube = box - polygon(
            [(x + 3, y + 3), (x + width - 3, y + 3), (x + width - 3, y + height - 3), (x + 3, y + height - 3)]
        )
        glyphs = sum(
            stroke([(x + 8, yy), (x + width - 8, yy + rng.integers(-4, 5))], 2.4)
            + stroke([(x + width / 2, yy - 5), (x + width / 2 + rng.integers(-5, 6), yy + 7)], 2.4)
            for yy in range(y + 16, y + height - 8, 20)
        )
        light = np.clip(tube + glyphs, 0, 1)
        picture = shine(picture, blurred(light, 16) * 2.4, hue, 1.0)
        picture = shine(picture, blurred(light, 3), hue, 0.9)
        picture = shine(picture, light, (255, 235, 245), 0.85)
    mirror = np.flip(picture[: ground - 60], axis=0)[: HEIGHT - ground]
    wave = (3 + 9 * np.linspace(0, 1, len(mirror)))[:, None] * (clouds(rng, 12, 3, stretch=3)[: len(mirror)] - 0.5)
    columns = np.clip(np.arange(WIDTH)[None, :] + wave * 1.5, 0, WIDTH - 1).astype(int)
    wet = np.take_along_axis(mirror, columns[..., None], axis=1) * 0.72
    wet[:, :, 2] += 0.03
    picture[ground : ground + len(wet)] = wet
    picture = shine(picture, blurred(stroke([(0, ground), (WIDTH, ground)], 2), 3), (255, 120, 200), 0.4)
    person = polygon([(246, 548), (250, 470), (256, 462), (264, 470), (269, 548)]) + disc(257, 455, 8)
    person += disc(257, 444, 30, 0.5) * (1 - below(np.full(WIDTH, 446.0)))
    picture = paint(picture, person, (10, 8, 22))
    picture = paint(picture, shifted(np.flip(person, 0), 0, 2 * 548 - HEIGHT), (10, 8, 22), 0.55)
    return darken(picture, vignette(), 0.4)


def _dusk(rng: np.random.Generator) -> Picture:
    """Velvet hills after sunset."""
    picture = gradient(
        (0, (34, 22, 66)), (0.3, (92, 44, 104)), (0.52, (206, 88, 104)), (0.64, (250, 168, 112)), (1, (250, 190, 130))
    )
    stars = (rng.random((HEIGHT, WIDTH)) > 0.9988) * (1 - below(np.full(WIDTH, 200.0), 300))
    picture = shine(picture, blurred(stars * 1.0, 0.8) * 3, (255, 240, 230), 0.9)
    streaks = np.clip(clouds(rng, 46, 4, stretch=5) * 2.4 - 1.15, 0, 1)
    picture = paint(picture, streaks * np.exp(-(((np.arange(HEIGHT)[:, None] - 330) / 120) ** 2)), (255, 150, 130), 0.5)
    picture = shine(picture, blurred(disc(190, 492, 40), 34), (255, 210, 150), 0.9)
    hills: tuple[tuple[float, Colour, Colour], ...] = (
        (500, (150, 66, 100), (206, 110, 110)), (560, (96, 42, 88), (150, 70, 100)),
        (630, (54, 28, 70), (92, 42, 86)), (700, (24, 14, 42), (40, 22, 58)),
    )  # fmt: skip
    for base, top, foot in hills:
        line = base - 46 * ridge(rng, 0.33, 240)
        picture = paint(
            picture, below(line, 1.5), gradient((base / HEIGHT - 0.08, top), (min(1, base / HEIGHT + 0.16), foot))
        )
    branches: list[tuple[float, float, float, float, int]] = [(392, 740, -math.pi / 2, 96, 0)]
    tree = np.zeros((HEIGHT, WIDTH))
    while branches:
        x, y, angle, length, level = branches.pop()
        end = (x + length * math.cos(angle), y + length * math.sin(angle))
        tree = np.maximum(tree, stroke([(x, y), end], max(1.2, 11 * 0.62**level)))
        if level < 6:
            for turn in (-0.42, 0.38):
                branches.append((*end, angle + turn + rng.normal(0, 0.12), length * rng.uniform(0.66, 0.8), level + 1))
    return darken(paint(picture, tree, (20, 12, 36)), vignette(), 0.3)


MOTIFS: dict[str, tuple[int, Painter]] = {
    "ink": (3, _ink),
    "grain": (5, _grain),
    "peaks": (8, _peaks),
    "papercut": (13, _papercut),
    "lighthouse": (21, _lighthouse),
    "garden": (34, _garden),
    "neon": (55, _neon),
    "dusk": (89, _dusk),
}
