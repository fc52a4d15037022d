"""Kill -9 at any point of an edit leaves the old or the new sidecar, whole."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from lora_deck.library import Library
from lora_deck.library.roots import Roots
from lora_deck.library.search import Query, Search

from .make import write_lora

TIMES = 200
SIZE = 400_000

CHILD = """
import importlib.util, sys
from pathlib import Path
root = Path(sys.argv[1])
spec = importlib.util.spec_from_file_location("lora_deck", root / "__init__.py", submodule_search_locations=[str(root)])
package = importlib.util.module_from_spec(spec)
sys.modules["lora_deck"] = package
spec.loader.exec_module(package)
from lora_deck.library.edits import edit, sidecar_path
from lora_deck.library.entries import indexed
from lora_deck.library.schema import Store
from lora_deck.library.sidecar import read_sidecar
assert not {"torch", "server", "comfy"} & set(sys.modules)
store = Store(Path(sys.argv[2]))
number = int(sys.argv[3])
path = sidecar_path(indexed(store, 1))
print("ready", flush=True)
sys.stdin.readline()
while True:
    number += 1
    edit(store, 1, read_sidecar(path).version, {"notes": f"{number} " + "x" * int(sys.argv[4])})
    print(number, flush=True)
"""


def test_a_killed_edit_leaves_a_whole_file(tmp_path: Path) -> None:
    loras = tmp_path / "loras"
    write_lora(loras / "ink.safetensors")
    first = {"zeta": 1, "notes": "0 " + "x" * SIZE, "unknown": {"kept": True}}
    sidecar = loras / "ink.json"
    sidecar.write_text(json.dumps(first))
    roots = Roots((str(loras),))
    library = Library(tmp_path / "index", lambda: roots)
    library.scan()
    assert [c["id"] for c in Search(library).page(Query(), 0, 9)] == [1]
    library.stop()
    choose = random.Random(13)
    number, killed_while_writing = 0, 0
    for _ in range(TIMES):
        arguments = [str(Path(__file__).parents[2]), str(tmp_path / "index"), str(number), str(SIZE)]
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert child.stdin is not None and child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.stdin.write("go\n")
        child.stdin.flush()
        time.sleep(choose.uniform(0.0, 0.06))
        child.send_signal(signal.SIGKILL)
        finished = [int(line) for line in child.stdout.read().split("\n")[:-1]]
        child.wait()
        confirmed = finished[-1] if finished else number
        killed_while_writing += bool(list(loras.glob(".lora-deck-*.tmp")))
        for left in loras.glob(".lora-deck-*.tmp"):
            left.unlink()
        content = json.loads(sidecar.read_text())
        found = int(content["notes"].split(" ")[0])
        # What was confirmed is there, or the edit after it, which was under way.
        assert found in (confirmed, confirmed + 1)
        assert content == {**first, "notes": f"{found} " + "x" * SIZE}
        backup = loras / "ink.json.bak"
        assert json.loads(backup.read_text()) == first if backup.exists() else found == 0
        number = found
    assert number > 0 and killed_while_writing > 0, "no kill hit an edit; the test says nothing"
    library = Library(tmp_path / "index", lambda: roots)
    library.scan()
    assert library.store.connection().execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert Search(library).page(Query(), 0, 9)[0]["fields"]["notes"].startswith(f"{number} ")
    library.stop()
