"""Factors read past the mapping are the file's, whatever their place in it; on a CPU the same code reads them."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import pytest
from lora_deck.stack.errors import LoraFileError

from .test_files import save

CPU = "cpu"


def write(folder: Path, name: str, seed: int, rank: int, dtype: Any = None, alpha: bool = True) -> Path:
    """A file of linear layers and convolutions of odd sizes."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for i, (out, inner, *kernel) in enumerate([(17, 33), (5, 7, 3, 3), (128, 64), (9, 21)] * 5):
        ones = [1] * len(kernel)
        tensors[f"m{i}.lora_up.weight"] = torch.randn(out, rank, *ones, generator=generator).to(dtype or torch.float16)
        tensors[f"m{i}.lora_down.weight"] = torch.randn(rank, inner, *kernel, generator=generator).to(
            dtype or torch.float16
        )
        if alpha:
            tensors[f"m{i}.alpha"] = torch.tensor(float(i), dtype=torch.float32)
    return save(folder / f"{name}.safetensors", tensors)


def shared(*paths: Path, rank: int | None = None) -> list[Any]:
    """The factors of each weight that the files change; `rank`: of the first file, cut down."""
    from lora_deck.patching.factors import SharedFactors
    from lora_deck.patching.lying import AsTensors
    from lora_deck.patching.mapped import map_file

    files = []
    for path in paths:
        mapped = map_file(str(path))
        # Nobody looks through the mapping any more when a test cuts the file short.
        assert mapped is not None and mapped.sound.result()
        files.append(mapped.tensors())
    cut = [slice(rank), *[slice(None)] * (len(files) - 1)]
    return [
        SharedFactors(
            tuple(
                AsTensors(file[f"m{i}.lora_up.weight"][:, c], file[f"m{i}.lora_down.weight"][c])
                for file, c in zip(files, cut, strict=True)
            )
        )
        for i in range(20)
    ]


def uploaded(factors: list[Any]) -> list[Any]:
    """(U, D) of each, whose numbers must come once each."""
    import torch
    from lora_deck.patching.upload import empty, filled

    pairs = [empty(one, torch.device(CPU)) for one in factors]
    numbers = [number for some in filled(factors, pairs, torch.device(CPU)) for number in some]
    assert sorted(numbers) == list(range(len(factors)))
    return pairs


def check(factors: list[Any], pairs: list[Any]) -> None:
    import torch

    for one, (u, d) in zip(factors, pairs, strict=True):
        ups, downs = one.tensors
        assert u.dtype == d.dtype == one.dtype and one.size == (u.numel() + d.numel()) * u.itemsize
        assert torch.equal(u, torch.cat([up.flatten(1).to(one.dtype) for up in ups], 1))
        assert torch.equal(d, torch.cat([down.flatten(1).to(one.dtype) for down in downs]))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch, comfy: Any) -> list[Any]:
    from lora_deck.patching import upload

    found: list[Any] = []
    real = upload._fill

    def watched(memory: Any, job: Any) -> None:
        found.append(job)
        real(memory, job)

    monkeypatch.setattr(upload, "_fill", watched)
    return found


@pytest.mark.parametrize(("piece", "batch"), [(1 << 25, 1 << 29), (1000, 9000), (64, 1)])
def test_factors_are_the_files(
    tmp_path: Path, reads: list[Any], monkeypatch: pytest.MonkeyPatch, piece: int, batch: int
) -> None:
    import torch
    from lora_deck.patching import upload

    monkeypatch.setattr(upload, "_PIECE", piece)
    monkeypatch.setattr(upload, "_BATCH", batch)
    factors = shared(write(tmp_path, "a", 1, 3), write(tmp_path, "b", 2, 8, alpha=False), write(tmp_path, "c", 3, 1))
    with torch.inference_mode():
        pairs = uploaded(factors)
    check(factors, pairs)
    assert not any(factor.is_inference() for pair in pairs for factor in pair)
    assert reads and all(job.length <= piece for job in reads)
    whole = sum(f.size for f in factors)
    assert whole <= sum(job.length for job in reads) < whole * (1.2 if batch > whole else 30)


