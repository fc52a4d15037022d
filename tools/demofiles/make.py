"""Entry point: ``python -m demofiles.make KIND FOLDER``, with the host's folder on the path.

KIND: ``checkpoints``, ``diffusion_models`` or ``loras``.
"""

from __future__ import annotations

import sys
from pathlib import Path

CHECKPOINT = "lora_deck_demo.safetensors"
FP8_MODEL = "lora_deck_demo_fp8.safetensors"


def main(kind: str, folder: Path) -> None:
    folder.mkdir(parents=True)
    if kind == "checkpoints":
        from comfy.cli_args import args

        args.cpu = True
        from .checkpoint import write_checkpoint

        write_checkpoint(folder / CHECKPOINT)
    elif kind == "diffusion_models":
        from comfy.cli_args import args

        args.cpu = True
        from .diffusion_models import write_fp8

        write_fp8(folder / FP8_MODEL)
    else:
        from .loras import write_loras

        write_loras(folder)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
