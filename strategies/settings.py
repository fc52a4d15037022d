"""What PEFT keeps beside the tensors and not in them: alpha, rank-stabilised scaling, the kind of rotation."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class AdapterSettings:
    """PEFT's adapter configuration, as far as it changes the result. Field names are PEFT's."""

    peft_type: str = "LORA"
    alpha: float | None = None
    """`lora_alpha`, for LoHa and LoKr `alpha`."""
    rank: int | None = None
    """`r`."""
    rank_stabilised: bool = False
    """`use_rslora`: alpha/√r instead of alpha/r."""
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    """Regular expression of a module's last part → its alpha."""
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    feedforward: tuple[str, ...] | str = ()
    """`feedforward_modules` of IA3: names, or one regular expression."""
    neumann_terms: int = 5
    """Terms of OFT's approximate rotation; 0 for the exact one."""
    coft_eps: float = 0.0
    """Bound of constrained OFT; 0 where it is off."""
    trains_bias: bool = False
    """Whether the file holds whole biases as `<module>.bias`."""
    prefix: str = ""
    """Modules that the settings are for, in a file that holds several components (`unet`, `text_encoder`)."""

    def scale(self, module: str, rank: int | None) -> float:
        """alpha/r (or alpha/√r) of a module; 1 where the settings have no alpha or the rank is unknown.

        Only LoKr scales by the rank of the settings: there both sides may be whole.
        """
        if rank is None and self.peft_type == "LOKR":
            rank = self._matching(self.rank_pattern, module, self.rank)
        alpha = self._matching(self.alpha_pattern, module, self.alpha)
        if not alpha or not rank:
            return 1.0
        return float(alpha / math.sqrt(rank) if self.rank_stabilised else alpha / rank)

    def is_feedforward(self, module: str) -> bool | None:
        """Whether IA3 scales the inputs of the module; `None` where the settings name none."""
        if not self.feedforward:
            return None
        if isinstance(self.feedforward, str):
            return re.fullmatch(self.feedforward, _bare(module)) is not None
        return any(module == name or module.endswith("." + name) for name in self.feedforward)

    @staticmethod
    def _matching(pattern: Mapping[str, Any], module: str, default: Any) -> Any:
        """PEFT's rule: the first expression that matches the module's name from some dot on."""
        bare = _bare(module)
        for expression, value in pattern.items():
            try:
                if re.match(rf"(.*\.)?({expression})$", bare):
                    return value
            except re.error:
                if bare.endswith(expression):
                    return value
        return default

    @classmethod
    def from_json(cls, value: Mapping[str, Any], prefix: str = "") -> AdapterSettings:
        """Reads the content of an `adapter_config.json`. Unknown fields are ignored, wrong types mean the default."""
        approximate = value.get("use_cayley_neumann", True)
        feedforward = value.get("feedforward_modules") or ()
        return cls(
            peft_type=str(value.get("peft_type", "LORA")).upper(),
            alpha=_number(value.get("lora_alpha", value.get("alpha"))),
            rank=_whole(value.get("r")),
            rank_stabilised=value.get("use_rslora") is True,
            alpha_pattern=_numbers(value.get("alpha_pattern"), _number),
            rank_pattern=_numbers(value.get("rank_pattern"), _whole),
            feedforward=feedforward if isinstance(feedforward, str) else tuple(map(str, feedforward)),
            neumann_terms=(_whole(value.get("num_cayley_neumann_terms")) or 5) if approximate else 0,
            coft_eps=(_number(value.get("eps")) or 6e-5) if value.get("coft") is True else 0.0,
            trains_bias=value.get("bias", "none") not in ("none", None, False),
            prefix=prefix,
        )


@dataclass(frozen=True, slots=True)
class FileSettings:
    """The settings of a file: one, or one for each component that it holds."""

    components: tuple[AdapterSettings, ...] = ()

    def of(self, module: str) -> AdapterSettings | None:
        """The settings for a module, by the longest component name that it begins with.

        Those of a single component are for every module: a file may have been renamed for another program.
        """
        if len(self.components) == 1:
            return self.components[0]
        fitting = [s for s in self.components if not s.prefix or module.startswith(s.prefix + ".")]
        return max(fitting, key=lambda s: len(s.prefix), default=None)

    @classmethod
    def from_components(cls, value: Mapping[str, Any]) -> FileSettings:
        """Reads diffusers' form, in which every field's name begins with the component's: `unet.lora_alpha`."""
        components: dict[str, dict[str, Any]] = {}
        for name, item in value.items():
            prefix, _, field_name = name.rpartition(".")
            components.setdefault(prefix, {})[field_name] = item
        return cls(tuple(AdapterSettings.from_json(fields, prefix) for prefix, fields in components.items()))


def _bare(module: str) -> str:
    return module.removeprefix("base_model.model.")


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _numbers(value: object, read: Any) -> dict[str, Any]:
    items: Iterable[tuple[object, object]] = value.items() if isinstance(value, Mapping) else ()
    return {str(key): number for key, item in items if (number := read(item)) is not None}
