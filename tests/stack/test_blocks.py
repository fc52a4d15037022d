"""Block ids and block weights against real key names of each architecture."""

from __future__ import annotations

import pytest
from lora_deck.stack.block_weights import BlockWeightError, BlockWeights, resolve_block_weights, vector_lists
from lora_deck.stack.blocks import BlockLayout, layout_of, text_encoder_of
from lora_deck.stack.element_weights import resolve_element_weights
from lora_deck.stack.presets import read_block_presets, read_element_presets


def unet(inputs: int, outputs: int) -> BlockLayout:
    keys = [f"diffusion_model.input_blocks.{n}.0.weight" for n in range(inputs)]
    keys += [f"diffusion_model.output_blocks.{n}.0.weight" for n in range(outputs)]
    return layout_of([*keys, "diffusion_model.middle_block.1.proj_in.weight", "diffusion_model.time_embed.0.weight"])


def stacks(**counts: int) -> BlockLayout:
    keys = [f"diffusion_model.{name}.{n}.attn.weight" for name, count in counts.items() for n in range(count)]
    return layout_of([*keys, "diffusion_model.final_layer.linear.weight", "diffusion_model.time_embedding.0.weight"])


SD1, SDXL = unet(12, 12), unet(9, 9)
FLUX = stacks(double_blocks=19, single_blocks=38)
HUNYUAN_VIDEO = stacks(double_blocks=20, single_blocks=40)
WAN = stacks(blocks=30)
Z_IMAGE = stacks(layers=30, noise_refiner=2, context_refiner=2)


def weights(spec: str, layout: BlockLayout, x: float | None = None, **presets: str) -> BlockWeights:
    return resolve_block_weights(spec, layout, presets, x, "the file")


def acting(spec: str, layout: BlockLayout, **presets: str) -> dict[str, float]:
    found = weights(spec, layout, **presets)
    return {block: found.of(block) for block in layout.ids if found.of(block)}


def around(spec: str, layout: BlockLayout) -> tuple[float, ...]:
    return tuple(weights(spec, layout).of(key) for key in ("BASE", "CLIP", "T5", "PRE", "POST"))


@pytest.mark.parametrize(
    ("layout", "key", "block"),
    [
        (SD1, "diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_q.weight", "IN04"),
        (SD1, "diffusion_model.middle_block.1.proj_in.weight", "M00/1"),
        (SD1, "diffusion_model.output_blocks.11.0.in_layers.2.weight", "OUT11"),
        (SD1, "diffusion_model.time_embed.0.weight", "PRE"),
        (SDXL, "diffusion_model.label_emb.0.0.weight", "PRE"),
        (SD1, "diffusion_model.out.2.weight", "POST"),
        (FLUX, "diffusion_model.double_blocks.7.img_attn.qkv.weight", "D07"),
        (FLUX, "diffusion_model.single_blocks.7.linear1.weight", "S07"),
        (FLUX, "diffusion_model.img_in.weight", "PRE"),
        (FLUX, "diffusion_model.final_layer.adaLN_modulation.1.weight", "POST"),
        (HUNYUAN_VIDEO, "diffusion_model.txt_in.individual_token_refiner.blocks.0.mlp.0.weight", "PRE"),
        (WAN, "diffusion_model.blocks.29.cross_attn.k.weight", "L29"),
        (WAN, "diffusion_model.time_embedding.0.weight", "PRE"),
        (WAN, "diffusion_model.head.head.weight", "POST"),
        (Z_IMAGE, "diffusion_model.layers.3.attention.qkv.weight", "L03"),
        (Z_IMAGE, "diffusion_model.noise_refiner.1.attention.qkv.weight", "PRE"),
        (stacks(joint_blocks=24), "diffusion_model.joint_blocks.23.context_block.attn.qkv.weight", "L23"),
        (
            stacks(double_stream_blocks=16, single_stream_blocks=32),
            "diffusion_model.single_stream_blocks.31.b.ff.w1.weight",
            "S31",
        ),
        (stacks(double_layers=4, single_layers=32), "diffusion_model.double_layers.3.attn.w1q.weight", "D03"),
        (stacks(transformer_blocks=60), "diffusion_model.transformer_blocks.59.attn.to_q.weight", "L59"),
        (stacks(blocks=40, vace_blocks=8), "diffusion_model.vace_blocks.7.ffn.0.weight", "V07"),
    ],
)
def test_ids_are_true_ids(layout: BlockLayout, key: str, block: str) -> None:
    assert layout.block_of(key) == block


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("clip_l.transformer.text_model.encoder.layers.0.mlp.fc1.weight", "CLIP"),
        ("clip_g.transformer.text_model.encoder.layers.0.mlp.fc1.weight", "CLIP"),
        ("t5xxl.transformer.encoder.block.0.layer.0.SelfAttention.q.weight", "T5"),
        ("umt5xxl.transformer.encoder.block.0.layer.0.SelfAttention.q.weight", "T5"),
        ("qwen25_7b.transformer.model.layers.0.mlp.up_proj.weight", "BASE"),
    ],
)
def test_text_encoders(key: str, name: str) -> None:
    assert text_encoder_of(key) == name


