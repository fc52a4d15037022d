"""Norms, products, singular values and best parts by factors, against the same of the full matrix in fp64."""

from __future__ import annotations

import pytest
import torch
from lora_deck.strategies import FileModules, Limit, Matrix, Product, Whole, inner, limited, read, rows_of, with_factors
from torch import Tensor

CPU = torch.device("cpu")


def noise(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def falling(seed: int, rows: int, columns: int, power: float) -> Tensor:
    """A matrix whose singular values fall as i⁻ᵖ; 0 for a flat spectrum of random numbers."""
    matrix = noise(seed, rows, columns, dtype=torch.float64)
    if not power:
        return matrix
    u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    return u @ torch.diag(torch.arange(1, len(s) + 1).double() ** -power) @ vt


def module(tensors: dict[str, Tensor]) -> FileModules:
    return read({f"m.{ending}": tensor for ending, tensor in tensors.items()})


def lora(rank: int = 12) -> dict[str, Tensor]:
    return {"lora_up.weight": noise(1, 40, rank), "lora_down.weight": noise(2, rank, 60), "alpha": torch.tensor(3.0)}


FILES: dict[str, tuple[dict[str, Tensor], tuple[int, ...]]] = {
    "lora": (lora(), (40, 60)),
    "lora, convolution": (
        {"lora_up.weight": noise(1, 40, 12, 1, 1), "lora_down.weight": noise(2, 12, 8, 3, 3)}, (40, 8, 3, 3),
    ),
    "lora, tucker": (
        {"lora_up.weight": noise(1, 40, 6, 1, 1), "lora_down.weight": noise(2, 6, 8, 1, 1),
         "lora_mid.weight": noise(3, 6, 6, 3, 3), "alpha": torch.tensor(2.0)}, (40, 8, 3, 3),
    ),
    "lora, wider than the layer": (
        {"lora_up.weight": noise(1, 40, 12, 1, 1), "lora_down.weight": noise(2, 12, 4, 1, 1)}, (40, 4, 1, 1),
    ),
    "loha, thin": (
        {"hada_w1_a": noise(1, 40, 3), "hada_w1_b": noise(2, 3, 60), "hada_w2_a": noise(3, 40, 4),
         "hada_w2_b": noise(4, 4, 60), "alpha": torch.tensor(1.5)}, (40, 60),
    ),
    "loha, thick": (
        {"hada_w1_a": noise(1, 40, 8), "hada_w1_b": noise(2, 8, 60), "hada_w2_a": noise(3, 40, 8),
         "hada_w2_b": noise(4, 8, 60)}, (40, 60),
    ),
    "loha, tucker": (
        {"hada_w1_a": noise(1, 3, 40), "hada_w1_b": noise(2, 3, 8), "hada_t1": noise(5, 3, 3, 3, 3),
         "hada_w2_a": noise(3, 3, 40), "hada_w2_b": noise(4, 3, 8), "hada_t2": noise(6, 3, 3, 3, 3)}, (40, 8, 3, 3),
    ),
    "lokr, whole": ({"lokr_w1": noise(1, 8, 6), "lokr_w2": noise(2, 5, 10)}, (40, 60)),
    "lokr, factored": (
        {"lokr_w1_a": noise(1, 8, 2), "lokr_w1_b": noise(2, 2, 6), "lokr_w2_a": noise(3, 5, 3),
         "lokr_w2_b": noise(4, 3, 10), "alpha": torch.tensor(1.0)}, (40, 60),
    ),
    "lokr, convolution": ({"lokr_w1": noise(1, 8, 2), "lokr_w2": noise(2, 5, 4, 3, 3)}, (40, 8, 3, 3)),
    "lokr, tucker": (
        {"lokr_w1": noise(1, 8, 2), "lokr_w2_a": noise(3, 3, 5), "lokr_w2_b": noise(4, 3, 4),
         "lokr_t2": noise(5, 3, 3, 3, 3)}, (40, 8, 3, 3),
    ),
    "full": ({"diff": noise(1, 40, 60)}, (40, 60)),
    "full, convolution": ({"diff": noise(1, 40, 8, 3, 3)}, (40, 8, 3, 3)),
    "rest": ({**lora(), "bias": noise(7, 40, 60)}, (40, 60)),
}  # fmt: skip
each_file = pytest.mark.parametrize(("tensors", "shape"), FILES.values(), ids=FILES.keys())


def change(found: FileModules, shape: tuple[int, ...]) -> tuple[Matrix, Tensor]:
    """(the change by factors, the change in fp64 as the family adds it)."""
    strategy = found.modules["m"].parameters["weight"]
    strategy.fit(shape)
    matrix = strategy.matrix(CPU)
    assert matrix is not None
    return matrix, strategy.delta(torch.zeros(shape, dtype=torch.float64)).flatten(1)


def relative(got: Tensor, wanted: Tensor) -> float:
    return float((got.double() - wanted).norm() / wanted.norm())


@each_file
def test_a_change_by_factors_is_the_change(tensors: dict[str, Tensor], shape: tuple[int, ...]) -> None:
    matrix, full = change(module(tensors), shape)
    s = torch.linalg.svdvals(full)
    assert matrix.shape == full.shape and relative(matrix.dense(), full) < 1e-12
    assert matrix.energy() == pytest.approx(float(full.square().sum()), rel=1e-12)
    u, values, vt = matrix.svd()
    padded = torch.zeros_like(s)
    padded[: len(values)] = values[: len(s)]
    assert relative(padded, s) < 1e-7 and relative(u @ torch.diag(values) @ vt, full) < 1e-12
    assert int((s > 1e-9 * s[0]).sum()) <= matrix.rank <= min(full.shape)
    for share in (0.5, 0.9, 0.99):
        reached = s.square().cumsum(0) >= share * s.square().sum()
        assert matrix.effective_rank(share) == int(reached.int().argmax()) + 1
    part = rows_of(matrix, 7, 11)
    assert relative(part.dense(), full[7:18]) < 1e-12 and part.energy() == pytest.approx(float(full[7:18].norm() ** 2))


@each_file
@pytest.mark.parametrize("rank", [1, 3, 5])
def test_the_best_part_is_that_of_the_full_matrix(
    tensors: dict[str, Tensor], shape: tuple[int, ...], rank: int
) -> None:
    found = module(tensors)
    strategy = found.modules["m"].parameters["weight"]
    _, full = change(found, shape)
    if "bias" in tensors:
        full = full - tensors["bias"].double() * 0.25
    u, s, vt = torch.linalg.svd(full, full_matrices=False)
    best = (u[:, :rank] * s[:rank]) @ vt[:rank]
    result = limited(strategy, Limit(rank=rank), CPU)
    if result is None:
        assert int((s > 1e-9 * s[0]).sum()) <= rank
        return
    cut = with_factors(strategy, result.factors)
    cut.fit(shape)
    got = cut.delta(torch.zeros(shape, dtype=torch.float64)).flatten(1)
    if "bias" in tensors:
        got = got - tensors["bias"].double() * 0.25
    if "diff" in tensors:
        assert (full - got).norm() <= 1.01 * s[rank:].norm()
    else:
        assert relative(got, best) < 1e-5
    assert result.rank == cut.rank == rank
    assert result.share == pytest.approx(float(s[:rank].square().sum() / s.square().sum()), rel=1e-3)


@each_file
@pytest.mark.parametrize("share", [0.4, 0.8, 0.97])
def test_the_fewest_ranks_that_keep_a_share(tensors: dict[str, Tensor], shape: tuple[int, ...], share: float) -> None:
    if "bias" in tensors:
        tensors = {ending: tensor for ending, tensor in tensors.items() if ending != "bias"}
    found = module(tensors)
    matrix, full = change(found, shape)
    squares = torch.linalg.svdvals(full).square()
    fewest = int((squares.cumsum(0) >= share * squares.sum()).int().argmax()) + 1
    result = limited(found.modules["m"].parameters["weight"], Limit(energy=share), CPU)
    assert (result.rank if result is not None else matrix.rank) == fewest
    assert result is None or result.share >= share


@pytest.mark.parametrize("power", [0, 0.3, 1, 3])
@pytest.mark.parametrize(("rows", "columns"), [(300, 200), (150, 500)])
@pytest.mark.parametrize("rank", [4, 16, 40])
def test_a_sketch_of_a_full_difference_is_within_a_hundredth(rows: int, columns: int, rank: int, power: float) -> None:
    full = falling(rank, rows, columns, power)
    matrix = Whole(full, may_sketch=True)
    s = torch.linalg.svdvals(full)
    cut = matrix.best(Limit(rank=rank))
    optimum = float(s[rank:].square().sum().sqrt())
    assert cut.rank == rank
    assert float((full - cut.up @ cut.down).norm()) <= 1.01 * optimum
    assert cut.energy == pytest.approx(float((cut.up @ cut.down).norm() ** 2), rel=1e-6)


def test_a_sketch_is_what_is_measured_above(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thin limits take the sketch, thick ones and the exact families never do."""
    widths: list[int] = []
    sketch = Whole._sketch
    monkeypatch.setattr(Whole, "_sketch", lambda self, width: widths.append(width) or sketch(self, width))
    full = falling(1, 300, 200, 1)
    Whole(full, may_sketch=True).best(Limit(rank=16))
    assert len(widths) == 1
    Whole(full, may_sketch=True).best(Limit(rank=60))
    Whole(full).best(Limit(rank=16))
    assert len(widths) == 1
    energy = Whole(falling(1, 300, 200, 2), may_sketch=True).best(Limit(energy=0.99))
    squares = torch.linalg.svdvals(falling(1, 300, 200, 2)).square()
    assert len(widths) == 2
    assert energy.rank == int((squares.cumsum(0) >= 0.99 * squares.sum()).int().argmax()) + 1


@pytest.mark.parametrize("first", FILES, ids=FILES.keys())
def test_products_of_two_changes(first: str) -> None:
    tensors, shape = FILES[first]
    matrix, full = change(module(tensors), shape)
    for other, (others, other_shape) in FILES.items():
        if torch.Size(other_shape).numel() != torch.Size(shape).numel() or other_shape[0] != shape[0]:
            continue
        matrix2, full2 = change(module({k: t + 0.5 * noise(9, *t.shape) for k, t in others.items()}), other_shape)
        if full.shape == full2.shape:
            wanted = float((full * full2).sum())
            rounding = 1e-9 * float(full.norm() * full2.norm())
            assert inner(matrix, matrix2) == pytest.approx(wanted, rel=1e-9, abs=rounding), other


def test_glora_is_cut_in_both_products() -> None:
    """Both layouts: B and A are each the best of their rank, and what a weight becomes follows from them."""
    a1, a2, b1, b2 = noise(1, 60, 8), noise(2, 8, 60), noise(3, 40, 8), noise(4, 8, 60)
    weight = noise(5, 40, 60, dtype=torch.float64)

    def best(matrix: Tensor, rank: int) -> Tensor:
        u, s, vt = torch.linalg.svd(matrix.double(), full_matrices=False)
        return (u[:, :rank] * s[:rank]) @ vt[:rank]

    wanted = 0.5 * (best(b1 @ b2, 3) + weight @ best(a1 @ a2, 3))
    today = {"a1": a1, "a2": a2, "b1": b1, "b2": b2, "alpha": 4.0}
    old = {"a1": a2, "a2": a1, "b1": b2, "b2": b1, "alpha": 8 * 0.5**0.5}
    for layout in (today, old):
        tensors = {"alpha" if k == "alpha" else f"{k}.weight": torch.as_tensor(t) for k, t in layout.items()}
        strategy = module(tensors).modules["m"].parameters["weight"]
        result = limited(strategy, Limit(rank=3), CPU)
        assert result is not None and (result.rank_before, result.rank) == (8, 3)
        cut = with_factors(strategy, result.factors)
        assert cut.fit((40, 60)) == (40, 60) and cut.rank == 3
        assert relative(cut.delta(weight), wanted) < 1e-5
    energy = limited(strategy, Limit(energy=0.7), CPU)
    assert energy is not None and with_factors(strategy, energy.factors).fit((40, 60))


def test_families_without_a_rank_are_left_alone() -> None:
    for tensors in (
        {"w_norm": noise(1, 40), "b_norm": noise(2, 40)},
        {"oft_blocks": noise(1, 5, 8, 8)},
        {"weight": noise(1, 60), "on_input": torch.tensor(True)},
        {"diff": noise(1, 40)},
    ):
        strategy = module(tensors).modules["m"].parameters["weight"]
        assert limited(strategy, Limit(rank=1), CPU) is None and not strategy.parts(CPU)


def test_dora_is_cut_inside() -> None:
    weight = noise(5, 40, 60, dtype=torch.float64)
    plain = module(lora()).modules["m"].parameters["weight"]
    dora = module({**lora(), "dora_scale": noise(6, 40, 1).abs()}).modules["m"].parameters["weight"]
    result = limited(dora, Limit(rank=5), CPU)
    other = limited(plain, Limit(rank=5), CPU)
    assert result is not None and other is not None and result.share == other.share
    v = weight + with_factors(plain, other.factors).delta(weight)
    wanted = noise(6, 40, 1).abs().double() * v / v.norm(dim=1, keepdim=True) - weight
    assert relative(with_factors(dora, result.factors).delta(weight), wanted) < 1e-6


def test_nothing_is_kept_of_nothing() -> None:
    empty = Product(torch.zeros(8, 4), noise(1, 4, 9))
    for matrix in (empty, Whole(torch.zeros(8, 9)), Whole(torch.zeros(90, 90), may_sketch=True)):
        for limit in (Limit(rank=2), Limit(energy=0.9)):
            found = matrix.best(limit)
            assert found.rank <= 2 and torch.isfinite(found.up @ found.down).all() and not (found.up @ found.down).any()
        assert matrix.effective_rank() == 0 and matrix.energy() == 0
