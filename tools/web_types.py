#!/usr/bin/env python3
"""Checks the JSDoc types of `web/` with the TypeScript compiler.

    python tools/web_types.py

Needs Node. The compiler and the front end's own types are installed below `.dev/node` on first use. Imports carry
`?v=<version>` for the browser, which the compiler cannot follow: it sees a copy without.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
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


def install() -> Path:
    compiler = NODE / "node_modules" / ".bin" / "tsc"
    if not compiler.exists():
        NODE.mkdir(parents=True, exist_ok=True)
        (NODE / "package.json").write_text('{"private": true}')
        subprocess.run(["npm", "install", "--silent", "--no-audit", *PACKAGES], cwd=NODE, check=True)
    return compiler


def copy(target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    pack = target / "extensions" / "pack"
    pack.mkdir(parents=True)
    (target / "scripts").mkdir()
    for name, text in HOST.items():
        (target / "scripts" / f"{name}.d.ts").write_text(text)
    (target / "globals.d.ts").write_text(GLOBALS)
    for path in [*(ROOT / "web").glob("*.mjs"), *(ROOT / "web").glob("*.js")]:
        (pack / path.name).write_text(re.sub(r"\?v=[\w.]+", "", path.read_text(encoding="utf-8")), encoding="utf-8")
    (target / "tsconfig.json").write_text(json.dumps({"compilerOptions": OPTIONS, "include": ["**/*"]}))


def main() -> int:
    if shutil.which("node") is None:
        print("Node is not installed: the types of web/ were not checked.")
        return 1
    compiler = install()
    copied = NODE / "web"
    copy(copied)
    return subprocess.run([compiler, "-p", copied, "--pretty", "false"], cwd=copied / "extensions" / "pack").returncode


if __name__ == "__main__":
    sys.exit(main())
