#!/usr/bin/env python3
"""What the library costs, each figure beside the bare loop that does only what cannot be left out.

    python benchmarks/library.py [--files 50000] [--folders 500] [--tree DIR] [--host FOLDER]

Figures are medians over runs that alternate with their bare loops in one process. `--host`: a folder with ComfyUI's
main.py, to measure its start with and without the pack; it takes minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).parent))

from library_tree import WORDS, make_tree  # noqa: E402
from speed.host import load_pack  # noqa: E402

load_pack()

from lora_deck.library import Library  # noqa: E402
from lora_deck.library.find import find  # noqa: E402
from lora_deck.library.hashing import hash_file  # noqa: E402
from lora_deck.library.roots import Roots  # noqa: E402
from lora_deck.library.search import Query, Search  # noqa: E402
from lora_deck.stack.errors import LoraNotFoundError  # noqa: E402


def bare_headers(root: Path) -> int:
    """Opens each file and reads its header: length, bytes, JSON."""
    read = 0
    for folder, _, names in os.walk(root):
        for name in names:
            if name.endswith(".safetensors"):
                with open(os.path.join(folder, name), "rb") as file:
                    (length,) = struct.unpack("<Q", file.read(8))
                    json.loads(file.read(length))
                read += 1
    return read


def bare_header_bytes(root: Path) -> int:
    """The same without the JSON."""
    read = 0
    for folder, _, names in os.walk(root):
        for name in names:
            if name.endswith(".safetensors"):
                with open(os.path.join(folder, name), "rb") as file:
                    (length,) = struct.unpack("<Q", file.read(8))
                    read += len(file.read(length))
    return read


def bare_walk(path: str) -> int:
    """`os.scandir` with a stat of every file."""
    seen = 0
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir():
                seen += bare_walk(entry.path)
            else:
                entry.stat()
                seen += 1
    return seen


def bare_hash(path: Path) -> None:
    """Two hashlib states, one pass."""
    whole, data = hashlib.sha256(), hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(4 << 20):
            whole.update(chunk)
            data.update(chunk)


@contextmanager
def opened(root: Path, index: Path) -> Iterator[Library]:
    library = Library(index, lambda: Roots((str(root),)))
    try:
        yield library
    finally:
        library.stop()


def timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def cold_and_warm(root: Path, work: Path, runs: int) -> None:
    bare_headers(root)  # both sides find the files in the page cache
    cold, bare, raw, warm, walk = [], [], [], [], []
    for run in range(runs):
        bare.append(timed(lambda: bare_headers(root)))
        raw.append(timed(lambda: bare_header_bytes(root)))
        index = work / f"index{run}"

        def scan(index: Path = index) -> None:
            with opened(root, index) as library:
                library.scan()

        cold.append(timed(scan))
        for _ in range(3):
            walk.append(timed(lambda: bare_walk(str(root))))
            warm.append(timed(scan))
    line("cold scan", cold, bare, "a loop that opens each file and reads its header", 3)
    print(f"  for comparison, a loop that reads the header's bytes and not its JSON: {statistics.median(raw):.2f} s")
    line("warm start", warm, walk, "an os.scandir walk with stat", 2)


def line(what: str, ours: list[float], bare: list[float], against: str, bound: float) -> None:
    ratio = statistics.median(ours) / statistics.median(bare)
    print(f"{what}: {statistics.median(ours):.3f} s, {against}: {statistics.median(bare):.3f} s,"
          f" ratio {ratio:.2f} (at most {bound})")  # fmt: skip


def queries(root: Path, index: Path) -> None:
    choose = random.Random(3)
    with opened(root, index) as library:
        library.scan()
        search = Search(library)
        everything = len(search.ids(Query()))
        times: dict[str, list[float]] = {}

        def ask(kind: str, query: Query, offset: int) -> None:
            times.setdefault(kind, []).append(timed(lambda: (search.page(query, offset, 100), len(search.ids(query)))))

        for number in range(40):
            ask("a page anywhere", Query(), choose.randrange(everything))
            ask("one word", Query(text=choose.choice(WORDS)), 0)
            ask("a part of a word", Query(text=choose.choice(WORDS)[1:4] + choose.choice("_ ")), 0)
            ask("two words", Query(text=f"{choose.choice(WORDS)} {choose.choice(WORDS)}"), 0)
            ask("a number", Query(text=f"v{choose.randrange(everything)}"), 0)
            ask("two letters", Query(text=choose.choice(WORDS)[:2]), 0)
            ask("CJK", Query(text=choose.choice("墨水浮世绘线条")), 0)
            ask("a tag", Query(tags=(choose.choice(WORDS),)), 0)
            ask("a base model", Query(architectures=(choose.choice(("SD1", "SDXL", "Flux")),), text=f"v{number}"), 0)
            ask("a folder", Query(folder=choose.choice(WORDS)), 0)
        whole = sorted(t for kind in times.values() for t in kind)
        print(f"search or page, {len(whole)} of them: median {1000 * statistics.median(whole):.1f} ms,"
              f" 95th percentile {1000 * whole[int(len(whole) * 0.95)]:.1f} ms (at most 20)")  # fmt: skip
        for kind, taken in times.items():
            taken.sort()
            print(f"  {kind}: median {1000 * statistics.median(taken):.1f} ms, 95th {1000 * taken[37]:.1f} ms")
        names = [c["insert"] for c in search.page(Query(), everything // 2, 100)]
        resolved = [timed(lambda name=name: find(library, name)) for name in names]
        missed = timed(lambda: _missed(library))
        print(f"resolve a name: median {1000 * statistics.median(resolved):.2f} ms; a name that misses, with its rescan"
              f" and suggestions: {1000 * missed:.0f} ms")  # fmt: skip


def _missed(library: Library) -> None:
    try:
        find(library, "ink_wsh_v3")
    except LoraNotFoundError:
        return
    raise AssertionError("the name was found")


MEMORY = """
import json, sys
sys.argv = ["memory"]
from pathlib import Path
import importlib.util
root, tree, index = map(Path, json.loads(sys.stdin.read()))
spec = importlib.util.spec_from_file_location("lora_deck", root / "__init__.py", submodule_search_locations=[str(root)])
package = importlib.util.module_from_spec(spec)
sys.modules["lora_deck"] = package
spec.loader.exec_module(package)
def peak():  # kB; getrusage would count the parent's
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1])
before = peak()
from lora_deck.library import Library
from lora_deck.library.roots import Roots
from lora_deck.library.search import Query, Search
library = Library(index, lambda: Roots((str(tree),)))
library.scan()
search = Search(library)
for query in (Query(), Query(text="ink"), Query(text="in"), Query(order="size")):
    search.page(query, 0, 500)
    search.counts(query)
