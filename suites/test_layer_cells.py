"""Layers become cells: the grid, what is selected, and what is left out or skipped in which words."""

import pickle
from pathlib import Path

import pytest
import torch

from parity.cells import cell_at
from parity.evaluate import evaluate
from parity.lanes import Flow, Lane
from parity.layer_cells import PRESETS_OF, layer_cells, layer_plan
from parity.verdicts import Verdict
from parity.weights import Kind
from suites.small_layers import ramp, small, written

ENGINE = {str(Lane(backend="engine", flow=flow)) for flow in Flow}


@pytest.mark.parametrize(
    ("axis", "value"),
    [
        ("bias", "no"),
        ("rank", "3"),
        ("shape", "5x64"),
        ("family", "random"),
        ("case", "1"),
        ("layout", "sliced"),
    ],
)
def test_a_layer_brings_its_own_shape_and_inputs(tmp_path: Path, axis: str, value: str) -> None:
    with pytest.raises(
        ValueError, match=rf"^the layer a brings its own {axis}; leave that out, or leave out the layer$"
    ):
        cell_at({"layer": "a", axis: value})
    with pytest.raises(ValueError, match=rf"^a layer brings its own {axis}; select by other axes$"):
        layer_cells(small(tmp_path), {axis: [value]})


def test_a_layer_has_a_cell_for_each_dtype_and_preset(tmp_path: Path) -> None:
    made = layer_cells(small(tmp_path))
    assert made.skipped == ()
    assert [cell.id for cell in made.cells if cell["layer"] == "word_embeddings"] == [
        "op:embedding,layer:word_embeddings",
        "preset:intx_weight_only,op:embedding,layer:word_embeddings",
        "op:embedding,dtype:bf16,layer:word_embeddings",
        "preset:intx_weight_only,op:embedding,dtype:bf16,layer:word_embeddings",
        "op:embedding,dtype:fp16,layer:word_embeddings",
        "preset:intx_weight_only,op:embedding,dtype:fp16,layer:word_embeddings",
    ]
    assert len(made.cells) == 3 * (2 * len(PRESETS_OF[Kind.LINEAR]) + len(PRESETS_OF[Kind.EMBEDDING]))
    assert len(set(made.cells)) == len(made.cells)


def test_selection_replaces_the_grid(tmp_path: Path) -> None:
    select = {"layer": ["block.dense"], "dtype": ["fp16"], "preset": ["intx_weight_only"], "bits": ["3", "4"]}
    assert [cell.id for cell in layer_cells(small(tmp_path), select).cells] == [
        "preset:intx_weight_only,dtype:fp16,bits:3,layer:block.dense",
        "preset:intx_weight_only,dtype:fp16,bits:4,layer:block.dense",
    ]
    of_op = layer_cells(small(tmp_path), {"op": ["embedding"]}).cells
    assert {cell["layer"] for cell in of_op} == {"word_embeddings"}


