"""Samplers and schedules: A1111's names (1.10, with Forge's and reForge's) and the host's."""

from __future__ import annotations

import re
from collections.abc import Collection

_SAMPLERS = {
    "euler": "Euler",
    "euler_ancestral": "Euler a",
    "heun": "Heun",
    "heunpp2": "HeunPP2",
    "dpm_2": "DPM2",
    "dpm_2_ancestral": "DPM2 a",
    "lms": "LMS",
    "dpm_fast": "DPM fast",
    "dpm_adaptive": "DPM adaptive",
    "dpmpp_2s_ancestral": "DPM++ 2S a",
    "dpmpp_sde": "DPM++ SDE",
    "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE",
    "dpmpp_2m_sde_heun": "DPM++ 2M SDE Heun",
    "dpmpp_3m_sde": "DPM++ 3M SDE",
    "ddpm": "DDPM",
    "lcm": "LCM",
    "ipndm": "IPNDM",
    "ipndm_v": "IPNDM_V",
    "deis": "DEIS",
    "res_multistep": "Res Multistep",
    "ddim": "DDIM",
    "uni_pc": "UniPC",
    "euler_cfg_pp": "Euler CFG++",
    "euler_ancestral_cfg_pp": "Euler a CFG++",
    "dpmpp_2m_cfg_pp": "DPM++ 2M CFG++",
    "dpmpp_2s_ancestral_cfg_pp": "DPM++ 2S a CFG++",
}
"""The host's sampler → A1111's label."""
_ON_GPU = "_gpu"
"""Ending of the host's samplers that draw noise on the GPU; A1111 has no name of its own for them."""
_OTHER_SAMPLERS = {
    "k_euler_ancestral": "euler_ancestral",
    "dpm solver++": "dpmpp_2m",
    "dpm++": "dpmpp_2m",
    "dpm++2m": "dpmpp_2m",
    "dpm++2mv2": "dpmpp_2m",
    "dpm++2s_a": "dpmpp_2s_ancestral",
    "dpm2": "dpm_2",
    "heun++ 2": "heunpp2",
    "ddim trailing": "ddim",
}
"""Further labels, lower case: stable-diffusion.cpp's, SD.Next's."""

_SCHEDULES = {
    "normal": "Normal",
    "karras": "Karras",
    "exponential": "Exponential",
    "sgm_uniform": "SGM Uniform",
    "simple": "Simple",
    "ddim_uniform": "DDIM",
    "beta": "Beta",
    "kl_optimal": "KL Optimal",
    "linear_quadratic": "Linear Quadratic",
}
_OTHER_SCHEDULES = {"uniform": "normal", "discrete": "normal", "default": "normal", "sgm": "sgm_uniform"}
"""`Uniform` is what A1111 called its only schedule before it had several; the host's `normal` computes the same."""

_AUTOMATIC = {
    "dpmpp_2m": "karras",
    "dpmpp_sde": "karras",
    "dpmpp_2s_ancestral": "karras",
    "dpm_2": "karras",
    "dpm_2_ancestral": "karras",
    "dpmpp_2m_sde": "exponential",
    "dpmpp_2m_sde_heun": "exponential",
    "dpmpp_3m_sde": "exponential",
}
"""What A1111's `Automatic` means for a sampler; the others take `normal`."""
_OWN_SCHEDULE = {"ddim": "ddim_uniform", "lcm": "sgm_uniform"}
"""Samplers that bring a schedule with them where the text names none."""

_BY_LABEL = {label.lower(): name for name, label in _SAMPLERS.items()} | _OTHER_SAMPLERS
_SCHEDULE_BY_LABEL = {label.lower(): name for name, label in _SCHEDULES.items()} | _OTHER_SCHEDULES
_SUFFIX = re.compile(r"\s+(karras|exponential|sgm uniform|simple|beta|normal|uniform|sgm|kl optimal)$", re.IGNORECASE)


def a1111_names(sampler: str, scheduler: str) -> tuple[str, str]:
    """(Sampler, Schedule type) as A1111 writes the host's names; the host's own where A1111 has none."""
    plain = sampler.removesuffix(_ON_GPU)
    return _SAMPLERS.get(plain, sampler), _SCHEDULES.get(scheduler, scheduler)


def host_names(
    sampler: str, schedule: str, samplers: Collection[str], schedulers: Collection[str]
) -> tuple[str | None, str | None]:
    """(sampler, scheduler) as the host's combos have them; `None` where the text names none that the host has.

    `sampler` and `schedule` are the fields `Sampler` and `Schedule type`; before 1.9, A1111 wrote both into the first.
    `samplers`, `schedulers`: the combos' values.
    """
    label = sampler.strip()
    suffix = _SUFFIX.search(label)
    if suffix and label.lower() not in _BY_LABEL:
        schedule = schedule or suffix[1]
        label = label[: suffix.start()]
    found = _named(label, _BY_LABEL, samplers)
    wanted = schedule.strip().lower()
    if wanted in ("automatic", "auto"):
        scheduler: str | None = _AUTOMATIC.get(found or "", _OWN_SCHEDULE.get(found or "", "normal"))
    elif not wanted:
        scheduler = _OWN_SCHEDULE.get(found or "", "normal") if label else None
    else:
        scheduler = _named(schedule, _SCHEDULE_BY_LABEL, schedulers)
    return found, scheduler if scheduler in schedulers else None


def _named(label: str, table: dict[str, str], known: Collection[str]) -> str | None:
    plain = " ".join(label.lower().split())
    spelled = re.sub(r"[\s\-]+", "_", plain.replace("++", "pp"))
    guesses = (
        table.get(plain), spelled, re.sub(r"_a(?=_|$)", "_ancestral", spelled),
        re.sub(r"_a(?=_|$)", "_ancestral", spelled.replace("cfgpp", "cfg_pp")),
    )  # fmt: skip
    return next((guess for guess in guesses if guess in known), None)
