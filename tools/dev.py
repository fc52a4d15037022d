#!/usr/bin/env python3
"""The task runner: one command per task, from nothing but Python and pip.

    python tools/dev.py demo     ComfyUI with LoRA Deck, a small model and a handful of LoRA files
    python tools/dev.py test     every test, those on the real host included; what follows goes to pytest
    python tools/dev.py lint     ruff and the type check
    python tools/dev.py bench    a benchmark in the host's environment: its name, and what it is given
    python tools/dev.py setup    only the set-up that the others begin with

Everything it makes lies in the git-ignored folder .dev/. An interrupted set-up goes on where it stopped.

environment variables:
  COMFYUI_PATH           an existing ComfyUI to use instead of one set up here; nothing is installed into it
  LORA_DECK_TORCH_INDEX  another package index for torch, for example one of CPU builds
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from devhost.assets import ensure_assets
from devhost.checks import run_benchmark, run_lint, run_tests
from devhost.demo import run_demo
from devhost.environment import Host, ensure_host, existing_host
from devhost.failure import SetupError
from devhost.steps import only_one, say
from devhost.versions import DEFAULT_HOST, HOSTS


def main(arguments: list[str]) -> int:
    # What follows a benchmark's name is its own, `--help` and `--host` too.
    mine = arguments[:1] if arguments[:1] == ["bench"] and len(arguments) > 1 else arguments
    options, rest = _parser().parse_known_args(mine)
    rest += arguments[len(mine) :]
    if rest and options.verb not in ("test", "bench"):
        _parser().error(f"unknown arguments for {options.verb}: {' '.join(rest)}")
    try:
        with only_one():
            host = _host(options.host)
            if options.verb == "lint":
                return run_lint(host)
            if options.verb == "bench":
                return run_benchmark(host, rest)
            assets = ensure_assets(host)
        if options.verb == "test":
            return run_tests(host, assets, rest)
        if options.verb == "demo":
            return run_demo(host, assets, options.port)
        say(f"ready: ComfyUI in {host.folder}, Python {host.python}")
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _host(version: str | None) -> Host:
    existing = os.environ.get("COMFYUI_PATH")
    if existing and version is None:
        return existing_host(Path(existing))
    return ensure_host(version or DEFAULT_HOST)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tools/dev.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        usage="python tools/dev.py {setup,demo,test,lint,bench} [options]",
    )
    parser.add_argument("verb", choices=("setup", "demo", "test", "lint", "bench"), help=argparse.SUPPRESS)
    parser.add_argument(
        "--host",
        metavar="VERSION",
        help=f"the ComfyUI version to set up: {', '.join(HOSTS)} (default {DEFAULT_HOST})",
    )
    parser.add_argument("--port", type=int, default=8188, help="demo: the first port to try")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