print((peak() - before) / 1024)
"""


def memory(root: Path, work: Path) -> None:
    given = json.dumps([str(REPOSITORY), str(root), str(work / "index memory")])
    done = subprocess.run([sys.executable, "-c", MEMORY], input=given, capture_output=True, text=True, check=True)
    grown = float(done.stdout)
    print(f"peak growth of a process that imports only library, cold scan and lists: {grown:.0f} MB (at most 150)")


def hashing(work: Path, megabytes: int) -> None:
    path = work / "big.safetensors"
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", 2) + b"{}")
        for _ in range(megabytes):
            file.write(os.urandom(1 << 20))
    bare_hash(path)
    ours, bare = [], []
    for _ in range(5):
        bare.append(timed(lambda: bare_hash(path)))
        ours.append(timed(lambda: hash_file(path)))
    speed, bare_speed = megabytes / statistics.median(ours), megabytes / statistics.median(bare)
    print(f"hashing: {speed:.0f} MB/s, a loop with two hashlib states: {bare_speed:.0f} MB/s,"
          f" ratio {speed / bare_speed:.2f} (at least 0.9)")  # fmt: skip
    path.unlink()


def loop_lag(root: Path, work: Path) -> None:
    """How long an event loop waits beside a cold scan, and beside a thread that only parses JSON."""
    import asyncio

    async def longest(seconds: float, running: Callable[[], bool]) -> tuple[float, float]:
        lags = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end and running():
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            lags.append(time.perf_counter() - before - 0.001)
        lags.sort()
        return lags[int(len(lags) * 0.99)], lags[-1]

    def beside(work: Callable[[], Any]) -> tuple[float, float]:
        thread = threading.Thread(target=work)
        thread.start()
        lag = asyncio.run(longest(8, thread.is_alive))
        thread.join()
        return lag

    def scan() -> None:
        with opened(root, work / "index lag") as library:
            library.scan()

    ours, bare = beside(scan), beside(lambda: bare_headers(root))
    print(f"event loop beside a cold scan: 99th percentile of lags {1000 * ours[0]:.1f} ms, longest"
          f" {1000 * ours[1]:.0f} ms; beside the bare loop in a thread: {1000 * bare[0]:.1f} ms,"
          f" {1000 * bare[1]:.0f} ms")  # fmt: skip


START = """
import asyncio, sys, time, types
sys.path.insert(0, sys.argv[1])
sys.argv = ["main.py", "--cpu", "--base-directory", sys.argv[2]]
import comfy.options
comfy.options.enable_args_parsing()
import server, folder_paths
import execution  # what the host has imported before it loads packs
from PIL import Image
import aiohttp, json, sqlite3
folder_paths.folder_names_and_paths["loras"][0][:] = [sys.stdin.readline().strip()]
async def go():
    prompts = server.PromptServer(asyncio.get_running_loop())
    prompts.prompt_queue = types.SimpleNamespace(currently_running={})
    import importlib.util
    from pathlib import Path
    root = Path(sys.stdin.readline().strip())
    spec = importlib.util.spec_from_file_location("pack", root / "__init__.py", submodule_search_locations=[str(root)])
    package = importlib.util.module_from_spec(spec)
    sys.modules["pack"] = package
    spec.loader.exec_module(package)
    started = time.perf_counter()
    from pack.api.library_routes import register_library
    register_library(prompts)
    loaded = time.perf_counter()
    for callback in prompts.app.on_startup:
        if "lora" in getattr(callback, "__module__", "") or callback.__module__.startswith("pack"):
            await callback(prompts.app)
    print(1000 * (loaded - started), 1000 * (time.perf_counter() - loaded))
