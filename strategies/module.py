"""One module's tensors while the families read them, with what all of them share: alpha, `scale`, PEFT's settings."""

from __future__ import annotations

import math

from torch import Tensor

from .base import StrategyError
from .settings import AdapterSettings


def scale_of(alpha: float, rank: int | None) -> float:
    """alpha/rank; an alpha of zero means rank, as the trainers have it, and so does one without a rank."""
    return alpha / rank if alpha and rank else 1.0


class ModuleTensors:
    """Tensors by canonical ending; what a family takes is gone for the next."""

    def __init__(self, name: str, tensors: dict[str, Tensor], settings: AdapterSettings | None = None) -> None:
        self.name = name
        self.settings = settings
        self._tensors = dict(tensors)
        self._scale = self._number("scale")
        self._alpha = self._number("alpha")

    @property
    def left(self) -> tuple[str, ...]:
        """Endings that nobody took."""
        return tuple(self._tensors)

    def __contains__(self, ending: str) -> bool:
        return ending in self._tensors

    def dimensions(self, ending: str) -> int | None:
        """Number of dimensions of a tensor that stays, `None` where there is none."""
        tensor = self._tensors.get(ending)
        return None if tensor is None else tensor.ndim

    def take(self, *endings: str) -> tuple[Tensor, ...] | None:
        """The tensors of all these endings, or `None` and nothing taken where one is missing."""
        for ending in endings:
            if ending not in self._tensors:
                return None
        return tuple(self._tensors.pop(ending) for ending in endings)

    def take_one(self, ending: str) -> Tensor | None:
        """The tensor of this ending, `None` where there is none."""
        return self._tensors.pop(ending, None)

    @property
    def alpha(self) -> float | None:
        """As the file has it, without the meaning that a family gives to zero."""
        return self._alpha

    def scale(self, rank: int | None) -> float:
        """What the difference is multiplied by: the key `scale`, else alpha/rank, else PEFT's setting, else 1.

        An alpha of zero means rank, as the trainers have it. `rank`: `None` for families without one.
        """
        if self._scale is not None:
            return self._scale
        if self._alpha is not None:
            return scale_of(self._alpha, rank)
        if self.settings is not None:
            return self.settings.scale(self.name, rank)
        return 1.0

    def _number(self, ending: str) -> float | None:
        tensor = self._tensors.pop(ending, None)
        if tensor is None:
            return None
        if tensor.numel() != 1 or not math.isfinite(number := float(tensor.item())):
            raise StrategyError(f"its {ending} is no finite number")
        return number
