"""Ids read back as their cells, whatever else is refused with a sentence, and what is legal is what quant runs."""

import re
from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from parity.axes import AXES, FROM_FILE, OPERATIONS, PRESET, PRESETS, SYNTHETIC
from parity.cells import Cell, cell_at, concrete, illegal_reason, parse_cell
from parity.forbidden import FORBIDDEN, Forbidden
from parity.inputs import TOKENS, Inputs
from parity.lane_run import run_lane
from parity.lanes import Flow, Lane
from parity.matrix import plan
from parity.schemes import DTYPES, scheme_of
from parity.verdicts import Outcome
from quant.granularity import groups_of

POINTS = st.fixed_dictionaries({name: st.sampled_from(axis.values) for name, axis in AXES.items()})
CELLS = POINTS.map(cell_at)


def drawn(n: int, seed: int) -> list[Cell]:
    """Cells drawn evenly from every axis, on cpu."""
    draw = np.random.default_rng(seed)
    columns = {name: draw.choice(axis.values, size=n) for name, axis in AXES.items() if name != "device"}
    return [cell_at({name: str(column[i]) for name, column in columns.items()}) for i in range(n)]


# --- axes ---------------------------------------------------------------------------------------------------------


def test_axes_are_written_as_ids_need_them() -> None:
    for name, axis in AXES.items():
        assert axis.name == name
        assert axis.default in axis.values
        assert len({*axis.values}) == len(axis.values)
        assert axis.meaning
        for text in (name, *axis.values):
            assert re.fullmatch(r"[a-z0-9_.+-]+", text), text


def test_presets_say_what_preset_means_on_every_axis_that_has_it() -> None:
    resolved = {name for name, axis in AXES.items() if PRESET in axis.values} - {"zp"}
    assert {*PRESETS} == {*AXES["preset"].values}
    for preset, meant in PRESETS.items():
        assert {*meant} == resolved, preset
        unnamed = {(name, value) for name, value in meant.items() if value not in (*AXES[name].values, "")}
        assert unnamed <= {("eps", "1e-6")}


def test_forbidden_rows_speak_of_values_that_occur() -> None:
    """A misspelt value would forbid nothing, silently."""
    occurring: dict[str, set[str]] = {name: set() for name in AXES}
    for cell in drawn(4000, seed=1):
        for name, value in concrete(cell).items():
            occurring[name].add(value)
    for row in FORBIDDEN:
        for name, values in row.where.items():
            assert {*values} <= occurring[name], row


# --- ids ----------------------------------------------------------------------------------------------------------


@given(CELLS)
def test_an_id_reads_back(cell: Cell) -> None:
    assert parse_cell(cell.id) == cell
    assert re.fullmatch(r"[a-z0-9_.:,+-]+", cell.id)


@given(CELLS)
def test_an_id_names_what_differs_in_the_order_of_the_axes(cell: Cell) -> None:
    named = [] if cell.id == "default" else [part.split(":")[0] for part in cell.id.split(",")]
    assert named == [name for name, axis in AXES.items() if cell[name] != axis.default]


@given(POINTS, POINTS)
def test_two_points_share_no_id(one: Mapping[str, str], other: Mapping[str, str]) -> None:
    assert (cell_at(one).id == cell_at(other).id) is (one == other)


def test_every_planned_id_reads_back() -> None:
    assert [parse_cell(cell.id) for cell in plan().cells] == [*plan().cells]


