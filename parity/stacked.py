"""Many cases of one configuration in one pass: each lane's flow on layers whose tensors have a dimension of cases.

Only what cannot depend on a neighbour may be stacked: elementwise and min/max steps, and products without an order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from parity.backends.engine import trace_of
from parity.bits import dtype_name
from parity.cells import Cell
from parity.diff import equal_cases
from parity.digest import digests
from parity.inputs import Inputs
from parity.lane_run import LaneRun
from parity.lanes import Flow, Lane
from parity.record import ByStage, LaneRecord, LaneStage
from parity.trace import Stage, Trace
from parity.verdicts import Outcome
from quant import QuantScheme
from quant.embedding import FakeQuantizedEmbedding, QuantizedEmbedding
from quant.linear import FakeQuantizedLinear, LayerStages, QuantizedLinear


@dataclass(frozen=True, slots=True)
class Stacked:
    """What each lane computed for all cases at once."""

    cells: Sequence[Cell]
    input_digests: Sequence[str]
    traces: Mapping[Lane, Trace]
    digests: Mapping[Lane, Mapping[str, list[str]]]
    forms: Mapping[Lane, tuple[tuple[str, str, str, tuple[int, ...]], ...]]

    def trace(self, lane: Lane, case: int) -> Trace:
        """One case's trace: slices, no copies."""
        return Trace(
            Stage(name=stage.name, tensor=stage.tensor[case], computed=stage.computed) for stage in self.traces[lane]
        )

    def record(self, lane: Lane, case: int, coverage: tuple[tuple[str, int], ...] = ()) -> LaneRecord:
        """One case's record."""
        texts = self.digests[lane]
        return LaneRecord(
            cell=self.cells[case].id,
            lane=str(lane),
            outcome=Outcome.RAN,
            input_digest=self.input_digests[case],
            stages=ByStage(
                LaneStage(stage=name, dtype=dtype, computed=computed, shape=shape, digest=texts[name][case])
                for name, dtype, computed, shape in self.forms[lane]
            ),
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
    texts: dict[Lane, dict[str, list[str]]] = {}
    for lane in lanes:
        with torch.no_grad():
            traces[lane] = trace_of((_linear if is_linear else _embedding)(lane.flow, moved, wide), wide)
        texts[lane] = _digests(traces[lane], traces, texts)
    forms = {
        lane: tuple(
            (s.name, dtype_name(s.tensor.dtype), dtype_name(s.computed), tuple(s.tensor.shape[1:])) for s in trace
        )
        for lane, trace in traces.items()
    }
    return Stacked(cells=cells, input_digests=input_digests, traces=traces, digests=texts, forms=forms)


def _digests(
    trace: Trace, earlier: Mapping[Lane, Trace], texts: Mapping[Lane, Mapping[str, list[str]]]
) -> dict[str, list[str]]:
    """Each stage's digests; a stage that is bit for bit an earlier lane's has that lane's, and is not hashed again."""
    found: dict[str, list[str]] = {}
    for stage in trace:
        for lane, known in texts.items():
            other = earlier[lane].find(stage.name)
            if other is not None and _same_bits(other.tensor, stage.tensor):
                found[stage.name] = known[stage.name]
                break
        else:
            found[stage.name] = digests(stage.tensor)
    return found


def _same_bits(a: Tensor, b: Tensor) -> bool:
    """Equal dtype, shape and stored bits; NaN payloads may make this False for stages whose digests are equal."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    whole = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[a.element_size()]
    return torch.equal(a.contiguous().view(whole), b.contiguous().view(whole))


def _linear(flow: Flow, inputs: Inputs, scheme: QuantScheme) -> LayerStages:
    if flow is Flow.PTQ:
        return QuantizedLinear.from_float(inputs.weight, inputs.bias, scheme).stages(inputs.x)
    bias = None if inputs.bias is None else nn.Parameter(inputs.bias)
    prepared = FakeQuantizedLinear(nn.Parameter(inputs.weight), bias, scheme)
    return (prepared if flow is Flow.QAT_PREPARE else prepared.converted()).stages(inputs.x)


def _embedding(flow: Flow, inputs: Inputs, scheme: QuantScheme) -> LayerStages:
    if flow is Flow.PTQ:
        return QuantizedEmbedding.from_float(inputs.weight, None, scheme).stages(inputs.x)
    prepared = FakeQuantizedEmbedding(nn.Parameter(inputs.weight), None, scheme)
    return (prepared if flow is Flow.QAT_PREPARE else prepared.converted()).stages(inputs.x)
