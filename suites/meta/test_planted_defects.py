"""The tester is tested: a defect in one flow is red at its stage; in all flows at once, only digests see it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from parity.backends.engine import EngineBackend
from parity.cells import parse_cell
from parity.edges import triangle
from parity.environment import environment
from parity.evaluate import Evaluated, evaluate
from parity.lanes import Flow, Lane
from parity.run_diff import run_diff
from parity.trace import Trace
from parity.verdicts import Verdict
from quant import QuantScheme
from quant.linear import LayerStages
from suites.meta.defects import DEFECTS, Change, Defect

by_name = pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)


def plant(monkeypatch: pytest.MonkeyPatch, change: Change, flows: set[Flow]) -> None:
    """Let the engine's lanes of these flows carry out a changed scheme."""
    honest: Callable[..., Trace] = EngineBackend.trace

    def trace(
        self: EngineBackend, lane: Lane, layer: nn.Module, x: Tensor, scheme: QuantScheme, steps: int = 0
    ) -> Trace:
        return honest(self, lane, layer, x, change(scheme) if lane.flow in flows else scheme, steps)

    monkeypatch.setattr(EngineBackend, "trace", trace)


def judged(defect: Defect) -> Evaluated:
    return evaluate([parse_cell(defect.cell)], lambda _: triangle("engine"))


@by_name
def test_without_the_defect_the_cell_is_green(defect: Defect) -> None:
    assert {record.verdict for record in judged(defect).edges} == {Verdict.IDENTICAL}


@pytest.mark.parametrize("flow", list(Flow))
@by_name
def test_in_one_flow_it_is_red_at_its_stage_on_exactly_that_flow_s_edges(
    defect: Defect, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, defect.change, {flow})
    for record in judged(defect).edges:
        if f":{flow}" in record.edge:
            assert (record.verdict, record.first_stage) == (Verdict.DIVERGED, defect.stage), record.edge
        else:
            assert record.verdict is Verdict.IDENTICAL, record.edge


@by_name
def test_in_all_flows_every_edge_is_green_and_the_comparison_of_runs_names_the_stage(
    defect: Defect, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = judged(defect)
    plant(monkeypatch, defect.change, set(Flow))
    after = judged(defect)
    assert {record.verdict for record in after.edges} == {Verdict.IDENTICAL}
    here = environment()
    moved = run_diff(before.lanes, after.lanes, environments=(here, here)).moved
    assert {(bits.lane, bits.stage) for bits in moved} == {(f"engine:{flow}", defect.stage) for flow in Flow}


def test_a_defect_of_the_stacked_evaluation_alone_is_red(monkeypatch: pytest.MonkeyPatch) -> None:
    from parity import stacked

    honest = stacked.trace_of

    def trace_of(stages: LayerStages, dtype: torch.dtype) -> Trace:
        trace = honest(stages, dtype)
        last = trace["output"]
        moved = type(last)(name=last.name, tensor=-last.tensor, computed=last.computed)
        return Trace([*trace[:-1], moved])

    monkeypatch.setattr(stacked, "trace_of", trace_of)
    cells = [parse_cell("family:random"), parse_cell("family:random,case:1")]
    found = evaluate(cells, lambda _: triangle("engine")).edges
    first = [record for record in found if record.cell == cells[0].id]
    assert {(record.verdict, record.first_stage) for record in first} == {(Verdict.DIVERGED, "output")}
    assert "stacked evaluation" in first[0].message