@pytest.mark.parametrize(
    ("layout", "lengths"),
    [
        (SD1, {12, 17, 20, 25, 26, 27}),
        (SDXL, {12, 17, 19, 20, 21, 26}),
        (FLUX, {20, 57, 58, 61}),
        (HUNYUAN_VIDEO, {21, 60, 61, 64}),
        (WAN, {30, 31}),
        (Z_IMAGE, {30, 31}),
    ],
)
def test_lengths_are_decided_by_the_model(layout: BlockLayout, lengths: set[int]) -> None:
    lists = vector_lists(layout)
    assert set(lists) == lengths
    assert all(len(names) == length for length, names in lists.items())


def test_vectors() -> None:
    numbers = ",".join(str(n) for n in range(17))
    assert acting(numbers, SD1) == {
        "IN01": 1,
        "IN02": 2,
        "IN04": 3,
        "IN05": 4,
        "IN07": 5,
        "IN08": 6,
        "M00": 7,
        "OUT03": 8,
        "OUT04": 9,
        "OUT05": 10,
        "OUT06": 11,
        "OUT07": 12,
        "OUT08": 13,
        "OUT09": 14,
        "OUT10": 15,
        "OUT11": 16,
    }
    assert around(numbers, SD1) == (0, 0, 0, 1, 1)
    assert acting("1,2,3,4,5,6,7,8,9,10,11,12", SDXL) == {
        "IN04": 2,
        "IN05": 3,
        "IN07": 4,
        "IN08": 5,
        "M00": 6,
        "OUT00": 7,
        "OUT01": 8,
        "OUT02": 9,
        "OUT03": 10,
        "OUT04": 11,
        "OUT05": 12,
    }
    flux = weights(",".join(str(n) for n in range(61)), FLUX)
    assert [flux.of(b) for b in ("CLIP", "T5", "BASE", "PRE", "D00", "S37", "POST")] == [0, 1, 1, 2, 3, 59, 60]
    inspire = weights(",".join(["0.5", *["1"] * 18, "0.25"]), FLUX)
    assert [inspire.of(b) for b in ("CLIP", "D00", "D18", "S00", "S37")] == [0.5, 1, 0.25, 0.25, 0.25]
    lycoris = weights(",".join(str(n) for n in range(27)), SD1)
    assert [lycoris.of(b) for b in ("IN00", "IN01", "IN11", "M00/0", "M00/2", "OUT00", "OUT11")] == [
        0,
        1,
        11,
        12,
        14,
        15,
        26,
    ]
    assert [weights(",".join(str(n) for n in range(31)), WAN).of(b) for b in ("BASE", "L00", "L29")] == [0, 1, 30]


