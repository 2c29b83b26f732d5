"""grad.input and grad.weight as stages: torchao's bits, a fault found at its stage, the decisions that explain it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from parity import oracle
from parity.backends.engine import EngineBackend
from parity.backends.torchao_package import unusable
from parity.cases import input_of, layer_of
from parity.cells import Cell, parse_cell
from parity.evaluate import evaluate
from parity.explain import explain
from parity.gradients import drawn_gradient
from parity.inputs import make_inputs
from parity.lanes import Flow, Lane
from parity.premerge import premerge_parts
from parity.record import EdgeRecord
from parity.schemes import scheme_of
from parity.trace import Trace
from quant import fake
from quant.gradient import pass_through
from suites.directed_groups import same_bits

needs_torchao = pytest.mark.skipif(unusable() is not None, reason=unusable() or "")
CELLS = (
    "grad:yes",
    "dtype:bf16,bits:2,family:huge,grad:yes",
    "preset:int8_dynamic_int4_weight,dtype:fp16,grad:yes",
    "preset:stretched_intx_weight_only,dtype:bf16,scale:model,grad:yes",
    "preset:intx_weight_only,op:embedding,bits:3,steps:1,grad:yes",
)


def traced(cell: Cell, rules: str = "engine") -> Trace:
    inputs = make_inputs([cell], [scheme_of(cell, rules)])
    layer, x = layer_of(cell, inputs, "cpu"), input_of(cell, inputs, "cpu")
    lane = Lane(backend="engine", flow=Flow.QAT_PREPARE)
    return EngineBackend().trace(lane, layer, x, scheme_of(cell, rules), int(cell["steps"]), gradients=True)


def edges(cell: str) -> dict[str, EdgeRecord]:
    return {record.edge: record for record in evaluate([parse_cell(cell)]).edges}


def test_gradients_are_the_last_stages_of_prepare_alone() -> None:
    assert traced(parse_cell("grad:yes")).names[-2:] == ("grad.input", "grad.weight")
    assert traced(parse_cell("op:embedding,grad:yes")).names[-1] == "grad.weight"
    for lane in evaluate([parse_cell("grad:yes")]).lanes:
        prepares = ":qat_prepare" in lane.lane
        assert (lane.stages.find("grad.weight") is not None) is (prepares and lane.outcome == "ran"), lane.lane


@needs_torchao
@pytest.mark.parametrize("cell", CELLS)
def test_lanes_with_gradients_agree(cell: str) -> None:
    """Every pair of prepare lanes; the others are the forward's, and some of them are known to part."""
    found = {edge: record for edge, record in edges(cell).items() if edge.count(":qat_prepare") == 2}
    assert found
    assert {record.verdict for record in found.values()} == {"identical"}, found


@pytest.mark.parametrize("rules", ["engine", "torchao", "parq"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_the_weights_gradient_is_the_oracles(dtype: str, rules: str) -> None:
    """Clipped entries are +0 where the rules mask them; the others are rescaled as they say, from the exact product."""
    cell = parse_cell(
        f"preset:intx_weight_only,dtype:{dtype},bits:2,group:16,bias:no,family:outlier,grad:yes".replace(
            "dtype:fp32,", ""
        )
    )
    inputs = make_inputs([cell], [scheme_of(cell, rules)])
    scheme = scheme_of(cell, rules)
    scheme = replace(scheme, product=scheme_of(cell).product)  # an exact product, which the oracle can follow
    layer, x = layer_of(cell, inputs, "cpu"), input_of(cell, inputs, "cpu")
    lane = Lane(backend="engine", flow=Flow.QAT_PREPARE)
    trace = EngineBackend().trace(lane, layer, x, scheme, gradients=True)
    gy = drawn_gradient(trace["output"].tensor)
    product = oracle.product(gy.T.contiguous(), x.T.contiguous(), None, scheme.product, x.dtype)
    expected = oracle.gradient(inputs.weight[0], product, scheme.weight)
    assert expected is not None
    assert same_bits(trace["grad.weight"].tensor, expected)
    clipped = int((trace["grad.weight"].tensor == 0).sum())
    assert clipped > 0 or rules == "parq"


@needs_torchao
def test_a_fault_in_the_gradient_is_found_at_its_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoiled(grad: Tensor, mask: Tensor | None, qparams: object, dtype: torch.dtype) -> Tensor:
        return pass_through(grad, None, qparams, dtype)  # type: ignore[arg-type]  # handed through

    monkeypatch.setattr(fake, "pass_through", spoiled)
    found = edges("preset:intx_weight_only,bits:4,group:32,grad:yes")
    record = found["torchao:qat_prepare~engine.torchao:qat_prepare"]
    assert (record.verdict, record.first_stage) == ("diverged", "grad.weight")


@pytest.mark.parametrize(
    ("cell", "a", "b", "first", "causes"),
    [
        (
            "preset:intx_weight_only,bits:4,group:32,grad:yes",
            "torchao",
            "parq",
            "grad.weight",
            {("gradient_mask", "rounded", "none"), ("gradient_product", "scale_times_reciprocal", "identity")},
        ),
        (
            "preset:stretched_intx_weight_only,grad:yes",
            "torchao",
            "parq",
            "grad.weight",
            {("gradient_mask", "rounded", "none"), ("gradient_product", "scale_over_scale", "identity")},
        ),
    ],
)
def test_explain_names_the_decisions(cell: str, a: str, b: str, first: str, causes: set[tuple[str, str, str]]) -> None:
    explanation = explain(cell, f"engine.{a}:qat_prepare~engine.{b}:qat_prepare")
    assert explanation.first_stage == first
    assert {*explanation.causes} == causes
    assert explanation.explained == 1.0


def test_the_gradients_of_two_rule_sets_are_explained_with_what_the_forward_pass_inherited() -> None:
    explanation = explain("grad:yes", "engine:qat_prepare~engine.torchao:qat_prepare")
    fields = {cause.field for cause in explanation.causes}
    assert fields == {"code_division", "accumulate", "gradient_product"}
    assert explanation.explained == 1.0


def test_the_tier_has_gradients_of_every_preset() -> None:
    (part,) = (part for part in premerge_parts() if part.meaning.startswith("gradients"))
    assert {cell["grad"] for cell in part.cells} == {"yes"}
    assert len({(cell["preset"], cell["op"], cell["dtype"]) for cell in part.cells}) >= 36
