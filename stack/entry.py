"""One LoRA of a stack, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .rank_limit import RankLimit

SamplingPass = Literal["first", "hires"]


@dataclass(frozen=True, slots=True)
class LoraEntry:
    """Everything that a tag can say about one LoRA.

    Weights are factors of the full-strength change: 0 leaves the model untouched, 1 applies it as trained.
    """

    name: str
    """As written, with `/` between folders; `library.resolve` finds the file."""
    te: float = 1.0
    """Weight for text encoders."""
    unet: float = 1.0
    """Weight for the diffusion model, whether it is a UNet or a DiT."""
    dyn: int | None = None
    """Rank limit; `None` uses the whole rank."""
    lbw: str | None = None
    """Block weights in the language of the `lbw=` key, not yet resolved against a model."""
    lbwe: str | None = None
    """Element weights in the language of the `lbwe=` key."""
    x: float | None = None
    """Base value of `X` items inside `lbw`."""
    hr_te: float | None = None
    """Text encoder weight in the hires pass; `None` falls back to `te`."""
    hr_unet: float | None = None
    """Diffusion model weight in the hires pass; `None` falls back to `unet`."""
    extra: tuple[tuple[str, str], ...] = ()
    """Keys of other programs' tags, as written, in order; they are kept and reported, not applied."""
    unknown: tuple[tuple[str, str], ...] = ()
    """Fields of the JSON form that this version does not know: (key, JSON text)."""
    rank_limit: RankLimit | None = None
    """A rank limit of a kind that tags do not have, in the place of `dyn`."""

    def weights(self, sampling_pass: SamplingPass = "first") -> tuple[float, float]:
        """(te, unet) for a sampling pass; hires weights fall back to the first pass's."""
        if sampling_pass == "first":
            return self.te, self.unet
        te = self.te if self.hr_te is None else self.hr_te
        unet = self.unet if self.hr_unet is None else self.hr_unet
        return te, unet
