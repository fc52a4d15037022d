"""Every family on the real host against LyCORIS, PEFT and the old trainers' formulas; the host's loader beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .fidelity.case import Case
from .fidelity.measure import FULL_SIZE, REALISTIC, Bench, Tally, all_cases, measure

CASES = all_cases()
ROUNDED = [case for case in CASES if case.alpha not in ("absent", "0", "per module") and " as " not in case.family]
"""Without the rows that only spell or scale the same arithmetic in another way."""
TALLY = pytest.StashKey[Tally]()


@pytest.fixture(scope="module")
def benches(comfy: Any, build_model: Callable[..., Any], build_clip: Callable[..., Any]) -> dict[str, Bench]:
    """dtype → the small UNet and text encoder."""
    import torch

    dtypes = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    return {name: Bench(comfy, build_model(dtype), build_clip(dtype)) for name, dtype in dtypes.items()}


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_full_size(benches: dict[str, Bench], lora_folder: Path, case: Case, request: pytest.FixtureRequest) -> None:
    """fp32, differences as large as the weights."""
    deviations = measure(benches["float32"], case, lora_folder, FULL_SIZE, host=True)
    tally = request.config.stash.setdefault(TALLY, Tally())
    tally.cases += 1
    for deviation in deviations:
        tally.add(case, deviation.right, deviation.host <= deviation.bound)
    wrong = [str(d) for d in deviations if not d.right]
    assert len(deviations) and not wrong


@pytest.mark.parametrize(("dtype", "multiplier"), [("float32", 1.0), ("float16", 0.7), ("bfloat16", -0.5)])
@pytest.mark.parametrize("case", ROUNDED, ids=[case.name for case in ROUNDED])
def test_realistic_size(
    benches: dict[str, Bench], lora_folder: Path, case: Case, dtype: str, multiplier: float
) -> None:
    """Differences of a fiftieth of the weights: not more than twice the error of the correctly rounded result."""
    deviations = measure(benches[dtype], case, lora_folder, REALISTIC, (multiplier,))
    wrong = [str(d) for d in deviations if not d.right]
    assert len(deviations) and not wrong


def test_the_documented_counts_are_the_measured_ones(request: pytest.FixtureRequest) -> None:
    """docs/fidelity.md quotes what this run printed. Needs the whole of `test_full_size` before it."""
    tally = request.config.stash.get(TALLY, Tally())
    if tally.cases != len(CASES):
        pytest.skip("only a part of the table was run")
    documented = Path(__file__).resolve().parents[2] / "docs" / "fidelity.md"
    assert "\n".join(tally.lines()) in documented.read_text(encoding="utf-8")
