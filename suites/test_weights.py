"""Layers of small safetensors files: what is taken, what is refused and in which words, and the cells they become."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from parity.cells import cell_at, parse_cell
from parity.evaluate import evaluate
from parity.inputs import make_inputs
from parity.lanes import Flow, Lane
from parity.layer_cells import PRESETS_OF, layer_cells, layer_plan
from parity.schemes import scheme_of
from parity.tensor_file import PICKLED, TensorFileError
from parity.verdicts import Verdict
from parity.weights import ROWS, Kind, Layer, Source, layers

ENGINE = {str(Lane(backend="engine", flow=flow)) for flow in Flow}


def ramp(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Values of both signs, no two alike, that a bfloat16 has to round."""
    values = torch.arange(torch.Size(shape).numel(), dtype=torch.float64).reshape(shape)
    return ((values * 0.37 - 5) * (1 + values / 1000)).to(dtype)


def written(path: Path, tensors: Mapping[str, Tensor], **metadata: str) -> Source:
    """A source whose weights are these tensors."""
    save_file(dict(tensors), path / "weights.safetensors", metadata=metadata)
    return Source(weights=path / "weights.safetensors")


def small(path: Path) -> Source:
    """One linear layer with a bias, one without, and one embedding; beside them what is no layer."""
    return written(
        path,
        {
            "block.dense.weight": ramp(6, 32),
            "block.dense.bias": ramp(6),
            "block.Out-2.weight": ramp(5, 32, dtype=torch.bfloat16),
            "word_embeddings.weight": ramp(9, 32),
            "LayerNorm.weight": ramp(6),
            "convolution.weight": ramp(2, 2, 2, 2),
            "position_ids": torch.arange(4),
        },
    )


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


@pytest.mark.parametrize("suffix", PICKLED)
def test_a_pickle_is_refused_by_its_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    with pytest.raises(TensorFileError, match=rf"model\{suffix} ends in \{suffix}, as pickled tensors do.*save_file"):
        layers(path)


def test_a_pickle_is_refused_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps({"a": [1.0] * 100}, protocol=protocol))
        with pytest.raises(TensorFileError, match="holds pickled tensors, whatever its name says"):
            layers(path)
    torch.save({"a.weight": ramp(2, 32)}, path)
    with pytest.raises(TensorFileError, match="holds pickled tensors, whatever its name says"):
        layers(path)


def test_a_header_whose_length_begins_like_a_pickle_is_no_pickle(tmp_path: Path) -> None:
    source = written(tmp_path, {"a.weight": ramp(2, 32)})
    data = source.weights.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length].ljust(0x0280)  # 640 bytes: the first two of the file are 80 02
    source.weights.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + length :])
    assert [layer.name for layer in source.layers().found] == ["a"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is no safetensors file: its 0 bytes are fewer than a header has"),
        (b"no tensors here", "is no safetensors file, or breaks off"),
        (b'\x09\0\0\0\0\0\0\0{"a":nope', "could not be read as safetensors: .*JSON"),
        (
            b'\x50\0\0\0\0\0\0\0{"a.weight":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,4000000000000]}}',
            "could not be read as safetensors",
        ),
    ],
)
def test_an_unreadable_file_is_a_sentence(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(TensorFileError, match=rf"model\.safetensors {reason}.*\.$"):
        layers(path)


def test_a_file_that_breaks_off_is_a_sentence(tmp_path: Path) -> None:
    source = written(tmp_path, {"a.weight": ramp(2, 32)})
    source.weights.write_bytes(source.weights.read_bytes()[:-1])
    with pytest.raises(TensorFileError, match="could not be read as safetensors"):
        source.layers()


def test_a_file_that_is_not_there_and_a_directory_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(TensorFileError, match=r"none\.safetensors could not be read: No such file or directory\.$"):
        layers(tmp_path / "none.safetensors")
    with pytest.raises(TensorFileError, match=r"could not be read: Is a directory\.$"):
        layers(tmp_path)


def test_ids_of_layers_round_trip() -> None:
    cell = cell_at({"layer": "encoder.layer.0.Out-2_b", "dtype": "bf16"})
    assert cell.id == "dtype:bf16,layer:encoder.layer.0.Out-2_b"
    assert parse_cell(cell.id) == cell


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


def test_every_flow_of_a_layer_is_identical_and_repeats_its_digests(tmp_path: Path) -> None:
    source = pickle.loads(pickle.dumps(small(tmp_path)))  # as a worker process gets it
    for cell in layer_cells(source, {"dtype": ["bf16"]}).cells:
        found = evaluate([cell], inputs_of=source)
        engine = [edge for edge in found.edges if set(edge.edge.split("~")) <= ENGINE]
        assert [edge.verdict for edge in engine] == [Verdict.IDENTICAL] * 3, cell.id
        assert evaluate([cell], inputs_of=source).lanes == found.lanes
