"""The demo's LoRA files: names, what their sidecars say, and how strongly each of them pulls."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class DemoLora:
    """One LoRA file of the demo with its sidecar.

    ``unet`` and ``te`` give the size of the change relative to the weight it is added to, at strength 1
    (Frobenius norms; 0 leaves the part out). ``tags`` are captions with the number of pictures they stood on.
    """

    path: str
    picture: str
    rank: int
    alpha: float
    unet: float
    te: float
    description: str
    activation: str
    weight: float
    negative: str = ""
    notes: str = ""
    model: str = "SD1"
    tags: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The file's base name without its ending, as a tag writes it."""
        return self.path.rpartition("/")[2]


DEMO_LORAS = (
    DemoLora(
        "styles/ink_wash_v2", "ink", 16, 8, 0.5, 0.3,
        "Wet brush, grey washes and a lot of empty paper.",
        "ink wash, rice paper", 0.8, "photo, glossy",
        "Second version: trained longer on fewer pictures. Calms down below 0.6.",
        tags={"ink wash": 46, "rice paper": 41, "mountain": 18, "heron": 11, "mist": 23, "no humans": 38},
    ),
    DemoLora(
        "styles/film_grain", "grain", 4, 4, 0.4, 0.0,
        "The look of a print that lay in a drawer for thirty years.",
        "film grain, faded print", 0.6, "digital, oversharpened",
        "UNet only, so it combines with anything.",
        tags={"film grain": 64, "faded print": 52, "street": 20, "window light": 17, "1960s": 12},
    ),
    DemoLora(
        "styles/水墨山水", "peaks", 16, 16, 0.5, 0.35,
        "远山、云海与留白。 Far peaks, a sea of cloud, and paper left alone.",
        "水墨, 远山", 0.9, "霓虹",
        tags={"水墨": 58, "远山": 44, "云海": 31, "孤舟": 9, "松树": 14},
    ),
    DemoLora(
        "styles/Paper Cut Layers", "papercut", 8, 4, 0.6, 0.25,
        "Sheets of coloured card, one behind the other, with soft shadows between them.",
        "paper cut, layered card", 0.75, "",
        "Reads well with simple shapes and few of them.",
        tags={"paper cut": 39, "layered card": 39, "soft shadow": 25, "hills": 16, "moon": 13},
    ),
    DemoLora(
        "characters/mira_lighthouse", "lighthouse", 16, 8, 0.35, 0.5,
        "Mira keeps the lighthouse: yellow coat, lantern, wind in every picture.",
        "mira, yellow raincoat, lantern", 0.85, "umbrella",
        tags={"mira": 32, "yellow raincoat": 30, "lantern": 21, "lighthouse": 15, "stormy sea": 12},
    ),
    DemoLora(
        "characters/Old Gardener v1.2", "garden", 8, 8, 0.35, 0.5,
        "A gardener with a straw hat who is never far from his tomatoes.",
        "old gardener, straw hat", 0.8, "",
        "v1.2 knows gloves and watering cans as well.",
        tags={"old gardener": 28, "straw hat": 26, "tomatoes": 12, "watering can": 10, "greenhouse": 9},
    ),
    DemoLora(
        "neon_nights", "neon", 32, 32, 1.8, 0.9,
        "Turns everything into a wet street at midnight. Strong on purpose: half of it is plenty.",
        "neon nights, wet asphalt", 0.5, "daylight",
        tags={"neon nights": 71, "wet asphalt": 60, "reflection": 49, "sign": 33, "night": 71},
    ),
    DemoLora(
        "styles/velvet_dusk_flux", "dusk", 2, 2, 0.4, 0.0,
        "Evening light for Flux. On another model it says that it does not fit.",
        "velvet dusk", 1.0, model="Flux",
        tags={"velvet dusk": 25, "evening": 25, "silhouette": 10},
    ),
)  # fmt: skip