def test_presets() -> None:
    assert set(acting("MIDD", SD1)) == {"IN05", "IN07", "IN08", "M00", "OUT03", "OUT04", "OUT05", "OUT06"}
    assert around("MIDD", SD1) == (1, 1, 1, 1, 1)
    assert set(acting("outs", SDXL)) == {"OUT07", "OUT08"}
    for layout in (SD1, SDXL, FLUX, WAN):
        assert acting("NONE", layout) == {} and around("NONE", layout) == (0, 0, 0, 0, 0)
        assert set(acting("ALL0.5", layout).values()) == {0.5}
    assert acting("FLUXALL", FLUX) == dict.fromkeys(FLUX.ids, 1.0)
    assert acting("MINE", WAN, MINE="L03=0.5") == {"L03": 0.5}
    assert acting("MIDD", SD1, MIDD="IN00") == {"IN00": 1}
    assert acting("LOOP", SD1, LOOP="MIDD") == acting("MIDD", SD1)
    with pytest.raises(BlockWeightError):
        weights("LOOP", SD1, LOOP="LOOP")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("IN04-IN06", {"IN04": 1, "IN05": 1, "IN06": 1}),
        ("IN06-IN4=0.5", {"IN04": 0.5, "IN05": 0.5, "IN06": 0.5}),
        ("IN11-OUT00=0.8,M00=0.2", {"IN11": 0.8, "M00": 0.2, "OUT00": 0.8}),
        ("in04, mid = -1", {"IN04": 1, "M00": -1}),
        ("ALL=0,OUT00=X+0.5", {"OUT00": 1.5}),
        ("OUT01,OUT01=0", {}),
    ],
)
def test_selectors(spec: str, expected: dict[str, float]) -> None:
    assert acting(spec, SD1) == expected
    assert around(spec, SD1) == (1, 1, 1, 1, 1)


def test_not_and_groups() -> None:
    assert set(acting("NOT IN04", SD1)) == set(SD1.ids) - {"IN04"}
    assert set(acting("NOT IN", SD1)) == set(SD1.ids) - set(SD1.group("IN") or ())
    ground = acting("ALL=0.5,NOT IN04 M00=1", SD1)
    assert (ground["IN04"], ground["M00"], ground["IN05"]) == (0.5, 0.5, 1)
    assert set(acting("D", FLUX)) == set(FLUX.group("D") or ()) and len(acting("S,D00", FLUX)) == 39
    assert around("L,BASE=0.3,T5=0.1,PRE=0", WAN) == (0.3, 0.3, 0.1, 0, 1)
    assert weights("NOT BASE", SD1).of("CLIP") == 0 and len(acting("NOT BASE", SD1)) == 25


def test_items_are_seeded() -> None:
    spec = ",".join(["R"] * 13 + ["U"] * 13)
    assert weights(spec, SD1) == weights(spec, SD1) != weights(f"{spec};seed=2", SD1)
    values = [weights(spec, SD1).of(block) for block in SD1.ids]
    assert all(0 <= v <= 1 for v in values[:12]) and any(not 0 <= v <= 1 for v in values[12:])
    vector = ",".join(["A", "a", "B", "b", "X", "X-0.5", *["0"] * 20])
    assert [weights(f"{vector};A=3;B=5", SD1, x=2).of(b) for b in ("BASE", "IN00", "IN01", "IN02", "IN03", "IN04")] == [
        3,
        1.5,
        5,
        2.5,
        2,
        1.5,
    ]
    inverse = weights("IN04=0.25;inv", SD1)
    assert (inverse.of("IN04"), inverse.of("M00/1"), inverse.of("CLIP")) == (0.75, 1, 1)


