"""A1111's names of samplers and schedules, and the host's."""

from __future__ import annotations

import pytest
from lora_deck.sharing.samplers import a1111_names, host_names

SAMPLERS = [
    "euler",
    "euler_cfg_pp",
    "euler_ancestral",
    "euler_ancestral_cfg_pp",
    "heun",
    "heunpp2",
    "dpm_2",
    "dpm_2_ancestral",
    "lms",
    "dpm_fast",
    "dpm_adaptive",
    "dpmpp_2s_ancestral",
    "dpmpp_2s_ancestral_cfg_pp",
    "dpmpp_sde",
    "dpmpp_sde_gpu",
    "dpmpp_2m",
    "dpmpp_2m_cfg_pp",
    "dpmpp_2m_sde",
    "dpmpp_2m_sde_gpu",
    "dpmpp_2m_sde_heun",
    "dpmpp_3m_sde",
    "dpmpp_3m_sde_gpu",
    "ddpm",
    "lcm",
    "ipndm",
    "ipndm_v",
    "deis",
    "res_multistep",
    "er_sde",
    "ddim",
    "uni_pc",
    "uni_pc_bh2",
]
SCHEDULERS = [
    "simple",
    "sgm_uniform",
    "karras",
    "exponential",
    "ddim_uniform",
    "beta",
    "normal",
    "linear_quadratic",
    "kl_optimal",
]


@pytest.mark.parametrize(
    ("sampler", "schedule", "expected"),
    [
        ("Euler a", "", ("euler_ancestral", "normal")),
        ("DPM++ 2M Karras", "", ("dpmpp_2m", "karras")),
        ("DPM++ 2M", "Karras", ("dpmpp_2m", "karras")),
        ("DPM++ 2M", "Automatic", ("dpmpp_2m", "karras")),
        ("DPM++ 3M SDE", "Automatic", ("dpmpp_3m_sde", "exponential")),
        ("Euler", "Automatic", ("euler", "normal")),
        ("Euler", "Uniform", ("euler", "normal")),
        ("DPM++ 2M SDE Heun Karras", "", ("dpmpp_2m_sde_heun", "karras")),
        ("DPM++ 2M SDE Exponential", "", ("dpmpp_2m_sde", "exponential")),
        ("DDIM", "", ("ddim", "ddim_uniform")),
        ("UniPC", "SGM Uniform", ("uni_pc", "sgm_uniform")),
        ("DPM2 a Karras", "", ("dpm_2_ancestral", "karras")),
        ("euler_a", "", ("euler_ancestral", "normal")),
        ("dpm++2m", "karras", ("dpmpp_2m", "karras")),
        ("euler_ancestral", "sgm_uniform", ("euler_ancestral", "sgm_uniform")),
        ("Euler a CFG++", "Beta", ("euler_ancestral_cfg_pp", "beta")),
        ("DPM++ 2M CFG++", "KL Optimal", ("dpmpp_2m_cfg_pp", "kl_optimal")),
        ("ER SDE", "", ("er_sde", "normal")),
        ("Restart", "", (None, "normal")),
        ("Default", "", (None, "normal")),
        ("Euler", "Align Your Steps", ("euler", None)),
        ("", "", (None, None)),
    ],
)
def test_read(sampler: str, schedule: str, expected: tuple[str | None, str | None]) -> None:
    assert host_names(sampler, schedule, SAMPLERS, SCHEDULERS) == expected


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_written_and_read_again(sampler: str, scheduler: str) -> None:
    label, schedule = a1111_names(sampler, scheduler)
    read = host_names(label, schedule, SAMPLERS, SCHEDULERS)
    # A1111 has no name for noise drawn on the GPU.
    assert read == (sampler.removesuffix("_gpu"), scheduler)


def test_a1111s_own_labels() -> None:
    assert a1111_names("dpmpp_2m_sde_gpu", "sgm_uniform") == ("DPM++ 2M SDE", "SGM Uniform")
    assert a1111_names("uni_pc_bh2", "simple") == ("uni_pc_bh2", "Simple")
