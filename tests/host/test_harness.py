"""The host itself, before anything of the pack is used in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from .graphs import CHECKPOINT, lora_chain, render

if TYPE_CHECKING:
    from .harness import HostServer


def test_a_render_repeats_and_the_hosts_own_lora_loader_changes_it(host: HostServer) -> None:
    plain = host.run(render())
    assert plain.shape == (64, 64, 3)
    assert plain.std() > 5, "the demo's checkpoint should paint something"
    # Another step count in between, so that the sampler really runs a second time.
    assert not np.array_equal(host.run(render(steps=3)), plain)
    again = host.queue(render())
    assert "sampler" in again.executed
    assert np.array_equal(host.images(again)[0], plain)

    nodes, model, clip = lora_chain(("styles/ink_wash_v2.safetensors", 0.8, 0.8))
    changed = host.run(render(model=model, clip=clip, **nodes))
    assert np.abs(changed.astype(int) - plain).mean() > 1


@pytest.mark.parametrize(("strength_model", "strength_clip"), [(1.0, 0.0), (0.0, 1.0)])
def test_each_half_of_a_demo_lora_shows(host: HostServer, strength_model: float, strength_clip: float) -> None:
    nodes, model, clip = lora_chain(("characters/mira_lighthouse.safetensors", strength_model, strength_clip))
    changed = host.run(render(model=model, clip=clip, **nodes))
    assert np.abs(changed.astype(int) - host.run(render())).mean() > 1


def test_the_text_shows(host: HostServer) -> None:
    assert not np.array_equal(host.run(render("red leaves")), host.run(render("blue leaves")))


def test_a_refused_prompt_and_a_failing_one_say_why(host: HostServer) -> None:
    graph = render()
    graph["checkpoint"]["inputs"]["ckpt_name"] = "missing.safetensors"
    refused = host.queue(graph)
    assert refused.status == "refused"
    assert "missing.safetensors" in refused.message

    broken = host.loras / "broken.safetensors"
    broken.write_bytes(b"not a LoRA file")
    try:
        nodes, model, clip = lora_chain(("broken.safetensors", 1.0, 1.0))
        failed = host.queue(render(model=model, clip=clip, **nodes))
    finally:
        broken.unlink()
    assert failed.status == "error"
    assert failed.errors[0][0] == "loader0"
    assert "sampler" not in failed.executed


def test_the_hosts_modules_load_in_this_process(comfy_host: Path) -> None:
    import comfy.sd
    import folder_paths

    path = folder_paths.get_full_path_or_raise("checkpoints", CHECKPOINT)
    assert Path(path).is_relative_to(comfy_host)
    model, clip, vae, _ = comfy.sd.load_checkpoint_guess_config(path)
    assert type(model.model.model_config).__name__ == "SD15"
    assert clip is not None and vae is not None