@pytest.mark.parametrize(
    ("spec", "layout", "said"),
    [
        ("1,1,1", SD1, "Lengths that do: 12, 17"),
        ("1," * 60 + "1", SD1, "61 numbers"),
        ("1," * 11 + "1", FLUX, "D00–D18, S00–S37"),
        ("A", SD1, "'A' is no block weight preset.*MIDD.*the file"),
        ("MIDD", FLUX, "is no block weight preset"),
        ("IN15", SD1, "IN00–IN11"),
        ("IN04=abc", SD1, "abc"),
        ("L00", FLUX, "D00–D18"),
        ("IN04-D05", SD1, "IN04-D05"),
        ("IN04,,M00", SD1, "names no block"),
        ("IN04;Q=1", SD1, "Q=1"),
        ("", SD1, "names no block"),
    ],
)
def test_what_cannot_be_read_says_what_could(spec: str, layout: BlockLayout, said: str) -> None:
    with pytest.raises(BlockWeightError, match=said):
        weights(spec, layout)


def test_preset_files() -> None:
    text = (
        "MINE:1,0,0\n# comment\nSEL: IN04-OUT05=0.8,M00=0.2 # note\n\nbroken line\n@T:12,1,0\nSD-ALL:1,1\nMINE:0,0,1\n"
    )
    assert read_block_presets(text) == {"MINE": "0,0,1", "SEL": "IN04-OUT05=0.8,M00=0.2", "SD-ALL": "1,1"}
    elements = "ATTN:IN05-OUT05:attn:1,\nM00:proj:0\n\nB::ff:0.5\r\n\r\n# no\n"
    assert read_element_presets(elements) == {"ATTN": "IN05-OUT05:attn:1,\nM00:proj:0", "B": ":ff:0.5"}


def test_elements() -> None:
    rules = resolve_element_weights(
        "IN05-OUT05:attn:0.5, NOT M00:attn2 ff:0.25,:NOT proj attn ff:2", SD1, {}, "the file"
    )
    attn = "input_blocks_7_1_transformer_blocks_0_attn1_to_q"
    assert rules.of("IN07", attn) == 0.5 and rules.of("IN01", attn) is None
    assert rules.of("IN01", "attn2_to_k") == 0.25 and rules.of("M00/1", "attn2_to_k") == 0.5
    assert rules.of("IN01", "in_layers_2") == 2
    assert resolve_element_weights("ATTNDEEPON", SD1, {}, "the file").of("OUT05", attn) == 1
    assert resolve_element_weights("mine", SD1, {"MINE": "BASE::0"}, "the file").of("CLIP", "mlp_fc1") == 0
    for bad, said in (("NOPE", "ATTNDEEPON"), ("IN05:attn:x", "'x'"), ("IN55:attn:1", "IN00–IN11"), ("a:b", "ratio")):
        with pytest.raises(BlockWeightError, match=said):
            resolve_element_weights(bad, SD1, {}, "the file")


def test_what_the_tag_says_wins_over_the_presets_options() -> None:
    items = ",".join(["A"] * 26)
    assert weights("P", SD1, P=items).of("IN00") == 4
    assert weights("P;A=0.5", SD1, P=items).of("IN00") == 0.5
    assert weights("P", SD1, P=f"{items};A=2").of("IN00") == 2
    assert weights("P;A=3", SD1, P=f"{items};A=2").of("IN00") == 3
    rolled = ",".join(["R"] * 26)
    assert weights("P;seed=9", SD1, P=rolled) == weights(f"{rolled};seed=9", SD1) != weights("P", SD1, P=rolled)
    assert weights("P;inv", SD1, P="IN00=0.25").of("IN00") == 0.75


def test_a_broken_preset_is_named_with_its_file() -> None:
    with pytest.raises(BlockWeightError, match=r"preset 'P' in the file: .*3 numbers"):
        weights("P", SD1, P="1,1,1")


@pytest.mark.parametrize("spec", ["1e999," + ",".join(["1"] * 25), "IN00=1e999", ",".join(["A"] * 26) + ";A=1e999"])
def test_numbers_are_finite(spec: str) -> None:
    with pytest.raises(BlockWeightError):
        weights(spec, SD1)
