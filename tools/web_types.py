#!/usr/bin/env python3
"""Checks the JSDoc types of `web/` with the TypeScript compiler.

    python tools/web_types.py

Part of `tools/dev.py lint`. It runs with the Node that is installed, or with the one that Playwright brings; the
compiler and the front end's own types are installed below `.dev/node` on first use, which needs npm. Where one of
them is missing it says so and checks nothing. Imports carry `?v=<version>` for the browser, which the compiler cannot
follow: it sees a copy without.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NODE = ROOT / ".dev" / "node"
PACKAGES = ("typescript@5.9.3", "@comfyorg/comfyui-frontend-types@1.45.6")
HOST = {
    "app": 'import type { ComfyApp } from "@comfyorg/comfyui-frontend-types"\nexport const app: ComfyApp & any\n',
    "api": 'import type { ComfyApi } from "@comfyorg/comfyui-frontend-types"\nexport const api: ComfyApi & any\n',
}
GLOBALS = "interface Window { LiteGraph: any; LGraphCanvas: any }\n"
OPTIONS = {
    "target": "ES2023", "lib": ["ES2023", "DOM", "DOM.Iterable"], "module": "ESNext", "moduleResolution": "bundler",
    "allowJs": True, "checkJs": True, "noEmit": True, "strict": True, "skipLibCheck": True, "types": [],
}  # fmt: skip


def node() -> str | None:
    """The Node to run the compiler with."""
    if found := shutil.which("node"):
        return found
    playwright = importlib.util.find_spec("playwright")
    if playwright is None or playwright.origin is None:
        return None
    own = Path(playwright.origin).parent / "driver" / "node"
    return str(own) if own.exists() else None


def compiler() -> Path | None:
    """The compiler's script, installed if it has to be."""
    script = NODE / "node_modules" / "typescript" / "bin" / "tsc"
    npm = shutil.which("npm")
    if not script.exists() and npm:
        NODE.mkdir(parents=True, exist_ok=True)
        (NODE / "package.json").write_text('{"private": true}')
        subprocess.run([npm, "install", "--silent", "--no-audit", *PACKAGES], cwd=NODE, check=True)
    return script if script.exists() else None


def copy(target: Path) -> Path:
    """Lays `web/` out below ``target`` as the host serves it; returns its folder there."""
    pack = target / "extensions" / "pack"
    pack.mkdir(parents=True)
    (target / "scripts").mkdir()
    for name, text in HOST.items():
        (target / "scripts" / f"{name}.d.ts").write_text(text)
    (target / "globals.d.ts").write_text(GLOBALS)
    for path in [*(ROOT / "web").glob("*.mjs"), *(ROOT / "web").glob("*.js")]:
        (pack / path.name).write_text(re.sub(r"\?v=[\w.]+", "", path.read_text(encoding="utf-8")), encoding="utf-8")
    (target / "tsconfig.json").write_text(json.dumps({"compilerOptions": OPTIONS, "include": ["**/*"]}))
    return pack


def main() -> int:
    runs, script = node(), compiler()
    if runs is None or script is None:
        print(f"{'Node' if runs is None else 'npm'} is not installed: the types of web/ were not checked.")
        return 0
    with tempfile.TemporaryDirectory(dir=NODE) as folder:
        pack = copy(Path(folder))
        return subprocess.run([runs, script, "-p", folder, "--pretty", "false"], cwd=pack).returncode


if __name__ == "__main__":
    sys.exit(main())
