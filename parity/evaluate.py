"""The cells of one configuration become records: every lane run, every edge judged.

Engine lanes run twice over: the first cell through real modules, all cells stacked; where the two part in any bit the
cell is red. Everything else runs a cell at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from parity.aim import Aim
from parity.axes import LAYERS
from parity.backends.graphs import GRAPHS
from parity.backends.registry import backend_named
from parity.bits import dtype_name
from parity.cells import Cell, illegal_reason
from parity.coverage import coverage
from parity.diff import diff_traces
from parity.digest import digest, little_endian
from parity.edges import Edge, edges_of
from parity.evidence import Header
from parity.inputs import Inputs, input_digests, make_inputs
from parity.judge import judge
from parity.lane_run import LaneRun, rules_of, run_lane
from parity.lanes import Lane
from parity.record import EdgeRecord, LaneRecord
from parity.schemes import scheme_of
from parity.signature import signature_of
from parity.stacked import Stacked, stack_engine
from parity.trace import Trace, same_bits
from parity.verdicts import Outcome, Verdict
from quant import QuantScheme

Counts = tuple[tuple[str, int], ...]
EdgesOf = Callable[[Cell], tuple[Edge, ...]]
InputsOf = Callable[[Sequence[Cell], Sequence[QuantScheme]], Inputs]


@dataclass(frozen=True, slots=True)
class Keepsake:
    """One side of a diverging stage, to be kept as evidence: its header and its bytes."""

    header: Header
    data: bytes


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The records of some cells, and the small tensors that show where lanes diverged."""

    lanes: list[LaneRecord] = field(default_factory=list)
    edges: list[EdgeRecord] = field(default_factory=list)
    keepsakes: list[Keepsake] = field(default_factory=list)
    aims: list[Aim] = field(default_factory=list)

    def extend(self, more: Evaluated) -> None:
        """Add the records of more cells behind these."""
        self.lanes.extend(more.lanes)
        self.edges.extend(more.edges)
        self.keepsakes.extend(more.keepsakes)
        self.aims.extend(more.aims)

    @classmethod
    def unanswered(cls, cell: Cell, edges: Sequence[Edge], reason: str, *, timed_out: bool) -> Evaluated:
        """The records of a cell that took its process with it: which lane did is not known, so every pair is marked."""
        outcome, verdict = (Outcome.TIMEOUT, Verdict.TIMEOUT) if timed_out else (Outcome.CRASHED, Verdict.CRASHED)
        lanes = [
            LaneRecord(cell=cell.id, lane=str(lane), outcome=outcome, input_digest="", message=reason)
            for lane in _lanes(edges)
        ]
        pairs = [
            EdgeRecord(cell=cell.id, edge=str(edge), verdict=verdict, contract=edge.contract, message=reason)
            for edge in edges
        ]
        return cls(lanes, pairs)


def evaluate(cells: Sequence[Cell], choose_edges: EdgesOf = edges_of, inputs_of: InputsOf = make_inputs) -> Evaluated:
    """Run and judge cells of one configuration: a record for each of their lanes and edges, in the cells' order.

    `inputs_of(cells, schemes)` gives their inputs: made from their ids, or read from a file (parity.weights.Source).
    """
    configuration = _Configuration.of(cells, choose_edges(cells[0]), inputs_of)
    found = Evaluated()
    for i in range(len(cells)):
        configuration.evaluate_case(i, found)
    found.aims.extend(() if configuration.inputs is None else configuration.inputs.aims)
    return found


