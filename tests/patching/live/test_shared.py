"""Layers with one input share a product: the results are those of layers alone, what is not shared costs nothing."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ..test_apply import apply, write_lora
from .test_engine import model as model

pytestmark = pytest.mark.usefixtures("comfy")

WIDTH, CONTEXT, RANK, TOKENS = 24, 40, 4, 6
EXACT = 1e-6
SHARED = 6
"""Products of a block where q, k and v of attn1 share one; beside them there is one of the context for all blocks."""
Change = Callable[[Tensor], Tensor]


class Attention(nn.Module):
    def __init__(self, width: int, context: int) -> None:
        super().__init__()
        self.to_q, self.to_k, self.to_v = nn.Linear(width, width), nn.Linear(context, width), nn.Linear(context, width)
        self.to_out = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor, change: Change = lambda x: x, of: str = "") -> Tensor:
        q = self.to_q(x)
        k = self.to_k(change(context) if of == "to_k" else context)
        v = self.to_v(change(context) if of == "to_v" else context)
        return self.to_out(q * 0.5 + k.mean(1, keepdim=True) - v.mean(1, keepdim=True))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn1, self.attn2 = Attention(WIDTH, WIDTH), Attention(WIDTH, CONTEXT)
        self.net = nn.ModuleList([nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)])

    def forward(self, x: Tensor, context: Tensor, change: Change, of: str) -> Tensor:
        h = x * 1.0
        x = x + self.attn1(h, h, change, of)
        x = x + self.attn2(x, context)
        return x + self.net[1](self.net[0](x * 1.0))


class Model(nn.Module):
    """Two transformer blocks. `change`: what happens to the input of attn1 before its layer `of`."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])
        self.change: Change = lambda x: x
        self.of = "to_k"

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, context, self.change, self.of)
        return x


class Products(TorchDispatchMode):
    """Counts products with `down`: the layers' own have a bias, those with `up` add to something."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten.mm.default
        return func(*args, **(kwargs or {}))


class Applied:
    """A model with LoRAs in the forward pass. Of two entries the second is on attn2 alone."""

    def __init__(self, entries: int = 1, root: Model | None = None, seed: int = 1) -> None:
        from lora_deck.patching.live.factors import Factors
        from lora_deck.patching.live.parts import Step
        from lora_deck.strategies.forms import Pair

        torch.manual_seed(seed)
        self.root = root or Model().requires_grad_(False)
        self.pairs: list[tuple[str, int, Tensor, Tensor]] = []
        steps: dict[str, list[Step]] = {}
        for name, module in self.root.named_modules():
            for entry in range(entries) if isinstance(module, nn.Linear) else ():
                if entry == 0 or "attn2" in name:
                    up = torch.randn(module.out_features, RANK) * 0.1
                    down = torch.randn(RANK, module.in_features) * 0.1
                    self.pairs.append((name, entry, up, down))
                    steps.setdefault(name, []).append(Step(entry, Pair(up, down), None))
        self.factors = Factors({k: tuple(v) for k, v in steps.items()}, torch.float32, object())
        self.x = torch.randn(4, TOKENS, WIDTH)
        self.context = torch.randn(4, TOKENS, CONTEXT)

    @contextmanager
    def inside(self, *weights: tuple[float, ...]) -> Iterator[None]:
        from lora_deck.patching.live.bound import bind
        from lora_deck.patching.live.engine import in_place

        bound = bind(self.factors, self.root, torch.device("cpu"))
        bound.set_weights(weights)
        with in_place(bound):
            yield

    def run(self, *weights: tuple[float, ...], inference: bool = True) -> tuple[Tensor, int]:
        """(what the model gives, the number of products) for weights of the entries, perhaps per half of the batch."""
        with torch.inference_mode(inference), torch.no_grad(), self.inside(*weights), Products() as products:
            return self.root(self.x * 1.0, self.context * 1.0), products.count

    def truth(self, *weights: tuple[float, ...]) -> Tensor:
        """The same from the sum of weight and product, in fp64."""
        size = self.x.shape[0] // len(weights)
        results = []
        for i, row in enumerate(weights):
            merged = copy.deepcopy(self.root).double()
            for name, entry, up, down in self.pairs:
                layer: Any = merged.get_submodule(name)
                layer.weight += row[entry] * (up.double() @ down.double())
            part = slice(i * size, (i + 1) * size)
            results.append(merged(self.x[part].double() * 1.0, self.context[part].double() * 1.0))
        return torch.cat(results)


def error(got: Tensor, truth: Tensor) -> float:
    return float((got.double() - truth).norm() / truth.norm())


@pytest.mark.parametrize("inference", [True, False])
@pytest.mark.parametrize(
    "weights",
    [((1.0, 1.0),), ((0.7, -0.4),), ((0.7, -0.4), (0.1, 0.9)), ((0.7, 0.0), (0.0, 0.0), (0.3, 1.0), (1.0, 1.0))],
)
def test_results_are_those_of_layers_alone(weights: Sequence[tuple[float, ...]], inference: bool) -> None:
    applied = Applied(entries=2)
    first, alone = applied.run(*weights, inference=inference)
    for _ in range(2):
        again, products = applied.run(*weights, inference=inference)
        assert products == 2 * SHARED + 1 < alone
        assert error(again, first.double()) < EXACT and error(again, applied.truth(*weights)) < EXACT


def test_the_number_of_products_stays_when_weights_move() -> None:
    applied = Applied(entries=2)
    applied.run((0.5, 0.5))
    for step in range(3):
        row = (0.1 + step, 0.3 - step)
        got, products = applied.run(row)
        assert products == 2 * SHARED + 1 and error(got, applied.truth(row)) < EXACT
    for weights in (((0.5, 0.2), (0.1, -1.0)), ((0.5, 0.1),), ((0.3, 0.2), (-0.1, 0.4)), ((0.7, 0.2), (-0.1, 0.4))):
        got, products = applied.run(*weights)
        assert products == 2 * SHARED + 1 and error(got, applied.truth(*weights)) < EXACT


def test_layers_without_weight_take_no_part() -> None:
    applied = Applied(entries=2)
    for row, expected in (((0.0, 0.5), 2 * 2 + 1), ((0.5, 0.0), 2 * SHARED + 1), ((0.0, 0.5), 2 * 2 + 1)):
        applied.run(row)
        got, products = applied.run(row)
        assert products == expected and error(got, applied.truth(row)) < EXACT


def test_weights_that_take_turns_learn_once() -> None:
    """As prompts and steps with LoRAs of their own do."""
    applied = Applied(entries=2)
    turns = (((0.0, 0.5), 2 * 2 + 1), ((0.5, 0.0), 2 * SHARED + 1))
    for row, _ in turns:
        applied.run(row)
    for _ in range(3):
        for row, expected in turns:
            got, products = applied.run(row)
            assert products == expected and error(got, applied.truth(row)) < EXACT


@pytest.mark.parametrize(("of", "more"), [("to_k", 2), ("to_v", 1)])
def test_siblings_with_different_inputs(of: str, more: int) -> None:
    """Neighbours share, a layer with an input of its own goes alone; nothing is multiplied in vain."""
    applied = Applied()
    applied.root.change, applied.root.of = lambda x: x + 1, of
    applied.run((0.7,))
    for _ in range(2):
        got, products = applied.run((0.7,))
        assert products == 2 * (SHARED + more) + 1 and error(got, applied.truth((0.7,))) < EXACT


@pytest.mark.parametrize("inference", [True, False])
def test_an_input_that_changes_in_place(inference: bool) -> None:
    applied = Applied()
    applied.root.change = lambda x: x.add_(1)
    for _ in range(3):
        got, _ = applied.run((0.7,), inference=inference)
        assert error(got, applied.truth((0.7,))) < EXACT


def test_an_input_that_changes_in_place_later() -> None:
    """Where tensors count their changes, the host's do not."""
    applied = Applied()
    applied.run((0.7,), inference=False)
    applied.root.change = lambda x: x.mul_(0.5)
    for _ in range(2):
        got, _ = applied.run((0.7,), inference=False)
        assert error(got, applied.truth((0.7,))) < EXACT


