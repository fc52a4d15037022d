"""The house plan holds: which room may import which, and what a room must not know."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOST = {"comfy", "comfy_api", "comfy_execution", "folder_paths", "server", "nodes", "execution"}

MAY_IMPORT: dict[str, set[str]] = {
    "stack": set(),
    "library": {"stack"},
    "strategies": set(),
    "patching": {"stack", "library", "strategies"},
    "sharing": {"stack", "library"},
    "api": {"library", "stack", "sharing"},
    "nodes": {"stack", "library", "strategies", "patching", "sharing", "api"},
}
MUST_NOT_KNOW: dict[str, set[str]] = {
    "stack": {"torch", "safetensors", "aiohttp", "sqlite3", "os", "pathlib"} | HOST,
    "library": {"torch", "aiohttp", "comfy", "comfy_api", "comfy_execution", "server", "nodes"},
    "strategies": {"safetensors", "aiohttp", "sqlite3", "os", "pathlib"} | HOST,
    "patching": {"aiohttp", "sqlite3", "server", "nodes", "comfy_api"},
    "sharing": {"torch", "aiohttp"} | HOST,
    "api": {"torch", "comfy_api"},
    "nodes": {"sqlite3", "aiohttp", "nodes"},
}


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(level, dotted name) of every import of a module, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if base:
                yield node.level, base
            else:
                yield from ((node.level, alias.name) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__"):
            yield from ((0, str(argument.value)) for argument in node.args[:1] if isinstance(argument, ast.Constant))


def faults(root: Path) -> list[str]:
    found = []
    for room, allowed in MAY_IMPORT.items():
        for path in sorted((root / room).rglob("*.py")):
            depth = len(path.relative_to(root).parts) - 1
            for level, name in imports(path):
                first = name.split(".")[0]
                where = f"{path.relative_to(root)} imports {'.' * level}{name}"
                if level == 0 and first in MUST_NOT_KNOW[room]:
                    found.append(f"{where}: {room} must not know it")
                elif level == 0 and first in MAY_IMPORT and first not in HOST:
                    found.append(f"{where}: imports inside the pack are relative")
                elif level == depth + 1 and first not in allowed | {room}:
                    found.append(f"{where}: {room} may import {sorted(allowed)}")
                elif level > depth + 1:
                    found.append(f"{where}: leaves the pack")
    return found


def test_rooms_import_in_one_direction() -> None:
    assert faults(ROOT) == []


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("stack", "import torch"),
        ("stack", "from ..library import resolve"),
        ("library", "from .. import patching"),
        ("strategies", "from ..stack.errors import LoraDeckError"),
        ("patching", "from ..nodes import sockets"),
        ("nodes", "from stack.tag import parse_prompt"),
        ("api", "from ..patching.apply import apply_stack"),
        ("library", "importlib.import_module('comfy.sd')"),
    ],
)
def test_a_breach_is_found(tmp_path: Path, room: str, line: str) -> None:
    for name in MAY_IMPORT:
        (tmp_path / name).mkdir()
    (tmp_path / room / "x.py").write_text(line)
    assert len(faults(tmp_path)) == 1


def test_every_node_has_a_help_page() -> None:
    ids = {
        node.value.value
        for path in (ROOT / "nodes").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.keyword) and node.arg == "node_id" and isinstance(node.value, ast.Constant)
    }
    pages = ROOT / "web" / "docs"
    assert ids and {f"{name}.md" for name in ids} == {path.name for path in pages.glob("*.md")}
    assert {f"{name}.png" for name in ids} == {path.name for path in pages.glob("*.png")}
    assert all(f"]({name}.png)" in (pages / f"{name}.md").read_text(encoding="utf-8") for name in ids)


def test_one_place_names_the_version_of_the_pack() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'requires-comfyui = ">=0.16.3"' in project and "\nweb = " not in project
    assert "dependencies = []" in project
