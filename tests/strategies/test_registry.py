"""Which keys form a module, which family claims it, and what is said about the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from lora_deck.strategies import (
    AdapterSettings,
    Claim,
    ConflictError,
    Family,
    FileSettings,
    ModuleTensors,
    Strategy,
    StrategyError,
    base,
    check_values,
    pack,
    read,
    register_strategy,
    registry,
    unpack,
)


def tensors(module: str, **shapes: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Random tensors; `__` in an ending stands for a dot."""
    return {f"{module}.{ending.replace('__', '.')}": torch.randn(shape) for ending, shape in shapes.items()}


LORA = {"lora_up__weight": (8, 2), "lora_down__weight": (2, 6), "alpha": ()}
PEFT = {"lora_B__weight": (8, 2), "lora_A__weight": (2, 6)}
LOHA = {"hada_w1_a": (8, 2), "hada_w1_b": (2, 6), "hada_w2_a": (8, 2), "hada_w2_b": (2, 6)}


def test_a_weight_family_and_a_bias_are_one_module() -> None:
    found = read(tensors("a", **LORA, diff_b=(8,)))
    assert not found.unrecognised and not found.broken
    (module,) = found.modules.values()
    assert module.family == "lora" and set(module.parameters) == {"weight", "bias"}
    assert set(module.keys) == {"a.lora_up.weight", "a.lora_down.weight", "a.alpha", "a.diff_b"}
    for alone in ({"diff_b": (8,)}, {"b_norm": (8,)}, {"w_norm": (8,)}):
        (module,) = read(tensors("a", **alone)).modules.values()
        assert len(module.parameters) == 1


@pytest.mark.parametrize(
    ("second", "named"),
    [
        (LOHA, r"'a'.*its weight twice: as lora \(lora_up, lora_down\) and as loha"),
        (PEFT, r"as lora \(lora_up, lora_down\) and as lora \(lora_B, lora_A\)"),
        ({"diff": (8, 6)}, "as lora .* and as full"),
        ({"oft_blocks": (2, 4, 4)}, "as lora .* and as oft"),
        ({"lora_up__bias": (8,), "diff_b": (8,)}, "its bias twice: as lora .* and as full"),
    ],
)
def test_two_claims_on_one_parameter_name_both(second: dict[str, tuple[int, ...]], named: str) -> None:
    with pytest.raises(ConflictError, match=named):
        read(tensors("a", **LORA, **second))


def test_two_keys_that_mean_the_same_are_refused() -> None:
    both = {**tensors("a", **PEFT), "a.lora_B.second.weight": torch.randn(8, 2)}
    with pytest.raises(ConflictError, match=r"a\.lora_B\.weight.*a\.lora_B\.second\.weight"):
        read(both)


def test_what_nobody_recognises_is_named_and_the_rest_is_read() -> None:
    found = read(
        {
            **tensors("a", **LORA, surprise=(3,)),
            **tensors("b", q_layer__weight=(2, 6), p_layer__weight=(8, 2), lambda_layer=(1, 2), alpha=()),
            **tensors("c", lora_up__weight=(8, 2), alpha=()),
            "loose": torch.zeros(1),
        }
    )
    assert list(found.modules) == ["a"]
    assert set(found.unrecognised) == {
        "a.surprise",
        "b.q_layer.weight",
        "b.p_layer.weight",
        "b.lambda_layer",
        "b.alpha",
        "c",
        "loose",
    }


def test_a_broken_module_is_named_and_the_rest_is_read() -> None:
    sick = tensors("sick", **LORA)
    sick["sick.alpha"] = torch.tensor(float("nan"))
    found = read({**sick, **tensors("half", lokr_w1=(2, 2)), **tensors("a", **LORA)})
    assert list(found.modules) == ["a"]
    assert dict(found.broken) == {"sick": "its alpha is no finite number", "half": "one of its two sides is missing"}


def test_integer_alpha_and_zero_alpha() -> None:
    for alpha, scale in (
        (torch.tensor(1, dtype=torch.int64), 0.5),
        (torch.tensor(0.0), 1.0),
        (torch.tensor([4.0]), 2.0),
    ):
        (module,) = read({**tensors("a", **LORA), "a.alpha": alpha}).modules.values()
        assert module.parameters["weight"].scale == scale


@pytest.mark.parametrize(
    "bad", [torch.full((8, 2), float("nan")), torch.full((8, 2), float("-inf")), torch.ones(8, 2, dtype=torch.int8)]
)
def test_values_are_checked(bad: torch.Tensor) -> None:
    (module,) = read({**tensors("a", **LORA), "a.lora_up.weight": bad}).modules.values()
    with pytest.raises(StrategyError, match=r"NaN or infinite|int8"):
        check_values(module.parameters["weight"])


@pytest.mark.parametrize(
    "dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.float16, torch.bfloat16, torch.float64]
)
def test_every_float_type_is_good(dtype: torch.dtype) -> None:
    group = {key: tensor.to(dtype) for key, tensor in tensors("a", **LORA, dora_scale=(8, 1)).items()}
    (module,) = read(group).modules.values()
    check_values(module.parameters["weight"])
    weight = torch.randn(8, 6)
    assert torch.isfinite(module.parameters["weight"].apply(weight, 1.0, torch.float32)).all()


def test_large_values_are_finite() -> None:
    group = tensors("a", **LORA)
    group["a.lora_up.weight"] = torch.full((8, 2), 65504.0, dtype=torch.float16)
    group["a.lora_down.weight"] = torch.full((2, 6), 3e38)
    (module,) = read(group).modules.values()
    check_values(module.parameters["weight"])


