"""The host gives `.mjs` files no cache header, so every import says the pack's version; one address per module."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
IMPORT = re.compile(r"""^(?:import\b[^"']*|export\b[^"'=(]*\bfrom\s*)["']([^"']+)["']""", re.MULTILINE)
HOST = {"../../scripts/app.js", "../../scripts/api.js"}


def modules() -> list[Path]:
    return sorted([*WEB.glob("*.mjs"), *WEB.glob("*.js")])


def imports(path: Path) -> list[str]:
    return IMPORT.findall(path.read_text(encoding="utf-8"))


def test_every_import_carries_the_packs_version() -> None:
    (version,) = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    for path in modules():
        for address in imports(path):
            if address not in HOST:
                name, _, query = address.partition("?")
                assert query == f"v={version}", f"{path.name} imports {address}"
                assert name.startswith("./") and (WEB / name).is_file(), f"{path.name} imports {address}"


def test_only_the_adapter_knows_the_host() -> None:
    knowing = {path.name for path in modules() if HOST & set(imports(path))}
    assert "host.mjs" in knowing and all(re.fullmatch(r"host(_\w+)?\.mjs", name) for name in knowing), knowing


def test_the_host_loads_one_file_by_itself_and_everything_is_used() -> None:
    assert [path.name for path in WEB.rglob("*.js")] == ["lora_deck.js"]
    reached, waiting = set(), [WEB / "lora_deck.js"]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting += [WEB / a.partition("?")[0] for a in imports(path) if a not in HOST]
    assert {path.name for path in modules()} == {path.name for path in reached}