@dataclass(frozen=True, slots=True)
class _Configuration:
    """What the cells share: their edges, their inputs, which lanes cannot run here, and the stacked evaluation."""

    cells: Sequence[Cell]
    edges: tuple[Edge, ...]
    unrun: dict[Lane, str]
    legal: bool
    inputs: Inputs | None
    input_digests: Sequence[str]
    stacked: Stacked | None
    equal: dict[Edge, list[bool]]
    coverage: Sequence[Counts]

    @classmethod
    def of(cls, cells: Sequence[Cell], edges: tuple[Edge, ...], inputs_of: InputsOf) -> _Configuration:
        unrun = _unrun(edges)
        lanes = [lane for lane in _lanes(edges) if lane not in unrun]
        legal = illegal_reason(cells[0]) is None
        if not lanes:
            return cls(cells, edges, unrun, legal, None, [""] * len(cells), None, {}, [()] * len(cells))
        inputs = inputs_of(cells, aimed_schemes(cells[0], lanes) if legal else [])
        digests = input_digests(inputs)
        device = cells[0]["device"]
        own = [lane for lane in lanes if lane.backend == "engine" and lane.rules is None and lane.device == device]
        own = [lane for lane in own if lane.mode not in GRAPHS]
        plain = cells[0]["steps"] == "0" and cells[0]["grad"] == "no" and cells[0]["op"] in LAYERS
        stackable = legal and bool(own) and len(cells) > 1 and plain
        stacked: Stacked | None = None
        equal: dict[Edge, list[bool]] = {}
        meters: list[Counts] = [()] * len(cells)
        if stackable:
            scheme = scheme_of(cells[0])
            stacked = stack_engine(cells, inputs, digests, scheme, own)
            equal = {edge: stacked.equal(edge.a, edge.b) for edge in edges if edge.a in own and edge.b in own}
            counted = coverage(
                stacked.traces[own[0]], scheme.stacked(), inputs.weight, inputs.x, inputs.bias, len(cells)
            )
            meters = [tuple(counts.items()) for counts in counted]
        return cls(cells, edges, unrun, legal, inputs, digests, stacked, equal, meters)

    def evaluate_case(self, i: int, found: Evaluated) -> None:
        """Add case i's records: every lane's, then every edge's."""
        runs: dict[Lane, LaneRun] = {}
        counts = self.coverage[i]
        for lane in _lanes(self.edges):
            if i and self.stacked is not None and lane in self.stacked.traces:
                found.lanes.append(self.stacked.record(lane, i, counts))
            else:
                runs[lane] = self._run(lane, i, like=next(iter(runs.values()), None))
                counts = counts or self._counted(lane, runs[lane].trace, i)
                found.lanes.append(replace(runs[lane].record, coverage=counts if lane.backend == "engine" else ()))
        for edge in self.edges:
            if edge.a not in runs and edge.b not in runs and self.equal[edge][i]:
                found.edges.append(_identical(self.cells[i].id, edge))
                continue
            sides = [runs[lane] if lane in runs else self._stacked_run(lane, i) for lane in (edge.a, edge.b)]
            record = self._judged(edge, sides[0], sides[1], i)
            found.edges.append(record)
            found.keepsakes.extend(_keepsakes(record, edge, sides))

    def _run(self, lane: Lane, i: int, like: LaneRun | None = None) -> LaneRun:
        cell = self.cells[i]
        if lane in self.unrun:
            record = LaneRecord(
                cell=cell.id, lane=str(lane), outcome=Outcome.UNRUN, input_digest="", message=self.unrun[lane]
            )
            return LaneRun(record, None)
        assert self.inputs is not None
        return run_lane(lane, cell, self.inputs.case(i), self.input_digests[i], like)

    def _stacked_run(self, lane: Lane, i: int) -> LaneRun:
        assert self.stacked is not None
        return self.stacked.run(lane, i)

    def _counted(self, lane: Lane, trace: Trace | None, i: int) -> Counts:
        """What the case visited, from the first engine lane's trace; its lanes share it. () after training."""
        counted = lane.backend == "engine" and lane.rules is None and self.legal and self.cells[i]["steps"] == "0"
        if trace is None or self.inputs is None or not counted:
            return ()
        case = self.inputs.case(i)
        bias = None if case.bias is None else case.bias[0]
        return tuple(coverage(trace, scheme_of(self.cells[i]), case.weight[0], case.x[0], bias, 1)[0].items())

    def _judged(self, edge: Edge, a: LaneRun, b: LaneRun, i: int) -> EdgeRecord:
        """The pair's verdict. Lanes that part are run a second time, so that chance is not taken for a difference."""
        if a.trace is not None and b.trace is not None and self.legal and same_bits(a.trace, b.trace):
            record = _identical(a.record.cell, edge)
        else:
            record = self._judged_by_stage(edge, a, b, i)
        if record.verdict is Verdict.IDENTICAL and i == 0 and self.stacked is not None:
            return self._held_to_stack(record, edge, (a, b))
        return record

    def _judged_by_stage(self, edge: Edge, a: LaneRun, b: LaneRun, i: int) -> EdgeRecord:
        diffs = () if a.trace is None or b.trace is None else diff_traces(a.trace, b.trace)
        again = None
        if any(not diff.identical for diff in diffs):
            again = (self._run(edge.a, i).record, self._run(edge.b, i).record)
        return judge(
            a.record, b.record, diffs, edge=str(edge), contract_text=edge.contract, legal=self.legal, again=again
        )

    def _held_to_stack(self, record: EdgeRecord, edge: Edge, sides: tuple[LaneRun, LaneRun]) -> EdgeRecord:
        """The record, turned red where a lane's module and its stacked evaluation part in any bit."""
        assert self.stacked is not None
        for run, lane in zip(sides, (edge.a, edge.b), strict=True):
            if lane not in self.stacked.traces or run.trace is None:
                continue
            stacked = self.stacked.trace(lane, 0)
            if same_bits(run.trace, stacked):
                continue
            diffs = diff_traces(run.trace, stacked)
            first = next((diff for diff in diffs if not diff.identical), None)
            if first is not None:
                return replace(
                    record,
                    verdict=Verdict.DIVERGED,
                    first_stage=first.stage,
                    stages=diffs,
                    signature=str(signature_of(str(edge), first)),
                    message=f"{lane}: the stacked evaluation gives other bits than the module, first at {first.stage}",
                )
        return record


