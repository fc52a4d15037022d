#!/usr/bin/env python3
"""What the prompt handler costs the server's event loop, which every request waits for.

    python benchmarks/sharing.py [--files 20000] [--tree DIR]

Each figure is the median and the worst of 200 prompts, in ms, beside the bare reading of the same prompt from JSON. The
last line is the longest time for which another task of the loop had to wait while prompts came in.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from library_tree import make_tree
from speed.host import load_pack

load_pack()

from lora_deck.api import prompt as handler  # noqa: E402
from lora_deck.library import Library  # noqa: E402
from lora_deck.library.roots import Roots  # noqa: E402
from lora_deck.sharing.lock import Lock, LockEntry  # noqa: E402

RUNS = 200


def graph(names: list[str], lock: str = "") -> dict[str, Any]:
    """A prompt of 60 nodes whose stack names these LoRAs."""
    tags = " ".join(f"<lora:{name}:0.8>" for name in names)
    nodes = {str(n): {"class_type": "Other", "inputs": {"a": [str(n - 1), 0], "b": "x" * 200}} for n in range(10, 67)}
    return {
        **nodes,
        "1": {"class_type": "PromptLoraParser", "inputs": {"text": tags, "weight_order": "a1111", "repeats": "sum"}},
        "2": {"class_type": "LoraStackApply", "inputs": {"stack": ["1", 1], "model": ["66", 0], "lock": lock}},
        "9": {"class_type": "Other", "inputs": {"a": "start"}},
    }


def times(run: Callable[[int], object]) -> str:
    taken = []
    for number in range(RUNS):
        start = time.perf_counter()
        run(number)
        taken.append((time.perf_counter() - start) * 1000)
    return f"{statistics.median(taken):7.2f} median {max(taken):7.2f} worst"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--files", type=int, default=20_000)
    options.add_argument("--tree", type=Path, default=Path(tempfile.gettempdir()) / "lora-deck-tree-sharing")
    given = options.parse_args()
    make_tree(given.tree, given.files, max(1, given.files // 100))
    with tempfile.TemporaryDirectory() as folder:
        library = Library(Path(folder), lambda: Roots((str(given.tree),)))
        library.scan()
        names = [row[0] for row in library.store.connection().execute("SELECT name FROM files ORDER BY id")]
        handler.current = lambda: library
        choose = random.Random(1)
        some = [choose.sample(names, 20) for _ in range(RUNS)]
        full = Lock(tuple(LockEntry(str(n), "x" * 40, "0" * 10, "0" * 12) for n in range(10_000))).to_text()
        cases: list[tuple[str, Callable[[int], dict[str, Any]]]] = [
            ("one LoRA", lambda n: graph(some[n][:1])),
            ("20 LoRAs", lambda n: graph(some[n])),
            ("20 LoRAs, the same work again", lambda n: graph(some[0])),
            ("20 names that mean nothing", lambda n: graph([f"nothing_{n}_{m}" for m in range(20)])),
            ("a lock of 10,000 entries", lambda n: graph(some[n], full)),
            ("no LoRA at all", lambda n: {"1": {"class_type": "Other", "inputs": {}}}),
        ]
        print(f"{given.files} files; ms per prompt\n")
        for title, make in cases:
            texts = [json.dumps({"prompt": make(n)}) for n in range(RUNS)]
            bodies = [json.loads(text) for text in texts]
            bare = times(lambda n, texts=texts: json.loads(texts[n]))
            ours = times(lambda n, bodies=bodies: handler.on_prompt(bodies[n]))
            print(f"{title:32} {ours}   (JSON alone {bare})")
        print(f"\nlongest wait of another task: {asyncio.run(longest_wait(some)):.2f} ms")
        library.stop()


async def longest_wait(some: list[list[str]]) -> float:
    """Prompts come in one after another while a task asks for its turn as often as it can."""
    waits: list[float] = []
    ended = False

    async def other() -> None:
        while not ended:
            before = time.perf_counter()
            await asyncio.sleep(0)
            waits.append((time.perf_counter() - before) * 1000)

    task = asyncio.create_task(other())
    for names in some:
        handler.on_prompt({"prompt": graph(names)})
        await asyncio.sleep(0)
    ended = True
    await task
    return max(waits)


if __name__ == "__main__":
    main()
