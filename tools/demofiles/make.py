"""Entry point: ``python -m demofiles.make checkpoints|loras FOLDER``, with the host's folder on the path."""

from __future__ import annotations

import sys
from pathlib import Path

CHECKPOINT = "lora_deck_demo.safetensors"


def main(kind: str, folder: Path) -> None:
    folder.mkdir(parents=True)
    if kind == "checkpoints":
        from comfy.cli_args import args

        args.cpu = True
        from .checkpoint import write_checkpoint

        write_checkpoint(folder / CHECKPOINT)
    else:
        from .loras import write_loras

        write_loras(folder)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
