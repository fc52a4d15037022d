#!/usr/bin/env python3
"""Writes docs/openapi.json from the routes. Needs aiohttp; a test fails while the file is older than the routes."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def main() -> None:
    spec = importlib.util.spec_from_file_location(
        "lora_deck", REPOSITORY / "__init__.py", submodule_search_locations=[str(REPOSITORY)]
    )
    assert spec is not None and spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["lora_deck"] = package
    spec.loader.exec_module(package)
    document = importlib.import_module("lora_deck.api.openapi").document()
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    (REPOSITORY / "docs" / "openapi.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