def test_what_does_not_come_true_is_not_tried_again() -> None:
    applied = Applied()
    applied.run((0.7,))
    applied.root.change = lambda x: x + 1
    counts = []
    for _ in range(3):
        got, products = applied.run((0.7,))
        counts.append(products)
        assert error(got, applied.truth((0.7,))) < EXACT
    assert counts == [2 * (SHARED + 1) + 1, 2 * (SHARED + 2) + 1, 2 * (SHARED + 2) + 1]


def test_a_block_that_is_left_out() -> None:
    """Of the layers of the context those of one block share on."""
    applied = Applied()
    applied.run((0.7,))
    whole = applied.root.blocks
    applied.root.blocks = whole[:1]  # type: ignore[assignment]
    for expected in (SHARED + 1, SHARED + 1):
        assert applied.run((0.7,))[1] == expected
    applied.root.blocks = whole
    got, products = applied.run((0.7,))
    assert products == 2 * SHARED + 2 and error(got, applied.truth((0.7,))) < EXACT


@pytest.mark.parametrize("is_known", [True, False])
def test_after_an_exception(is_known: bool) -> None:
    applied = Applied()
    held: list[Any] = []

    def cancelled(x: Tensor) -> Tensor:
        held.append(weakref.ref(x))
        raise RuntimeError("cancelled")

    if is_known:
        applied.run((0.7,))
    applied.root.change = cancelled
    with pytest.raises(RuntimeError, match="cancelled"):
        applied.run((0.7,))
    assert held[0]() is None and not any("forward" in module.__dict__ for module in applied.root.modules())
    applied.root.change = lambda x: x
    for _ in range(2):
        got, products = applied.run((0.7,))
        assert error(got, applied.truth((0.7,))) < EXACT
    assert products == 2 * SHARED + 1