def aimed_schemes(cell: Cell, lanes: Iterable[Lane]) -> list[QuantScheme]:
    """What the inputs of a legal cell are aimed at: its scheme under the rules of every lane that runs there."""
    return [scheme_of(cell, rules) for rules in dict.fromkeys(rules_of(lane) for lane in lanes)]


def lanes_that_run(edges: Sequence[Edge]) -> tuple[Lane, ...]:
    """The lanes of these edges, without those that cannot run here or have no other to be compared with."""
    missing = _unrun(edges)
    return tuple(lane for lane in _lanes(edges) if lane not in missing)


def _lanes(edges: Sequence[Edge]) -> tuple[Lane, ...]:
    return tuple(dict.fromkeys(lane for edge in edges for lane in (edge.a, edge.b)))


def _unrun(edges: Sequence[Edge]) -> dict[Lane, str]:
    """Why a lane is not run: it cannot be here, or every lane it would be compared with cannot."""
    missing = {lane: backend_named(lane.backend).unrun(lane) for lane in _lanes(edges)}
    reasons = {lane: reason for lane, reason in missing.items() if reason is not None}
    for lane in missing:
        others = [edge.b if edge.a == lane else edge.a for edge in edges if lane in (edge.a, edge.b)]
        if lane not in reasons and all(missing[other] is not None for other in others):
            reasons[lane] = f"not needed: {missing[others[0]]}"
    return reasons


def _identical(cell_id: str, edge: Edge) -> EdgeRecord:
    return EdgeRecord(cell=cell_id, edge=str(edge), verdict=Verdict.IDENTICAL, contract=edge.contract)


def _keepsakes(record: EdgeRecord, edge: Edge, sides: Sequence[LaneRun]) -> list[Keepsake]:
    """Both sides of the first diverging stage, where there is one."""
    kept = []
    for lane, run in zip((edge.a, edge.b), sides, strict=True):
        stage = None if run.trace is None or record.first_stage is None else run.trace.find(record.first_stage)
        if stage is None or record.verdict is not Verdict.DIVERGED:
            continue
        tensor = stage.tensor.detach().cpu().contiguous()
        header = Header(
            signature=record.signature,
            cell=record.cell,
            edge=record.edge,
            lane=str(lane),
            stage=stage.name,
            dtype=dtype_name(tensor.dtype),
            shape=tuple(tensor.shape),
            digest=digest(tensor),
        )
        kept.append(Keepsake(header=header, data=little_endian(tensor)))
    return kept