@given(CELLS, POINTS)
def test_a_configuration_leaves_out_the_inputs_alone(cell: Cell, other: Mapping[str, str]) -> None:
    moved = cell.at(family=other["family"], case=other["case"])
    assert moved.configuration == cell.configuration == cell.configuration.configuration
    bits = "3" if cell["bits"] != "3" else "5"
    assert cell.at(bits=bits).configuration != cell.configuration


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no axis ''; the axes are preset, op, dtype, "),
        (" ", "there is no axis ' '; "),
        ("DEFAULT", "there is no axis 'DEFAULT'; "),
        ("dtype", "axis dtype has no value ''; its values are fp32, bf16, fp16"),
        ("dtype:", "axis dtype has no value ''; "),
        ("dtype:bf16,", "there is no axis ''; "),
        (",dtype:bf16", "there is no axis ''; "),
        ("dtype:fp8", "axis dtype has no value 'fp8'; its values are fp32, bf16, fp16"),
        ("dtype:BF16", "axis dtype has no value 'BF16'; "),
        ("dtype:bf16\n", r"axis dtype has no value 'bf16\n'; "),
        ("dtype: bf16", "axis dtype has no value ' bf16'; "),
        ("dtype:bf\uff116", "axis dtype has no value 'bf\uff116'; "),
        ("dtype:bf16\0", r"axis dtype has no value 'bf16\x00'; "),
        ("case:64", "axis case has no value '64'; its values are 0, 1, 2, ..., 63"),
        ("case:01", "axis case has no value '01'; "),
        ("case:-1", "axis case has no value '-1'; "),
        ("device:cuda:0", "axis device has no value 'cuda:0'; its values are cpu, cuda, xpu, mps"),
        ("__class__:bf16", "there is no axis '__class__'; "),
        ("<script>alert(1)</script>", "there is no axis '<script>alert(1)</script>'; "),
        ("../../etc/passwd", "there is no axis '../../etc/passwd'; "),
        ("default,dtype:bf16", "there is no axis 'default'; "),
        ("dtype:fp32", "'dtype:fp32' is not how the cell is written; write 'default'"),
        ("scale:fp16,dtype:bf16", "is not how the cell is written; write 'dtype:bf16,scale:fp16'"),
        ("dtype:bf16,dtype:fp16", "is not how the cell is written; write 'dtype:fp16'"),
        ("dtype:bf16,dtype:bf16", "is not how the cell is written; write 'dtype:bf16'"),
        ("layer:../x", "axis layer has no value '../x'; its values are synthetic, or what "),
        ("layer:a\n", r"axis layer has no value 'a\n'; "),
        ("rank:3,layer:encoder.0", "the layer encoder.0 brings its own rank; leave that out, or leave out the layer"),
    ],
)
def test_what_is_no_id_is_refused_with_a_sentence(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as raised:
        parse_cell(text)
    assert message in str(raised.value)


@given(st.text(max_size=40))
def test_any_text_is_a_cell_or_a_sentence(text: str) -> None:
    try:
        cell = parse_cell(text)
    except ValueError:
        return
    assert cell.id == text


def test_a_layer_of_a_file_has_an_id_too() -> None:
    cell = cell_at({"layer": "encoder.layer.0.attention-out_1", "dtype": "fp16"})
    assert parse_cell(cell.id) == cell
    assert cell.id == "dtype:fp16,layer:encoder.layer.0.attention-out_1"
    assert AXES["layer"].default == SYNTHETIC
    for axis in FROM_FILE:
        with pytest.raises(ValueError, match=f"brings its own {axis};"):
            cell.at(**{axis: AXES[axis].values[-1]})


# --- what is legal ------------------------------------------------------------------------------------------------

# What quant says where one row of the table alone is broken.
SENTENCES = {
    "a symmetric range holds zero": "preserve_zero is False and mapping is",
    "a float zero point places an asymmetric range": "a float zero point places an asymmetric range",
    "an asymmetric range needs a zero point": "an asymmetric range needs a zero point",
    "a grid of halves has the zero point -1/2": "its zero point is the code -1/2",
    "an integer dtype cuts the zero point -1/2": "an integer dtype would cut the zero point -1/2 to 0",
    "no zero point, hence no dtype of one": "there is no zero point to store",
    "an integer dtype cuts a float zero point": "an integer dtype would cut its fraction",
    "the grid [-1, 0] has no positive end": "qmax is 0: the positive end would be divided by zero",
    "uint8 holds no negative zero point": "zero points lie in",
    "eps rounds to zero in fp16": "eps rounds to zero there",
    "nibbles hold 4 bits": "packs 4-bit codes",
    "the kernel reads scale and zero point in the weight's dtype": "takes scale and float zero point in the weight's",
    "the kernel adds a zero point's value": "takes the float domain",
    "the kernel's float zero point places a range that need not hold zero": "takes a float zero point without",
    "the kernel subtracts a zero point": "takes a zero point",
    "the kernel reads an int8 zero point": "takes an int8 zero point",
    "the kernel's integers hold zero": "takes an integer zero point with preserve_zero",
    "the kernel is of 16 bits": "takes float16 or bfloat16",
    "the kernel is of bf16": "takes bfloat16",
    "the kernel's groups are of 32, 64, 128 or 256": "takes groups of 32, 64, 128 or 256",
    "the kernel reads groups": "takes groups, and",
    "rows in multiples of 16": "takes a multiple of 16 rows",
    "rows in multiples of 8": "takes a multiple of 8 rows",
    "a grid of one bit with as many negative codes as positive ones holds zero alone": "qmin is 0 and qmax is 0",
    "codes are multiplied with codes": "a product of codes needs codes on both sides",
    "scales along k do not leave a sum of codes": "product_operands is codes and the weight's granularity is Per",
    "of two tensors, the scales' axis may be summed": "the activation's granularity is PerAxis",
    "a float zero point enters no sum of codes": "a float zero point does not enter an integer sum",
    "tables of halves have one level": "tables of a grid of halves have one level",
    "the zero point -1/2 enters no sum of codes": "its zero point -1/2 does not enter an integer sum",
    "the product's columns do not divide into groups": "does not divide the last dimension of (8, ",
    "48 columns do not divide into groups": "does not divide the last dimension of (4, 48)",
    "5 rows do not divide into blocks of two": "do not tile the shape",
}


@cache
def _configuration_refusal(cell: Cell) -> str | None:
    dtype = DTYPES[cell["dtype"]]
    try:
        scheme = scheme_of(cell)
        weight = scheme.weight.resolved(dtype)
        shape = tuple(int(n) for n in cell["shape"].split("x"))
        groups_of(weight.granularity, shape)
        if scheme.packing is not None:
            scheme.packing.check(weight, shape, dtype)
        if cell["op"] == "matmul" and cell["propagation"] == "propagate":
            groups_of(weight.granularity, (TOKENS, shape[0]))
        if cell["op"] == "linear" and scheme.activation is not None:
            scheme.activation.resolved(dtype)
    except ValueError as error:
        return str(error)
    return None


def refusal(cell: Cell) -> str | None:
    """Quant's own sentence about a cell, or None where it makes no objection to scheme, dtype and shape."""
    return _configuration_refusal(cell.configuration)


def reasons(cell: Cell) -> list[Forbidden]:
    point = concrete(cell)
    return [row for row in FORBIDDEN if row.holds(point)]


def test_the_table_agrees_with_quant_on_drawn_cells() -> None:
    cells = drawn(5000, seed=11)
    parting = {cell.id: refusal(cell) for cell in cells if (refusal(cell) is None) != (illegal_reason(cell) is None)}
    assert parting == {}
    assert 150 < sum(illegal_reason(cell) is None for cell in cells) < 4850


def test_the_table_agrees_with_quant_on_planned_cells() -> None:
    cells = [cell for cell in plan().cells if cell["device"] == "cpu"]
    parting = {cell.id: refusal(cell) for cell in cells if (refusal(cell) is None) != (illegal_reason(cell) is None)}
    assert parting == {}


@pytest.mark.parametrize("row", FORBIDDEN, ids=lambda row: "-".join(row.where))
def test_each_reason_alone_has_its_own_sentence(row: Forbidden) -> None:
    alone = [cell for cell in plan().cells if reasons(cell) == [row]]
    assert alone
    for cell in alone:
        said = refusal(cell)
        assert said is not None
        assert [reason for reason, sentence in SENTENCES.items() if sentence in said] == [row.reason], said


@pytest.mark.parametrize("flow", Flow)
def test_lanes_run_what_is_legal_and_refuse_what_is_not(flow: Flow) -> None:
    """The public flow on a real module, on cells of both kinds: plain zeros, since values decide nothing here."""
    chosen = [*plan().cells[-1200::40], *[cell for cell in plan().cells if illegal_reason(cell)][::8]]
    outcomes = set()
    for cell in (cell.at(device="cpu", layout="contiguous", steps="0", threads="1") for cell in chosen):
        record = run_lane(Lane(backend="engine", flow=flow), cell, zeros(cell), "").record
        legal = illegal_reason(cell) is None
        assert record.outcome is (Outcome.RAN if legal else Outcome.RAISED), (cell.id, record.message)
        assert legal or record.message.startswith("ValueError: "), (cell.id, record.message)
        outcomes.add(record.outcome)
    assert outcomes == {Outcome.RAN, Outcome.RAISED}


def zeros(cell: Cell) -> Inputs:
    rows, columns = (int(n) for n in cell["shape"].split("x"))
    dtype, embedding = DTYPES[cell["dtype"]], cell["op"] == "embedding"
    tokens = rows if cell["op"] in OPERATIONS else 2
    x = torch.zeros(1, 2, dtype=torch.int64) if embedding else torch.zeros(1, tokens, columns, dtype=dtype)
    bias = None if cell["op"] != "linear" or cell["bias"] == "no" else torch.zeros(1, rows, dtype=dtype)
    return Inputs(torch.zeros(1, rows, columns, dtype=dtype), bias, x)