@pytest.mark.parametrize(
    "group",
    [
        LORA,
        {"lora_up__weight": (8, 2), "lora_down__weight": (2, 6), "lora_mid__weight": (2, 2, 3, 3)},
        LOHA,
        {"lokr_w1": (2, 2), "lokr_w2_a": (4, 2), "lokr_w2_b": (2, 3)},
        {"a1__weight": (6, 2), "a2__weight": (2, 6), "b1__weight": (8, 2), "b2__weight": (2, 6)},
        {"oft_blocks": (2, 4, 4)},
        {"oft_blocks": (1, 2, 4, 4)},
        {"oft_R__weight": (3, 1)},
        {"boft_R": (1, 3, 2, 2), "boft_s": (8, 1)},
        {"ia3_l": (1, 6)},
        {"diff": (8, 6)},
        {"w_norm": (8,)},
    ],
)
def test_a_wrong_shape_is_refused_when_it_is_checked_not_when_it_is_used(group: dict[str, tuple[int, ...]]) -> None:
    (module,) = read(tensors("a", **group)).modules.values()
    strategy = module.parameters["weight"]
    for shape in ((8, 7), (7, 6), (9, 5), (8, 5, 3, 3), (5,), (48,)):
        try:
            fitted = strategy.fit(shape)
        except StrategyError as error:
            assert str(error)
            continue
        # What fits is computed without an error, and keeps the shape.
        assert strategy.delta(torch.randn(fitted)).shape == fitted


def test_packing_keeps_everything_and_nests_only_tuples() -> None:
    group = tensors("a", **LORA, dora_scale=(1, 6), bias=(8, 6))
    (module,) = read({**group, "a.reshape_weight": torch.tensor([8, 6])}).modules.values()
    strategy = module.parameters["weight"]
    packed = pack(strategy)

    def plain(value: object) -> bool:
        if isinstance(value, tuple):
            return type(value) is tuple and all(plain(item) for item in value)
        return value is None or isinstance(value, torch.Tensor | str | float | int)

    assert plain(packed)
    weight = torch.randn(8, 6)
    again = unpack(packed)
    assert type(again) is type(strategy) and again.family == strategy.family == "lora (DoRA)"
    assert torch.equal(again.delta(weight), strategy.delta(weight))


@dataclass(frozen=True)
class Doubled(Strategy):
    """W' = 2·W."""

    family: ClassVar[str] = "doubled"
    unused: torch.Tensor

    def fit(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape

    def delta(self, weight: torch.Tensor) -> torch.Tensor:
        return weight.clone()


def test_a_family_is_added_by_one_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_FAMILIES", list(registry._FAMILIES))
    monkeypatch.setattr(base, "_CLASSES", dict(base._CLASSES))

    def reader(module: ModuleTensors) -> list[Claim]:
        found = module.take("double_me")
        return [Claim("weight", Doubled(*found), ("double_me",))] if found else []

    family = Family("doubled", {"double_me": "double_me"}, reader, (Doubled,))
    register_strategy(family)
    with pytest.raises(ValueError, match="registered already"):
        register_strategy(family)
    with pytest.raises(ValueError, match="registered already"):
        register_strategy(Family("other", {"x": r"lora_up\.weight"}, reader, ()))
    (module,) = read(tensors("a", double_me=(1,), dora_scale=(8, 1))).modules.values()
    strategy = unpack(pack(module.parameters["weight"]))
    assert strategy.family == "doubled (DoRA)" and strategy.delta(torch.ones(8, 6)).shape == (8, 6)
    registry._canonical.cache_clear()


def test_settings_find_a_modules_alpha_and_rank() -> None:
    value = {
        "peft_type": "LORA",
        "r": 8,
        "lora_alpha": 16,
        "alpha_pattern": {"to_k": 4, r"blocks\.\d+\.proj": 2, "[bad": 1},
        "use_rslora": False,
        "bias": "none",
        "surprise": [1, 2],
    }
    settings = AdapterSettings.from_json(value)
    assert settings.scale("base_model.model.attn.to_q", 8) == 2.0
    assert settings.scale("base_model.model.attn.to_k", 8) == 0.5
    assert settings.scale("base_model.model.blocks.3.proj", 4) == 0.5
    assert settings.scale("base_model.model.blocks.3.proj_out", 4) == 4.0
    assert AdapterSettings.from_json({**value, "use_rslora": True}).scale("x", 16) == 4.0
    for nothing in ({}, {"lora_alpha": None}, {"lora_alpha": "16", "r": "8"}, {"lora_alpha": float("inf")}):
        assert AdapterSettings.from_json(nothing).scale("x", 4) == 1.0


def test_settings_of_several_components() -> None:
    settings = FileSettings.from_components(
        {"unet.lora_alpha": 8, "unet.r": 4, "text_encoder.lora_alpha": 2, "text_encoder_2.lora_alpha": 1}
    )
    scales = [settings.of(name).scale(name, 4) for name in ("unet.a", "text_encoder.a", "text_encoder_2.a")]
    assert scales == [2.0, 0.5, 0.25] and settings.of("transformer.a") is None
    alone = FileSettings.from_components({"transformer.lora_alpha": 8, "transformer.r": 4})
    assert alone.of("diffusion_model.a").scale("diffusion_model.a", 4) == 2.0