asyncio.run(go())
"""


def host_start(root: Path, host: Path, work: Path) -> None:
    """What the host waits for: importing and registering the library, and its start when the server starts."""
    totals = []
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(work / "bytecode")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    for run in range(9):
        base = work / f"base{run % 2}"  # every second run finds an index
        for name in ("custom_nodes", "input", "models/loras", "output", "temp", "user"):
            (base / name).mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-c", START, str(host), str(base)], input=f"{root}\n{REPOSITORY}\n",
            capture_output=True, text=True, cwd=host, env=environment,
        )  # fmt: skip
        if done.returncode:
            print(done.stderr[-3000:])
            return
        load, start = map(float, done.stdout.split()[-2:])
        if run:  # the first one compiles the modules
            totals.append(load + start)
    print(f"host's start waits for the library (import, routes, thread): median {statistics.median(totals):.0f} ms,"
          f" most {max(totals):.0f} ms of {len(totals)} starts (at most 50)")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--folders", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--hash-megabytes", type=int, default=1024)
    parser.add_argument("--tree", type=Path, help="where the generated files lie or go; kept")
    parser.add_argument("--host", type=Path, help="a folder with ComfyUI's main.py")
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="lora-deck-benchmark-"))
    try:
        root = options.tree or work / "tree"
        root.mkdir(parents=True, exist_ok=True)
        make_tree(root, options.files, options.folders)
        print(f"{options.files:,} files in {options.folders} folders; Python {platform.python_version()},"
              f" {os.cpu_count()} cores, {platform.machine()}, {platform.system()};"
              f" load {os.getloadavg()[0]:.1f}")  # fmt: skip
        cold_and_warm(root, work, options.runs)
        queries(root, work / "index0")
        memory(root, work)
        loop_lag(root, work)
        hashing(work, options.hash_megabytes)
        if options.host:
            host_start(root, options.host, work)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