def alike(*paths: Path) -> list[Any]:
    """The factors of files of one layout, of which no tensor was made."""
    from lora_deck.patching.factors import SharedFactors
    from lora_deck.patching.lying import InFiles
    from lora_deck.patching.mapped import map_file

    files = [map_file(str(path)) for path in paths]
    assert all(file is not None and file.sound.result() for file in files)
    assert len({file.table for file in files if file is not None}) == 1
    places = {place.name: place for place in files[0].table.places}  # type: ignore[union-attr]
    sources: Any = tuple(file.source for file in files if file is not None)
    return [
        SharedFactors(
            (InFiles(tuple(files), sources, places[f"m{i}.lora_up.weight"], places[f"m{i}.lora_down.weight"]),)  # type: ignore[arg-type]
        )
        for i in range(20)
    ]


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize(("piece", "batch"), [(1 << 23, 1 << 27), (1000, 9000), (64, 1)])
def test_files_of_one_layout_are_read_together(
    tmp_path: Path, reads: list[Any], monkeypatch: pytest.MonkeyPatch, piece: int, batch: int, count: int
) -> None:
    """Their headers may be of different lengths."""
    from lora_deck.patching import upload
    from safetensors.torch import load_file

    monkeypatch.setattr(upload, "_PIECE", piece)
    monkeypatch.setattr(upload, "_BATCH", batch)
    paths = []
    for i in range(count):
        path = write(tmp_path, f"f{i}", i, 3)
        paths.append(save(path, load_file(path), {"note": "x" * 100 * i}))
    factors = alike(*paths)
    check(factors, uploaded(factors))
    assert {Path(job.source.path).stem for job in reads} == {path.stem for path in paths}


def test_files_of_one_layout_beside_another(tmp_path: Path, reads: list[Any]) -> None:
    from lora_deck.patching.factors import SharedFactors

    pair = alike(write(tmp_path, "a", 1, 3), write(tmp_path, "b", 2, 3))
    other = shared(write(tmp_path, "c", 3, 5))
    factors = [SharedFactors((*one.parts, *two.parts, *one.parts)) for one, two in zip(pair, other, strict=True)]
    assert factors[0].ranks == (3, 3, 5, 3, 3)
    check(factors, uploaded(factors))


def test_a_rank_that_is_cut_down(tmp_path: Path, reads: list[Any]) -> None:
    factors = shared(write(tmp_path, "a", 1, 6), write(tmp_path, "b", 2, 2), rank=4)
    assert not factors[0].tensors[0][0].is_contiguous()
    check(factors, uploaded(factors))
    assert reads


def test_other_types_and_tensors_of_no_file_are_copied(tmp_path: Path, reads: list[Any]) -> None:
    import torch
    from lora_deck.patching.factors import SharedFactors
    from lora_deck.patching.lying import AsTensors

    mixed = shared(write(tmp_path, "a", 1, 3), write(tmp_path, "b", 2, 3, torch.float32))
    plain = shared(write(tmp_path, "c", 3, 2, torch.bfloat16))
    loose = [
        SharedFactors(tuple(AsTensors(up.clone(), down.clone()) for up, down in zip(*f.tensors, strict=True)))
        for f in plain
    ]
    factors = [f for group in zip(mixed, plain, loose, strict=True) for f in group]
    check(factors, uploaded(factors))
    assert {Path(job.source.path).stem for job in reads} == {"c"}


def test_a_file_that_became_shorter_is_an_error(tmp_path: Path, comfy: Any) -> None:
    """Its mapping has no such pages any more either: whoever touches them ends the process."""
    path = write(tmp_path, "a", 1, 3)
    factors = shared(path)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(LoraFileError, match=r"a\.safetensors: has become shorter"):
        uploaded(factors)


def test_a_file_that_cannot_be_read_again_is_copied_from_its_mapping(
    tmp_path: Path, comfy: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> int:
        raise OSError("Input/output error")

    factors = shared(write(tmp_path, "a", 1, 3))
    monkeypatch.setattr(os, "preadv", fail)
    check(factors, uploaded(factors))
    assert "could not be read again (Input/output error)" in caplog.text


def test_another_file_at_the_same_address_stays_known(tmp_path: Path, comfy: Any) -> None:
    """An address is free before its mapping is said to be gone."""
    from lora_deck.patching import mapped

    factors = shared(write(tmp_path, "a", 1, 3))
    (address,) = [a for a, source in mapped._sources.items() if Path(source.path).parent == tmp_path]
    gone = mapped._sources[address]
    with (tmp_path / "a.safetensors").open("rb") as file:
        other = mapped._sources[address] = mapped.Source("other", file.fileno(), 0)
    del factors
    gc.collect()
    assert mapped._sources[address] is other
    os.fstat(other.handle)
    handle = gone.handle
    del mapped._sources[address], gone
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle)


def test_handles_go_with_their_mappings(tmp_path: Path, comfy: Any) -> None:
    from lora_deck.patching import mapped

    gc.collect()
    before = dict(mapped._sources)
    factors = shared(write(tmp_path, "a", 1, 3))
    (address,) = mapped._sources.keys() - before.keys()
    handle = mapped._sources[address].handle
    os.fstat(handle)
    del factors
    gc.collect()
    assert mapped._sources.keys() == before.keys()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle)
