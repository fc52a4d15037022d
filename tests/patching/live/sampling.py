"""Sampling with the real host, and what each model call gave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class Calls:
    """Every call of the model, in order."""

    seen: list[tuple[float, int]] = field(default_factory=list)
    """(noise level, rows)"""
    denoised: list[Tensor] = field(default_factory=list)
    arguments: list[tuple[Any, dict[str, Any]]] = field(default_factory=list)
    sigmas: list[float] = field(default_factory=list)

    def again(self, number: int, model: Any) -> Tensor:
        """What another patcher gives for the same call."""
        import comfy.model_management
        from comfy.patcher_extension import WrapperExecutor, WrappersMP

        comfy.model_management.load_models_gpu([model, *model.get_additional_models()])
        arguments, kwargs = self.arguments[number]
        wrappers = model.get_all_wrappers(WrappersMP.APPLY_MODEL)
        executor = WrapperExecutor.new_class_executor(model.model._apply_model, model.model, wrappers)
        with torch.no_grad():
            result: Tensor = executor.execute(*arguments, **kwargs)
        return result


def condition(seed: int, **options: Any) -> list[Any]:
    """A conditioning as text encoders give it."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(1, 77, 768, generator=generator), {"pooled_output": None, **options}]


def latent(size: int = 8, batch: int = 1) -> Tensor:
    """Noise, or a picture to begin with."""
    return torch.randn(batch, 4, size, size, generator=torch.Generator().manual_seed(5))


def sample(
    model: Any,
    positive: list[Any],
    negative: list[Any],
    *,
    steps: int = 2,
    sampler: str = "euler",
    scheduler: str = "normal",
    cfg: float = 3.0,
    denoise: float = 1.0,
    size: int = 8,
    batch: int = 1,
    calls: Calls | None = None,
    image: Tensor | None = None,
) -> Tensor:
    """Samples as the host's KSampler does."""
    import comfy.sample
    from comfy.patcher_extension import WrappersMP

    model = model.clone()
    if calls is not None:

        def record(executor: Any, x: Tensor, t: Tensor, *args: Any, **kwargs: Any) -> Any:
            result = executor(x, t, *args, **kwargs)
            calls.arguments.append(((x.clone(), t.clone(), *args), kwargs))
            calls.sigmas = [float(sigma) for sigma in args[3]["sample_sigmas"]]
            calls.seen.append((float(t.flatten()[0]), x.shape[0]))
            calls.denoised.append(result.clone())
            return result

        # Before all others, so that the call is kept as the sampler made it.
        wrappers = model.wrappers.setdefault(WrappersMP.APPLY_MODEL, {})
        model.wrappers[WrappersMP.APPLY_MODEL] = {"record": [record], **wrappers}

    start = torch.zeros(batch, 4, size, size) if image is None else image
    return comfy.sample.sample(
        model, latent(size, batch), steps, cfg, sampler, scheduler, positive, negative, start,
        denoise=denoise, disable_pbar=True, seed=1,
    )  # fmt: skip


def difference(result: Tensor, truth: Tensor, base: Tensor) -> float:
    """‖result − truth‖ / ‖truth − base‖: the error of an effect."""
    return float((result.detach().double() - truth.double()).norm() / (truth.double() - base.double()).norm())


def state(model: Any) -> dict[str, Tensor]:
    """Every weight as it is while no model is loaded."""
    import comfy.model_management

    comfy.model_management.unload_all_models()
    return {key: value.detach().clone() for key, value in model.model.state_dict().items()}


def is_untouched(model: Any, before: dict[str, Tensor]) -> bool:
    """Whether the weights are those of before, and no module has anything of ours."""
    after = state(model)
    same = before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
    own = [m for m in model.model.modules() if "forward" in m.__dict__ or m._forward_hooks or m._forward_pre_hooks]
    return same and not own


def inside(model: Any, function: Callable[[], Tensor], rows: int = 2, **options: Any) -> Tensor:
    """What a function gives while the model runs, through the host's own call of the wrappers."""
    import comfy.model_management
    from comfy.patcher_extension import WrapperExecutor, WrappersMP

    comfy.model_management.load_models_gpu([model, *model.get_additional_models()])

    def instead(*_: Any, **__: Any) -> Tensor:
        return function()

    wrappers = model.get_all_wrappers(WrappersMP.APPLY_MODEL)
    executor = WrapperExecutor.new_class_executor(instead, model.model, wrappers)
    result: Tensor = executor.execute(torch.zeros(rows, 4, 8, 8), torch.ones(rows), None, None, None, options)
    return result
