"""Many cases of one configuration in one pass: each lane's flow on layers whose tensors have a dimension of cases.

Only what cannot depend on a neighbour may be stacked: elementwise and min/max steps, and products without an order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from parity.backends.engine_stages import trace_of
from parity.backends.graphs import fusing
from parity.bits import dtype_name, same_storage
from parity.calibration import observed_qparams, start_range
from parity.cells import Cell
from parity.diff import equal_cases
from parity.digest import digests
from parity.inputs import Inputs
from parity.lane_run import LaneRun
from parity.lanes import Flow, Lane
from parity.record import ByStage, LaneRecord, LaneStage
from parity.trace import Stage, Trace, same_bits
from parity.verdicts import Outcome
from quant import QuantScheme
from quant.embedding import FakeQuantizedEmbedding, QuantizedEmbedding
from quant.linear import FakeQuantizedLinear, LayerStages, QuantizedLinear


@dataclass(frozen=True, slots=True)
class Stacked:
    """What each lane computed for all cases at once, and the stage records of each case."""

    cells: Sequence[Cell]
    input_digests: Sequence[str]
    traces: Mapping[Lane, Trace]
    stages: Mapping[Lane, Sequence[ByStage[LaneStage]]]

    def trace(self, lane: Lane, case: int) -> Trace:
        """One case's trace: slices, no copies."""
        return Trace(
            Stage(name=stage.name, tensor=stage.tensor[case], computed=stage.computed) for stage in self.traces[lane]
        )

    def record(self, lane: Lane, case: int, coverage: tuple[tuple[str, int], ...] = ()) -> LaneRecord:
        """One case's record."""
        return LaneRecord(
            cell=self.cells[case].id,
            lane=str(lane),
            outcome=Outcome.RAN,
            input_digest=self.input_digests[case],
            stages=self.stages[lane][case],
            coverage=coverage,
        )

    def run(self, lane: Lane, case: int, coverage: tuple[tuple[str, int], ...] = ()) -> LaneRun:
        """One case as if it had been run alone."""
        return LaneRun(self.record(lane, case, coverage), self.trace(lane, case))

    def equal(self, a: Lane, b: Lane) -> list[bool]:
        """For each case, whether the two lanes have the same stages with the same bits."""
        first, second = self.traces[a], self.traces[b]
        if first.names != second.names:
            return [False] * len(self.cells)
        equal = torch.ones(len(self.cells), dtype=torch.bool)
        for one, other in zip(first, second, strict=True):
            if not same_storage(one.tensor, other.tensor):
                equal &= equal_cases(one.name, one.tensor, other.tensor)
        return equal.tolist()


def stack_engine(
    cells: Sequence[Cell], inputs: Inputs, input_digests: Sequence[str], scheme: QuantScheme, lanes: Sequence[Lane]
) -> Stacked:
    """Every engine lane over all cases at once; the cells are legal, of one configuration and without training."""
    wide = scheme.stacked()
    device = lanes[0].device
    moved = Inputs(
        inputs.weight.to(device), None if inputs.bias is None else inputs.bias.to(device), inputs.x.to(device)
    )
    is_linear = cells[0]["op"] == "linear"
    traces: dict[Lane, Trace] = {}
    stages: dict[Lane, list[ByStage[LaneStage]]] = {}
    for lane in lanes:
        with torch.no_grad(), fusing(lane.mode):
            trace = trace_of((_linear if is_linear else _embedding)(lane.flow, moved, wide), inputs.weight.dtype)
        twin = next((other for other, earlier in traces.items() if same_bits(trace, earlier)), None)
        traces[lane] = trace
        stages[lane] = _stage_records(trace) if twin is None else stages[twin]
    return Stacked(cells=cells, input_digests=input_digests, traces=traces, stages=stages)


def _stage_records(trace: Trace) -> list[ByStage[LaneStage]]:
    """The stage records of every case."""
    columns = [
        [
            LaneStage(
                stage.name,
                dtype_name(stage.tensor.dtype),
                dtype_name(stage.computed),
                tuple(stage.tensor.shape[1:]),
                text,
            )
            for text in digests(stage.tensor)
        ]
        for stage in trace
    ]
    return [ByStage(row) for row in zip(*columns, strict=True)]


def _linear(flow: Flow, inputs: Inputs, scheme: QuantScheme) -> LayerStages:
    if flow is Flow.PTQ:
        fixed = observed_qparams(inputs.weight, inputs.x, scheme)
        return QuantizedLinear.from_float(inputs.weight, inputs.bias, scheme, fixed).stages(inputs.x)
    bias = None if inputs.bias is None else nn.Parameter(inputs.bias)
    prepared = FakeQuantizedLinear(nn.Parameter(inputs.weight), bias, scheme)
    start_range(prepared, inputs.x)
    return (prepared if flow is Flow.QAT_PREPARE else prepared.converted()).stages(inputs.x)


def _embedding(flow: Flow, inputs: Inputs, scheme: QuantScheme) -> LayerStages:
    if flow is Flow.PTQ:
        return QuantizedEmbedding.from_float(inputs.weight, None, scheme).stages(inputs.x)
    prepared = FakeQuantizedEmbedding(nn.Parameter(inputs.weight), None, scheme)
    return (prepared if flow is Flow.QAT_PREPARE else prepared.converted()).stages(inputs.x)
