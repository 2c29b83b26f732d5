"""torchao on CUDA: what parts it from itself on CPU has its cause, told there from the bits, here by the rule set."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from parity import candidates, transplant
from parity.backends.torchao_package import unusable
from parity.cell_pair import cell_pair
from parity.cells import cell_at, parse_cell
from parity.edges import edges_of
from parity.evaluate import evaluate
from parity.explain import accounts_for, explain, explain_pair
from parity.explanation import Cause
from parity.lanes import Flow
from parity.pair import Case, Pair
from parity.trace import Trace
from parity.transplant import layer_output
from parity.verdicts import Verdict
from quant import QuantScheme

pytestmark = pytest.mark.skipif(unusable() is not None, reason=unusable() or "")

RECIPROCAL = Cause("scalar_division", "divide", "reciprocal_multiply")
OTHER_LIBRARY = Cause("device", "cpu", "cuda")


@pytest.mark.parametrize(
    ("cell", "first", "flow"),
    [
        ("default", "input.scale", Flow.PTQ),
        ("preset:intx_weight_only,group:32", "weight.scale", Flow.QAT_PREPARE),
        ("preset:intx_weight_only", "weight.scale", Flow.QAT_CONVERT),
    ],
)
def test_the_reciprocal_of_a_number_is_told_from_a_division_by_it(cell: str, first: str, flow: Flow) -> None:
    """The rule set `torchao_cuda` has on CPU what CUDA eager does to `tensor / number`."""
    explanation = explain(cell, f"torchao:{flow}~engine.torchao_cuda:{flow}")
    assert (explanation.first_stage, explanation.causes, explanation.undetermined) == (first, (RECIPROCAL,), ())
    assert explanation.script is not None
    assert "(1 / torch.tensor(" in explanation.script


def test_where_a_quotient_is_rounded_to_16_bits_the_reciprocal_is_not_seen() -> None:
    assert explain("dtype:bf16", "torchao:ptq~engine.torchao_cuda:ptq").first_stage is None


def backwards(case: Case, trace: Trace, scheme: QuantScheme, device: str = "cpu") -> Tensor:
    """A library on "cuda" that sums the products of a layer from the last column to the first."""
    if device == "cpu":
        return layer_output(case, trace, scheme)
    x, w = (trace[f"{side}.dequantized"].tensor.double().flip(-1) for side in ("input", "weight"))
    sums = torch.zeros(*x.shape[:-1], len(w))
    for k in range(x.shape[-1]):
        sums = (sums.double() + x[..., k, None] * w[:, k]).float()
    return sums + case.bias


@pytest.fixture
def other_library(monkeypatch: pytest.MonkeyPatch) -> Pair:
    """torchao on CPU, and beside it what it would give on a device whose library sums in another order."""
    for module in (candidates, transplant):
        monkeypatch.setattr(module, "layer_output", backwards)
    pair = cell_pair("default", "torchao:ptq~engine.torchao_cuda:ptq", siblings=(("random", "1"),))
    traces = []
    for case, trace in zip(pair.cases, pair.b.traces, strict=True):
        *operands, output = trace
        there = backwards(case, trace, pair.b.scheme, "cuda")
        traces.append(Trace([*operands, replace(output, tensor=there)]))
    return replace(pair, b=replace(pair.b, lane=pair.b.lane.on("cuda"), traces=tuple(traces)))


def test_another_order_of_a_librarys_sums_has_the_device_as_its_cause(other_library: Pair) -> None:
    explanation = explain_pair(other_library, cell="default", edge="a~b")
    assert explanation.first_stage == "input.scale"
    assert explanation.causes == (RECIPROCAL, OTHER_LIBRARY)
    assert "and device: cpu against cuda" in explanation.sentence
    assert accounts_for(other_library, explanation.causes)
    assert not accounts_for(other_library, (RECIPROCAL,))


def test_on_a_machine_without_cuda_the_pairs_are_unrun_with_their_reason() -> None:
    cell = cell_at({"device": "cuda"})
    records = [record for record in evaluate([cell]).edges if "torchao" in record.edge]
    assert len(records) == 6
    if torch.cuda.is_available():
        return
    assert {record.verdict for record in records} == {Verdict.UNRUN}
    assert all("no cuda device" in record.message for record in records)


@pytest.mark.gpu
@pytest.mark.parametrize("cell", ["device:cuda", "preset:intx_weight_only,dtype:bf16,device:cuda"])
def test_on_cuda_the_rule_set_is_torchao_and_every_difference_to_cpu_has_its_cause(cell: str) -> None:
    for edge in (edge for edge in edges_of(parse_cell(cell)) if edge.a.backend == "torchao"):
        explanation = explain(cell, str(edge))
        if edge.b.backend == "engine":
            assert explanation.first_stage is None, explanation.sentence
        else:
            assert {*explanation.causes} <= {RECIPROCAL, OTHER_LIBRARY}
            assert explanation.first_stage is None or explanation.causes, explanation.sentence
            assert (RECIPROCAL in explanation.causes) == ("dtype" not in cell)