def test_an_input_lives_no_longer_than_its_last_layer() -> None:
    applied = Applied()
    attention: Any = applied.root.blocks[0].attn1
    with torch.inference_mode():
        applied.run((0.7,))
        with applied.inside((0.7,)):
            x = torch.randn(2, TOKENS, WIDTH)
            alive = weakref.ref(x)
            attention.to_q(x), attention.to_k(x), attention.to_v(x)
            del x
            assert alive() is None


def test_another_type_than_the_factors() -> None:
    applied = Applied()
    got32, _ = applied.run((0.7,))
    applied.root.double()
    applied.x, applied.context = applied.x.double(), applied.context.double()
    for _ in range(2):
        got, _ = applied.run((0.7,))
        assert error(got, applied.truth((0.7,))) < EXACT and error(got32, got) < EXACT


def test_two_stacks_on_one_model() -> None:
    one, two = Applied(seed=1), Applied(seed=2)
    two.root = one.root
    truth = Applied.__new__(Applied)
    truth.__dict__.update(one.__dict__)
    stacks = (one, 0.7), (two, 0.4), (one, -0.2)
    truth.pairs = [(name, 0, up * weight, down) for each, weight in stacks for name, _, up, down in each.pairs]
    for expected in (None, 3 * (2 * SHARED + 1)):
        inside = one.inside((0.7,)), two.inside((0.4,)), one.inside((-0.2,))
        with torch.inference_mode(), inside[0], inside[1], inside[2], Products() as products:
            got = one.root(one.x, one.context)
        assert expected in (None, products.count) and error(got, truth.truth((1.0,))) < EXACT


def test_batches_of_another_size() -> None:
    """Groups of rows that go through the model one by one."""
    applied = Applied()
    applied.run((0.7,))
    for size in (1, 3):
        applied.x, applied.context = torch.randn(size, TOKENS, WIDTH), torch.randn(size, TOKENS, CONTEXT)
        got, products = applied.run((0.7,))
        assert products == 2 * SHARED + 1 and error(got, applied.truth((0.7,))) < EXACT


def test_rows_that_cannot_be_told_apart() -> None:
    from lora_deck.patching.live.layer import RowsError

    applied = Applied()
    rows = (0.7,), (0.1,)
    applied.run(*rows)
    whole = applied.x, applied.context
    applied.x, applied.context = applied.x[:3], applied.context[:3]
    with pytest.raises(RowsError):
        applied.run(*rows)
    applied.x, applied.context = whole
    assert error(applied.run(*rows)[0], applied.truth(*rows)) < EXACT


@pytest.mark.parametrize("eager_first", [True, False])
def test_compiled_layers_stand_alone(eager_first: bool) -> None:
    graphs = []

    def backend(module: Any, inputs: Any) -> Any:
        graphs.append(module)
        return module.forward

    torch._dynamo.reset()
    applied = Applied()
    if eager_first:
        applied.run((0.7,))
    compiled = torch.compile(applied.root, backend=backend)
    count = None
    for weight in (0.7, 0.6, -0.3):
        with torch.inference_mode(), applied.inside((weight,)):
            got = compiled(applied.x, applied.context)
        assert error(got, applied.truth((weight,))) < EXACT
        count = count or len(graphs)
        assert len(graphs) == count > 0
    assert error(applied.run((0.7,))[0], applied.truth((0.7,))) < EXACT
    torch._dynamo.reset()


def test_the_tensors_are_no_larger() -> None:
    """Every `down` is kept once, those of a module's layers side by side."""
    applied = Applied(entries=2)
    assert sum(t.numel() for t in applied.factors.tensors) == sum(u.numel() + d.numel() for _, _, u, d in applied.pairs)
    segments = applied.factors.segments
    (q,), (k,), (v,) = (segments[f"blocks.1.attn1.to_{name}"] for name in "qkv")
    assert (q.first + q.rank, k.first + k.rank) == (k.first, v.first)


def test_sampling(comfy: Any, model: Any, lora_folder: Path) -> None:
    """On the host's UNet: q, k and v of three attentions of the input, k and v of three of the context."""
    from . import sampling as s

    blocks = ("down_blocks_0_attentions_0", "mid_block_attentions_0", "up_blocks_0_attentions_0")
    modules = {
        f"lora_unet_{block}_transformer_blocks_0_attn{number}_to_{name}": (320, inputs)
        for block in blocks
        for number, name, inputs in (*((1, n, 320) for n in "qkv"), (2, "q", 320), (2, "k", 768), (2, "v", 768))
    }
    write_lora(lora_folder / "qkv.safetensors", modules, seed=1)
    conditions = [s.condition(1)], [s.condition(2)]
    patched = s.sample(apply(model, None, "<lora:qkv:0.7>", method="patch").model, *conditions, steps=3)
    live = apply(model, None, "<lora:qkv:0.7>", method="live").model
    s.sample(live, *conditions, steps=1)
    before = Products()
    with before:
        got = s.sample(live, *conditions, steps=3)
    plain = Products()
    with plain:
        base = s.sample(model, *conditions, steps=3)
    assert s.difference(got, patched, base) < 2e-5
    assert before.count - plain.count == 3 * (3 + 3 + 1)
