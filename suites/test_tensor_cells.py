"""Cells of quantized tensors: who takes part, what each flow computes, and which decision parts Burn's rule sets."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import parity
from parity import oracle
from parity.axes import AXES, BURN_PRESETS, OPERATIONS, PRESET
from parity.backends.engine_operations import quantized_trace
from parity.burn_cells import GAPS, HEAD, MERGE, compared, takes_part, unsaid
from parity.cases import input_of, layer_of
from parity.cells import Cell, cell_at, illegal_reason, parse_cell
from parity.counter import words
from parity.edges import edges_of
from parity.evaluate import evaluate
from parity.inputs import make_inputs
from parity.lane_run import run_lane
from parity.lanes import parse_lane
from parity.operations import Operation
from parity.record import EdgeRecord
from parity.schemes import scheme_of
from parity.tensor_cells import tensor_cells
from parity.verdicts import Verdict
from quant import ProductRules, QuantizedTensor, QuantScheme, TensorScheme
from quant.burn import from_quant_scheme
from quant.burn_rules import BURN_3042_FULL, BURN_RULE_SETS
from quant.quantized_tensor import ENGINE
from suites.directed_groups import same_bits

RULE_SETS = (MERGE, *HEAD)

# --- the table over cells -----------------------------------------------------------------------------------------

# What Burn has no operation for, or computes otherwise: no scheme shows it.
OF_NO_SCHEME = {
    "tensors are indexed, and layers multiply",
    "nothing is trained in codes",
    "blocks are turned wrongly, which op flip shows alone",
    "floats are multiplied",
}


def drawn_cells(count: int) -> list[Cell]:
    """Legal cells of Burn's schemes, each axis at its default in two draws of three."""
    axes = {**{name: axis.values for name, axis in AXES.items()}, "device": ("cpu",), "layer": ("synthetic",)}
    axes |= {"preset": BURN_PRESETS}
    cells = []
    for seed in range(count):
        drawn = words(seed, 2 * len(axes))[0].reshape(-1, 2) & (2**62 - 1)
        values = {
            name: values[which % len(values)] if name == "preset" or moved % 3 == 0 else AXES[name].default
            for (name, values), (moved, which) in zip(axes.items(), drawn.tolist(), strict=True)
        }
        cells.append(cell_at(values))
    return [cell for cell in cells if illegal_reason(cell) is None]


def is_burns(cell: Cell, rules: str) -> bool:
    """Whether Burn's own scheme says what the cell's operands are under a rule set, whatever sums their product."""
    own = BURN_3042_FULL if rules == MERGE else ProductRules()
    try:
        scheme = scheme_of(cell.at(accumulate=PRESET), rules)
        weight = refusing(scheme.weight, rules)
        activation = None if scheme.activation is None else refusing(scheme.activation, rules)
        if cell["op"] in OPERATIONS:
            activation = weight if rules == MERGE else None
        return from_quant_scheme(QuantScheme(weight=weight, activation=activation, product=own))[1] == rules
    except ValueError:
        return False


def refusing(tensor: TensorScheme, rules: str) -> TensorScheme:
    """The scheme under the rule set as it is: in the matrix it answers a NaN. ValueError where it is another set."""
    if {field for field, *_ in tensor.rules.differences(BURN_RULE_SETS[rules])} - {"nan_code"}:
        raise ValueError("a grid of halves has rules of its own")
    return replace(tensor, rules=BURN_RULE_SETS[rules])


def test_burns_sets_take_part_where_its_schemes_can_say_so() -> None:
    agreed, fired = dict.fromkeys(RULE_SETS, 0), set[str | None]()
    for cell in drawn_cells(1500):
        for rules in RULE_SETS:
            reason = unsaid(cell, rules)
            fired.add(reason)
            if reason not in OF_NO_SCHEME:
                assert takes_part(cell, rules) == is_burns(cell, rules), (cell.id, rules, reason)
            agreed[rules] += takes_part(cell, rules)
    assert min(agreed.values()) > 20
    assert fired == {None} | {gap.reason for gap in GAPS}, "a row that never decides is dead"


def test_pairs_are_of_sets_that_take_part() -> None:
    for cell in (cell for cell in tensor_cells() if cell["preset"] in BURN_PRESETS):
        named = {(edge.a.rules, edge.b.rules) for edge in edges_of(cell) if edge.a.rules != edge.b.rules}
        assert named == ({*compared(cell)} if illegal_reason(cell) is None else set())
        assert all(takes_part(cell, rules) for pair in named for rules in pair if rules)


# --- flows ----------------------------------------------------------------------------------------------------------


def judged(cell_id: str) -> dict[str, EdgeRecord]:
    return {record.edge: record for record in evaluate([parse_cell(cell_id)]).edges}


@pytest.mark.parametrize("op", OPERATIONS)
def test_the_engines_flows_agree_on_zero_points_too(op: str) -> None:
    """A contract's tensors, fake quantization by hand, and a state dict: scale, zero point and codes of the result."""
    ids = [f"preset:intx_weight_only,op:{op}", f"op:{op},dtype:bf16"]
    for cell in (parse_cell(text).at(propagation="propagate", mapping="asymmetric", group="row") for text in ids):
        found = judged(cell.id)
        assert {record.verdict for record in found.values()} == {Verdict.IDENTICAL}
        lanes = evaluate([cell]).lanes
        assert {"output.scale", "output.zero_point", "output.codes"} <= {stage.stage for stage in lanes[0].stages}


