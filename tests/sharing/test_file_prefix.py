"""Patterns in file names, as the host's front end fills them in for its own savers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from lora_deck.sharing.file_prefix import filled_in

NOW = datetime(2031, 4, 7, 9, 5, 3)
PROMPT: dict[str, Any] = {
    "1": {"class_type": "KSampler", "inputs": {"seed": 7, "sampler_name": "a/b:c", "model": ["2", 0]}},
    "2": {"class_type": "UNETLoader", "inputs": {"unet_name": "x"}, "_meta": {"title": "My model"}},
    "3": {"class_type": "KSampler", "inputs": {"seed": 8}},
}
WORKFLOW = {"nodes": [{"id": 3, "properties": {"Node name for S&R": "second"}}, {"id": 1, "properties": {}}, None]}


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("plain", "plain"),
        ("%date:yyyy-MM-dd%/%date:hhmmss%", "2031-04-07/090503"),
        ("%date:yy.M.d h:m:s%", "31.4.7 9:5:3"),
        ("%KSampler.seed%_x", "7_x"),
        ("%second.seed%", "8"),
        ("%My model.unet_name%", "x"),
        ("%KSampler.sampler_name%", "a_b_c"),
        ("%KSampler.model% %KSampler.none% %Nobody.seed%", "%KSampler.model% %KSampler.none% %Nobody.seed%"),
        ("%width%x%height% %year% %batch_num% 100%", "%width%x%height% %year% %batch_num% 100%"),
    ],
)
def test_patterns(prefix: str, expected: str) -> None:
    assert filled_in(prefix, PROMPT, WORKFLOW, NOW) == expected


def test_without_a_workflow() -> None:
    assert filled_in("%KSampler.seed%", PROMPT, None, NOW) == "7"
