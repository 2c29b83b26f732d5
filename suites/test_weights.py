"""Layers of small safetensors files: what is taken, what is skipped, and what their cells are fed."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from parity.cells import cell_at, parse_cell
from parity.inputs import make_inputs
from parity.layer_cells import PRESETS_OF, layer_cells
from parity.schemes import scheme_of
from parity.tensor_file import TensorFileError
from parity.weights import ROWS, Kind, Layer, Source
from suites.small_layers import ramp, small, written


def test_every_matrix_named_weight_is_a_layer(tmp_path: Path) -> None:
    there = small(tmp_path).layers()
    assert there.skipped == ()
    assert there.found == (
        Layer(name="block.Out-2", kind=Kind.LINEAR, shape=(5, 32), bias=False),
        Layer(name="block.dense", kind=Kind.LINEAR, shape=(6, 32), bias=True),
        Layer(name="word_embeddings", kind=Kind.EMBEDDING, shape=(9, 32), bias=False),
    )


def test_metadata_outranks_the_name(tmp_path: Path) -> None:
    tensors = {"embedding_head.weight": ramp(4, 32), "table.weight": ramp(4, 32)}
    source = written(tmp_path, tensors, **{"embedding_head.kind": "linear", "table.kind": "embedding"})
    assert [layer.kind for layer in source.layers().found] == [Kind.LINEAR, Kind.EMBEDDING]


@pytest.mark.parametrize(
    ("tensors", "metadata", "sentence"),
    [
        (
            {"a.weight": torch.ones(2, 32, dtype=torch.int8)},
            {},
            "a is skipped: its weight is I8, and layers are taken in F32, BF16, F16.",
        ),
        (
            {"a.weight": torch.ones(2, 32, dtype=torch.float64)},
            {},
            "a is skipped: its weight is F64, and layers are taken in F32, BF16, F16.",
        ),
        (
            {"a.weight": torch.ones(0, 32)},
            {},
            "a is skipped: its weight has 0 elements, and layers are taken with 1 to 134217728.",
        ),
        (
            {"<a>.weight": torch.ones(2, 32)},
            {},
            "<a> is skipped: a cell's id takes layers whose names match [A-Za-z0-9_.-]+ and are not synthetic.",
        ),
        (
            {"synthetic.weight": torch.ones(2, 32)},
            {},
            "synthetic is skipped: a cell's id takes layers whose names match [A-Za-z0-9_.-]+ and are not synthetic.",
        ),
        (
            {"a.weight": torch.ones(2, 32)},
            {"a.kind": "conv"},
            "a is skipped: the metadata says that it is of the kind 'conv'; kinds are linear, embedding.",
        ),
        (
            {"a.weight": torch.ones(2, 32), "a.bias": torch.ones(3)},
            {},
            "a is skipped: its bias is F32 [3], which is not one float for each row of its weight, F32 [2, 32].",
        ),
    ],
)
def test_a_matrix_that_is_no_layer_is_skipped_with_its_reason(
    tmp_path: Path, tensors: dict[str, Tensor], metadata: dict[str, str], sentence: str
) -> None:
    there = written(tmp_path, tensors, **metadata).layers()
    assert there.found == ()
    assert there.skipped == (sentence,)


def test_ids_of_layers_round_trip() -> None:
    cell = cell_at({"layer": "encoder.layer.0.Out-2_b", "dtype": "bf16"})
    assert cell.id == "dtype:bf16,layer:encoder.layer.0.Out-2_b"
    assert parse_cell(cell.id) == cell


@pytest.mark.parametrize(
    ("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_inputs_are_the_files_values_rounded_once(tmp_path: Path, name: str, dtype: torch.dtype) -> None:
    tensors = {"a.weight": ramp(6, 32), "a.bias": ramp(6), "a.input": ramp(3, 2, 32)}
    source = written(tmp_path, tensors)
    inputs = source([cell_at({"layer": "a", "dtype": name})], [])
    assert inputs.bias is not None
    for given, held in ((inputs.weight, "weight"), (inputs.bias, "bias")):
        assert torch.equal(given[0], tensors[f"a.{held}"].to(dtype))
    assert torch.equal(inputs.x[0], tensors["a.input"].reshape(6, 32).to(dtype))


def test_activations_come_from_a_file_of_their_own(tmp_path: Path) -> None:
    source = small(tmp_path)
    captured = tmp_path / "activations.safetensors"
    save_file({"block.dense.input": ramp(2, 32), "word_embeddings.input": torch.tensor([[8, 0], [3, 3]])}, captured)
    both = Source(weights=source.weights, activations=captured)
    assert torch.equal(both([cell_at({"layer": "block.dense"})], []).x[0], ramp(2, 32))
    looked_up = both([cell_at({"layer": "word_embeddings", "op": "embedding"})], []).x[0]
    assert looked_up.tolist() == [8, 0, 3, 3]
    assert layer_cells(both).notes == ("block.Out-2 has no captured input: its input is drawn from a counter.",)


def test_a_drawn_input_is_the_same_in_every_cell_of_a_layer(tmp_path: Path) -> None:
    source = small(tmp_path)
    cells = [cell_at({"layer": "block.dense", "preset": preset}) for preset in PRESETS_OF[Kind.LINEAR]]
    first, *others = (source([cell], []).x[0] for cell in cells)
    assert first.shape == (ROWS, 32)
    assert 0.8 < float(first.std()) < 1.2
    assert all(torch.equal(first, other) for other in others)
    assert not torch.equal(first, source([cell_at({"layer": "block.Out-2"})], []).x[0])
    indices = source([cell_at({"layer": "word_embeddings", "op": "embedding"})], []).x[0]
    assert (int(indices.min()), int(indices.max())) == (0, 8)


@pytest.mark.parametrize(
    ("layer", "x", "sentence"),
    [
        ("block.dense", torch.ones(2, 31), r"is F32 \[2, 31\], but a weight of 32 columns takes floats in as many\.$"),
        ("block.dense", torch.ones(2, 32, dtype=torch.int64), r"is I64 \[2, 32\], but a weight of 32 columns"),
        ("word_embeddings", torch.ones(3), r"is F32 \[3\], but an embedding takes indices, I64 or I32\.$"),
        ("word_embeddings", torch.tensor([0, 9]), r"is I64 \[2\] with indices outside the 9 rows of its weight\.$"),
        ("word_embeddings", torch.tensor([-1]), r"is I64 \[1\] with indices outside the 9 rows of its weight\.$"),
    ],
)
def test_an_input_that_its_layer_cannot_take_is_refused(tmp_path: Path, layer: str, x: Tensor, sentence: str) -> None:
    captured = tmp_path / "activations.safetensors"
    save_file({f"{layer}.input": x}, captured)
    source = Source(weights=small(tmp_path).weights, activations=captured)
    with pytest.raises(TensorFileError, match=rf"{layer}\.input in .*activations\.safetensors {sentence}"):
        layer_cells(source)


def test_a_cell_whose_op_is_not_its_layers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"^the layer word_embeddings is for op embedding, but the cell has op linear$"
    ):
        small(tmp_path)([cell_at({"layer": "word_embeddings"})], [])


def test_cells_without_a_layer_are_fed_as_their_ids_say(tmp_path: Path) -> None:
    cell = cell_at({"dtype": "bf16"})
    given, expected = (make([cell], [scheme_of(cell)]) for make in (small(tmp_path), make_inputs))
    assert torch.equal(given.weight, expected.weight)
    assert torch.equal(given.x, expected.x)
