#!/usr/bin/env python3
"""The tag's grammar: how long a 1 MB prompt takes, and that no text breaks it.

python benchmarks/grammar.py                      four prompts of 1 MB against a bare search for "<lora:"
python benchmarks/grammar.py --random 1000000     random texts, each parsed, printed and parsed again
"""

from __future__ import annotations

import argparse
import platform
import random
import re
import time
from collections.abc import Callable

from speed.host import load_pack

MEGABYTE = 1_000_000
FRAGMENTS = (
    "<lora:", "<LYCO:", "<lora", ">", ">", ":", ":", "=", "te", "UNET ", "dyn", "lbw", "w", "lbwe", "hr", "hrte", "x",
    "start", "0.5", "1", "-1", "1e3", "1_0", "１", "0@0,1@1", "~", "8", "\\", "\\:", "\\>", "{", "}", "|", " ", "\n",
    "\0",    "\ufeff", "a", "ink", "墨", "😀", "./", "/", "[v1]",
)  # fmt: skip


def best(action: Callable[[], object], runs: int = 7) -> float:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def prompts() -> dict[str, str]:
    words = "a small boat on a quiet lake, (ink wash:1.2), rice paper, "
    one_in = words * 8 + "<lora:ink_wash_v2:0.8:unet=0.5:lbw=MIDD> "
    return {
        "words, a tag every 500 characters": one_in * (MEGABYTE // len(one_in)),
        "words alone": words * (MEGABYTE // len(words)),
        "nothing but tags": "<lora:ink_wash_v2:0.8:0.5>" * (MEGABYTE // 26),
        "openings without an end": "<lora:" * (MEGABYTE // 6),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--random", type=int, metavar="N", help="parse N random texts instead")
    options = parser.parse_args()
    load_pack()
    from lora_deck.stack.printer import print_stack
    from lora_deck.stack.tag import parse_prompt

    print(f"Python {platform.python_version()}, {platform.machine()}")
    if options.random:
        rng = random.Random(1)
        slowest, start = 0.0, time.perf_counter()
        for _ in range(options.random):
            text = "".join(rng.choices(FRAGMENTS, k=rng.randint(1, 40)))
            began = time.perf_counter()
            first = parse_prompt(text)
            slowest = max(slowest, time.perf_counter() - began)
            assert parse_prompt(print_stack(first.stack)).stack.entries == first.stack.entries, text
        seconds = time.perf_counter() - start
        print(f"{options.random} texts in {seconds:.0f} s, slowest {slowest * 1000:.1f} ms, none broke it")
        return
    for title, text in prompts().items():
        ours = best(lambda text=text: parse_prompt(text))
        bare = best(lambda text=text: re.findall("<lora:", text))
        ratio = f"{ours / bare:.0f} x a bare search for the opening"
        print(f"{title:36} {len(text) / 1e6:.2f} MB  {ours * 1000:7.1f} ms  ({ratio})")


if __name__ == "__main__":
    main()