def test_another_requantization_is_caught_at_the_result_s_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    own = QuantizedTensor.requantized
    monkeypatch.setattr(QuantizedTensor, "requantized", lambda self, x: own(self, 2 * x))
    record = judged("preset:burn_head,op:add,propagation:propagate")["engine:ptq~engine:qat_prepare"]
    assert (record.verdict, record.first_stage) == (Verdict.DIVERGED, "output.scale")


def test_a_forgotten_transposition_is_caught_at_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    flipped = {"flip": lambda weight, x: weight.flip(1)}
    monkeypatch.setattr("parity.backends.engine_operations.FUNCTIONS", flipped)
    cell = parse_cell("preset:burn_head,op:flip,family:random")
    scheme = scheme_of(cell)
    inputs = make_inputs([cell], [scheme])
    layer, x = layer_of(cell, inputs, "cpu"), input_of(cell, inputs, "cpu")
    assert isinstance(layer, Operation)
    wrong = quantized_trace(layer, x, scheme, ENGINE)["output"].tensor
    monkeypatch.undo()
    right = run_lane(parse_lane("engine:qat_prepare"), cell, inputs, "").trace
    assert right is not None
    assert not same_bits(wrong, right["output"].tensor)


@pytest.mark.parametrize("accumulate", ["exact", "full", "half", "int32"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_propagated_product_is_what_the_oracle_declares(dtype: str, accumulate: str) -> None:
    """Operands, the sum in its accumulator, and the result's own scale and codes, all by the oracle's steps."""
    values = {"op": "matmul", "dtype": dtype, "accumulate": accumulate, "family": "outlier", "shape": "5x64"}
    cell = cell_at({"preset": "burn_3042", "propagation": "propagate", **values})
    for lane in ("engine:ptq", "engine.burn_3042:ptq"):
        scheme = scheme_of(cell, lane.partition(":")[0].partition(".")[2] or "engine")
        inputs = make_inputs([cell], [scheme])
        trace = run_lane(parse_lane(lane), cell, inputs, "").trace
        assert trace is not None

        def operand(x: Tensor, scheme: TensorScheme = scheme.weight) -> oracle.OracleTrace:
            return oracle.trace(x, scheme, fake=False, output_dtype=x.dtype)

        x, weight = operand(inputs.x[0]), operand(inputs.weight[0])
        sides = (x.dequantized, weight.dequantized) if accumulate == "exact" else (x, weight)
        declared = operand(oracle.product(*sides, None, scheme.product, inputs.x.dtype))
        for name, tensor in {"scale": declared.scale, "codes": declared.codes}.items():
            assert same_bits(trace[f"output.{name}"].tensor, tensor)
        assert same_bits(trace["output"].tensor, declared.dequantized)


def test_an_accumulator_of_fp16_gives_other_bits_than_one_of_fp32() -> None:
    outputs = []
    for accumulate in ("full", "half"):
        cell = cell_at({"preset": "burn_3042", "op": "matmul", "accumulate": accumulate, "family": "integers"})
        inputs = make_inputs([parse_cell("preset:burn_3042,op:matmul,family:integers")], [scheme_of(cell)])
        trace = run_lane(parse_lane("engine:ptq"), cell, inputs, "").trace
        assert trace is not None
        outputs.append(trace["output"].tensor)
    assert not torch.equal(*outputs)


# --- causes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell_id", "a", "b", "stage", "cause"),
    [
        ("preset:burn_head,op:matmul", HEAD[0], HEAD[2], "input.codes", "code_rounding: half_away against half_even"),
        (
            "preset:burn_head,op:flip,group:32,family:random",
            HEAD[0],
            "",
            "output",
            "contract.moved_scales: in_place against with_codes",
        ),
        (
            "preset:burn_head,op:flip,group:32,family:random",
            HEAD[1],
            "",
            "output",
            "contract.layout_codes: requantized against moved",
        ),
    ],
)
def test_a_cell_names_the_decision_that_parts_two_sets(cell_id: str, a: str, b: str, stage: str, cause: str) -> None:
    other = f"engine.{b}:ptq" if b else f"engine.{a}:qat_prepare"
    found = parity.explain(cell_id, edge=f"engine.{a}:ptq~{other}")
    assert (found.first_stage, found.cause) == (stage, cause)


@pytest.mark.nightly
def test_the_merge_multiplies_codes_and_goes_through_fp16() -> None:
    """What makes one epoch's product the other's, and propagated, its scale."""
    edge = f"engine.{MERGE}:ptq~engine.{HEAD[0]}:ptq"
    for propagation, stage in (("inhibit", "output"), ("propagate", "output.scale")):
        cell = cell_at({"preset": "burn_3042", "op": "matmul", "propagation": propagation, "shape": "5x64"})
        found = parity.explain(cell.id, edge=edge)
        assert found.first_stage == stage
        assert {"product_operands", "product_output"} <= {each.field for each in found.causes}
