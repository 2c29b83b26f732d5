"""A mutant planted on a cell: in one flow every edge of that flow must show it, in all flows digests must move."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from parity.backends.engine import EngineBackend
from parity.cases import input_of, layer_of
from parity.cells import Cell, parse_cell
from parity.diff import diff_traces
from parity.edges import triangle
from parity.environment import environment
from parity.inputs import Inputs, input_digests, make_inputs
from parity.judge import judge
from parity.lane_run import LaneRun, attempt
from parity.lanes import Flow, Lane
from parity.run_diff import run_diff
from parity.trace import Trace
from parity.verdicts import Verdict
from quant import QuantScheme
from suites.meta.mutants import GROUNDS, Mutant

LANES: Final = {flow: Lane(backend="engine", flow=flow) for flow in Flow}


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a mutant is tried: the ground it grows on, by name, and a cell."""

    ground: str
    cell: str


@dataclass(frozen=True, slots=True)
class _Honest:
    """A place without a mutant: its scheme, its inputs, and what every flow made of them."""

    cell: Cell
    scheme: QuantScheme
    inputs: Inputs
    digest: str
    runs: dict[Flow, LaneRun]


def seen(mutant: Mutant, place: Place) -> frozenset[Flow]:
    """The flows in which the mutant, planted in one alone, is seen on exactly that flow's edges.

    Empty where it is not legal, and where, planted in all flows at once, a comparison with a run without it does not
    show it in the same ones.
    """
    honest = _honest(place)
    try:
        scheme = mutant.of(honest.scheme)
    except ValueError:
        return frozenset()
    planted = {flow: _run(honest, flow, scheme) for flow in Flow}
    alone = frozenset(flow for flow in Flow if _red_alone(honest, planted, flow))
    return alone if alone == _moved(honest, planted) else frozenset()


def _red_alone(honest: _Honest, planted: dict[Flow, LaneRun], flow: Flow) -> bool:
    """The mutant in one flow: the edges that have this flow are judged otherwise than without it, and no others."""
    runs = honest.runs | {flow: planted[flow]}
    pairs = [(edge.a.flow, edge.b.flow) for edge in triangle("engine")]
    return all((_judged(runs, pair) != _judged(honest.runs, pair)) == (flow in pair) for pair in pairs)


def _moved(honest: _Honest, planted: dict[Flow, LaneRun]) -> frozenset[Flow]:
    """The mutant in all flows, where no edge shows it: those in which the comparison with a run without it does."""
    before, after = ([run.record for run in runs.values()] for runs in (honest.runs, planted))
    found = run_diff(before, after, environments=(environment(), environment()))
    lanes = {bits.lane for bits in found.moved}
    return frozenset(flow for flow, lane in LANES.items() if str(lane) in lanes)


def _judged(runs: dict[Flow, LaneRun], flows: tuple[Flow, Flow]) -> tuple[Verdict, str]:
    """The verdict on a pair of flows, and its signature."""
    a, b = runs[flows[0]], runs[flows[1]]
    diffs = () if a.trace is None or b.trace is None else diff_traces(a.trace, b.trace)
    edge = f"{a.record.lane}~{b.record.lane}"
    record = judge(a.record, b.record, diffs, edge=edge, contract_text="exact", legal=True)
    return record.verdict, record.signature


@lru_cache(maxsize=64)
def _honest(place: Place) -> _Honest:
    cell = parse_cell(place.cell)
    scheme = GROUNDS[place.ground].scheme(place.cell)
    inputs = make_inputs([cell], [scheme])
    bare = _Honest(cell=cell, scheme=scheme, inputs=inputs, digest=input_digests(inputs)[0], runs={})
    runs = {flow: _run(bare, flow, scheme) for flow in Flow}
    return _Honest(cell=cell, scheme=scheme, inputs=inputs, digest=bare.digest, runs=runs)


def _run(place: _Honest, flow: Flow, scheme: QuantScheme) -> LaneRun:
    lane, cell = LANES[flow], place.cell

    def compute() -> Trace:
        layer, x = layer_of(cell, place.inputs, "cpu"), input_of(cell, place.inputs, "cpu")
        return EngineBackend().trace(lane, layer, x, scheme, int(cell["steps"]))

    return attempt(lane, None, compute, cell_id=cell.id, input_digest=place.digest)
