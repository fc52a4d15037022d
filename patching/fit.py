"""Whether a file is for what is connected. Where it is not, the error says what it looks like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..library import LoraFile
from ..stack.architectures import is_text_encoder_name
from ..stack.errors import LoraFileError
from .keymap import Side, architecture_of, key_map
from .match import Matching
from .open import OpenFile


def check_fit(
    file: LoraFile, opened: OpenFile, matchings: Mapping[Side, Matching], patchers: Mapping[Side, Any]
) -> None:
    """Lets a file pass that may be for what is connected. `patchers`: the host's `ModelPatcher` of each side.

    Raises:
        LoraFileError: it holds no LoRA, nothing of it fits, or it is plainly for another model.
    """
    modules = opened.modules.modules
    if not modules and not opened.embeddings:
        broken = next((f" ({name}: {reason})" for name, reason in opened.modules.broken), "")
        raise LoraFileError(
            file.path,
            f"0 of its {opened.keys} keys are of a LoRA{broken}. It may be a checkpoint, a VAE, a textual "
            "inversion (which belongs into the embeddings folder), or cut short.",
        )
    encoders = [name for name in modules if is_text_encoder_name(name)]
    matched = sum(len(matching.modules) for matching in matchings.values())
    unet = patchers.get("unet")
    if unet is None or not modules:
        # A file's unet modules are no concern of a lone text encoder; those for another text encoder are.
        if "te" in patchers and not matched and encoders:
            looks = f" It looks like {_name(opened)}." if opened.looks_like else ""
            raise LoraFileError(file.path, f"0 of its {len(modules)} modules match this text encoder.{looks}")
        return
    wanted = len(modules) - len(encoders)
    # Layers around the blocks may be in reach where the blocks are not.
    out_of_reach = not key_map("unet", unet.model).is_reachable and len(matchings["unet"].modules) < wanted
    if matched and not out_of_reach and not _is_foreign(opened, matchings["unet"], architecture_of(unet.model), wanted):
        return
    if len(encoders) == len(modules):
        if "te" not in patchers:
            return
        looks = "It changes text encoders only, and not the one that is connected"
    elif out_of_reach:
        looks = (
            "The weights of this model are out of reach of ComfyUI's patcher, as packs with kernels of their own keep "
            "them; use the LoRA loader of the pack that loaded the model"
        )
    else:
        architecture = architecture_of(unet.model)
        looks = f"It looks like {_name(opened)}"
        if architecture in opened.looks_like:
            looks += ", in another size than this model's"
        elif architecture:
            looks += f", and this model is {architecture}"
    misfits = [misfit for matching in matchings.values() for misfit in matching.misfits]
    detail = f" ({misfits[0][0]}: {misfits[0][1]})" if misfits else ""
    raise LoraFileError(
        file.path, f"{matched} of its {len(modules)} modules ({opened.keys} keys) match this model{detail}. {looks}."
    )


def _is_foreign(opened: OpenFile, matching: Matching, architecture: str | None, modules: int) -> bool:
    """Whether what fits does so by accident. `modules`: how many the file has for a diffusion model.

    Names repeat between architectures and a few modules do not tell one from another, so shapes decide: most of the
    file misfits, or, in a file that looks like another architecture, a part that is no accident.
    """
    fits, misfits = len(matching.modules), len({module for module, _ in matching.misfits})
    if misfits > fits:
        return True
    if architecture is None or not opened.looks_like or architecture in opened.looks_like:
        return False
    return fits * 2 < modules or misfits * 10 > modules


def _name(opened: OpenFile) -> str:
    *others, last = opened.looks_like or ("no model that is known here",)
    return f"a LoRA for {', '.join(others)} or {last}" if others else f"a LoRA for {last}"
