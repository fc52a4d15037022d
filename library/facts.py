"""What the keys and the metadata of a header tell about a LoRA file. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..stack.architectures import detect
from .header import Header

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""sha256 of no bytes at all; broken tools write it as the hash of a file."""

_TAIL = 22
"""Characters at the end of a key that tell its kind; hundreds of keys share a handful of them."""
_FAMILIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("LoHa", (".hada_w",)),
    ("LoKr", (".lokr_w",)),
    ("LoRA", ("lora_up", "lora_down", "lora_A", "lora_B", "lora.up", "lora.down", "_layer.up.weight", "lora1.",
              "lora2.", ":up\n", ".up.weight\n")),
    ("GLoRA", (".a1.weight\n", ".b2.weight\n")),
    ("IA3", (".on_input\n", ".ia3_l")),
    ("OFT", (".oft_blocks", ".oft_diag", ".oft_R")),
    ("BOFT", (".boft_R", ".boft_S", ".boft_s")),
    ("Norm", (".w_norm\n",)),
    ("Full", (".diff\n", ".set_weight\n")),
)  # fmt: skip
"""(family, parts of a tail of which one is enough)"""
_DOWN = ("lora_down", "lora_A", ".down.weight", ":down", "hada_w1_b", "lokr_w1_b", "lokr_w2_b")
"""Parts of the tails of the keys whose first dimension is the rank."""
_HASH = re.compile(r"(?:0x)?([0-9a-fA-F]{8,64})")
_WORDS = re.compile(r"[-_\w']+")


@dataclass(frozen=True, slots=True)
class Facts:
    """What one header tells."""

    architecture: str | None
    """Name of the base model's architecture by the keys (`stack.architectures`), `None` where no rule fits."""
    family: str
    """`LoRA`, `LoHa`, …; `+` joins several; with ` DoRA` behind it where magnitudes are in; empty: no LoRA."""
    ranks: tuple[int, int] | None
    """Smallest and largest rank."""
    alias: str
    """`ss_output_name`."""
    claims: tuple[str, ...]
    """Hashes, lower case, that the header says the file has: unproven until computed."""
    tensors: int


def facts(header: Header) -> Facts:
    """Reads the facts off a header."""
    tails = {name[-_TAIL:] for name in header.shapes}
    metadata = header.metadata
    return Facts(
        architecture=detect(header.shapes),
        family=_family(tails, header.shapes),
        ranks=_ranks(tails, header.shapes),
        alias=metadata.get("ss_output_name", "").strip(),
        claims=hash_claims(metadata.get(key) for key in ("sshs_model_hash", "modelspec.hash_sha256")),
        tensors=len(header.shapes),
    )


def hash_claims(values: Iterable[Any]) -> tuple[str, ...]:
    """The values that can be (beginnings of) a sha256, lower case, without the hash of nothing."""
    found = (_HASH.fullmatch(value.strip()) for value in values if isinstance(value, str))
    claims = (match.group(1).lower() for match in found if match)
    return tuple(dict.fromkeys(c for c in claims if not is_empty_hash(c)))


def is_empty_hash(digits: str) -> bool:
    """Whether the digits are (the beginning of) the sha256 of nothing."""
    return EMPTY_SHA256.startswith(digits.lower())


def training_tags(metadata: Mapping[str, str]) -> dict[str, int]:
    """Tag → count over all folders of the training data, most frequent first.

    From `ss_tag_frequency`, or from the data sets of a kohya dataset file (`ss_datasets`). Captions that are whole
    sentences (mean length ≥ 16) are counted by their words of three letters and more, as A1111 does.
    """
    folders: list[Any] = [decoded(metadata.get("ss_tag_frequency"))]
    datasets = decoded(metadata.get("ss_datasets"))
    if not isinstance(folders[0], dict) and isinstance(datasets, list):
        folders = [d.get("tag_frequency") for d in datasets if isinstance(d, dict)]
    counts: dict[str, int] = {}
    for folder in folders:
        for tags in folder.values() if isinstance(folder, dict) else ():
            for tag, count in tags.items() if isinstance(tags, dict) else ():
                if isinstance(count, int) and (tag := tag.strip()):
                    counts[tag] = counts.get(tag, 0) + count
    if counts and sum(map(len, counts)) / len(counts) >= 16:
        counts = _words(counts)
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def resolutions(metadata: Mapping[str, str]) -> dict[str, int]:
    """`WxH` → number of training images, most first; from `ss_bucket_info`, on top or inside `ss_datasets`."""
    infos = [decoded(metadata.get("ss_bucket_info"))]
    datasets = decoded(metadata.get("ss_datasets"))
    if isinstance(datasets, list):
        infos += [d.get("bucket_info") for d in datasets if isinstance(d, dict)]
    counts: dict[str, int] = {}
    for info in infos:
        buckets = info.get("buckets") if isinstance(info, dict) else None
        for bucket in buckets.values() if isinstance(buckets, dict) else ():
            try:
                width, height = bucket["resolution"]
                counts[f"{int(width)}x{int(height)}"] = counts.get(f"{int(width)}x{int(height)}", 0) + int(
                    bucket["count"]
                )
            except (KeyError, TypeError, ValueError):
                continue
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def decoded(text: str | None) -> Any:
    """A metadata value that is JSON inside a string, as its value; `None` where it is none."""
    if not text or text[0] not in "{[":
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


@lru_cache(maxsize=16_384)
def _kind(tail: str) -> tuple[str, bool]:
    """(family of a key with this tail, empty if none; whether the key's first dimension is the rank)"""
    ended = tail + "\n"
    family = next((family for family, parts in _FAMILIES if any(part in ended for part in parts)), "")
    return family, any(part in tail for part in _DOWN)


def _family(tails: Iterable[str], shapes: Mapping[str, tuple[int, ...]]) -> str:
    present = {_kind(tail)[0] for tail in tails}
    found = [family for family, _ in _FAMILIES if family in present]
    # BOFT files of LyCORIS share OFT's key; theirs has one dimension more (blocks of stages).
    if "OFT" in found and any(len(s) == 4 for name, s in shapes.items() if name.endswith(".oft_blocks")):
        found[found.index("OFT")] = "BOFT"
    if len(found) > 1 and "Norm" in found:
        found.remove("Norm")
    family = "+".join(found)
    if family and any(tail.endswith("dora_scale") or "a_magnitude_vector" in tail for tail in tails):
        family += " DoRA"
    return family


def _ranks(tails: Iterable[str], shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, int] | None:
    down = {tail for tail in tails if _kind(tail)[1]}
    firsts = {shape[0] for name, shape in shapes.items() if name[-_TAIL:] in down and shape}
    ranks = [rank for rank in firsts if isinstance(rank, int)]
    return (min(ranks), max(ranks)) if ranks else None


def _words(captions: Mapping[str, int]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for caption, count in captions.items():
        for word in _WORDS.findall(caption):
            if len(word) >= 3:
                counts[word] = counts.get(word, 0) + count
    return counts