@pytest.mark.parametrize(
    ("select", "sentence"),
    [
        ({"layer": ["nope"]}, "there is no layer 'nope'; the layers are block.Out-2, block.dense, word_embeddings"),
        ({"dtype": ["fp8"]}, "axis dtype has no value 'fp8'"),
        ({"weight": ["a"]}, "there is no axis 'weight'"),
        ({"layer": ["block.dense"], "op": ["embedding"]}, "has no layer that the selection leaves to run"),
    ],
)
def test_a_selection_of_what_there_is_not_is_refused(
    tmp_path: Path, select: dict[str, list[str]], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        layer_cells(small(tmp_path), select)


def test_groups_that_a_weight_does_not_divide_into_are_left_out_with_a_note(tmp_path: Path) -> None:
    source = written(tmp_path, {"a.weight": ramp(3, 40)})
    made = layer_cells(source, {"dtype": ["fp32"], "preset": ["int8_dynamic_intx_weight", "intx_weight_only"]})
    assert [cell.id for cell in made.cells] == ["preset:intx_weight_only,layer:a"]
    assert made.skipped == ()
    assert "1 cell is left out: a has 40 columns, which do not divide into groups of 32." in made.notes
    blocks = layer_cells(source, {"dtype": ["fp32"], "preset": ["intx_weight_only"], "group": ["channel", "block"]})
    assert [cell["group"] for cell in blocks.cells] == ["channel"]
    assert "1 cell is left out: a has a weight of 3x40, which does not divide into blocks of 2x16." in blocks.notes


def test_combinations_without_a_meaning_are_left_out_and_counted(tmp_path: Path) -> None:
    select = {"layer": ["block.dense"], "preset": ["intx_weight_only"], "mapping": ["symmetric", "asymmetric"]}
    made = layer_cells(small(tmp_path), {**select, "domain": ["int", "none"]})
    assert len(made.cells) == 3 * 3
    assert made.notes[1:] == ("3 cells are left out: an asymmetric range needs a zero point.",)


def test_a_plan_tells_what_is_skipped_and_its_shards_are_its_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parity.matrix.CHUNK_CELLS", 4)
    tensors = {"a.weight": ramp(6, 32), "b.weight": ramp(6, 32)}
    tensors["b.weight"][0, 0] = torch.nan
    made = layer_cells(written(tmp_path, tensors))
    whole = layer_plan(made)
    assert (whole.tier, whole.cells, whole.protected) == ("weights", made.cells, len(made.cells))
    assert whole.cut == (*made.skipped, *made.notes)
    parts = [layer_plan(made, (i, 3)) for i in (1, 2, 3)]
    assert sorted(cell.id for part in parts for cell in part.cells) == sorted(cell.id for cell in made.cells)
    assert parts[2].cut[-1] == "Shard 3/3 holds 4 of 15 cells."
    with pytest.raises(ValueError, match="there is no shard 4/3; write I/N with 1 <= I <= N"):
        layer_plan(made, (4, 3))


@pytest.mark.parametrize(
    ("role", "at", "value", "sentence"),
    [
        (
            "weight",
            [(2, 3), (5, 31)],
            torch.nan,
            "a is skipped: 2 of the 192 values of a.weight are not finite, the first is nan at [2, 3].",
        ),
        (
            "bias",
            [(4,)],
            -torch.inf,
            "a is skipped: 1 of the 6 values of a.bias are not finite, the first is -inf at [4].",
        ),
        (
            "input",
            [(0, 7)],
            torch.inf,
            "a is skipped: 1 of the 64 values of a.input are not finite, the first is inf at [0, 7].",
        ),
    ],
)
def test_a_layer_that_is_not_finite_is_skipped_and_the_others_run(
    tmp_path: Path, role: str, at: list[tuple[int, ...]], value: float, sentence: str
) -> None:
    tensors = {"a.weight": ramp(6, 32), "a.bias": ramp(6), "a.input": ramp(2, 32), "b.weight": ramp(6, 32)}
    for index in at:
        tensors[f"a.{role}"][index] = value
    made = layer_cells(written(tmp_path, tensors))
    assert made.skipped == (sentence,)
    assert {cell["layer"] for cell in made.cells} == {"b"}


def test_a_layer_that_a_dtype_cannot_hold_is_skipped_in_that_dtype(tmp_path: Path) -> None:
    tensors = {"a.weight": ramp(6, 32)}
    tensors["a.weight"][1, 1] = -1e5
    made = layer_cells(written(tmp_path, tensors))
    assert made.skipped == ("a is skipped in fp16: a.weight holds 100000, more than fp16 can.",)
    assert {cell["dtype"] for cell in made.cells} == {"fp32", "bf16"}


def test_every_flow_of_a_layer_is_identical_and_repeats_its_digests(tmp_path: Path) -> None:
    source = pickle.loads(pickle.dumps(small(tmp_path)))  # as a worker process gets it
    for cell in layer_cells(source, {"dtype": ["bf16"]}).cells:
        found = evaluate([cell], inputs_of=source)
        engine = [edge for edge in found.edges if set(edge.edge.split("~")) <= ENGINE]
        assert [edge.verdict for edge in engine] == [Verdict.IDENTICAL] * 3, cell.id
        assert evaluate([cell], inputs_of=source).lanes == found.lanes
