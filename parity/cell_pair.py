"""Two lanes of a cell with their tensors, on its own inputs and on others of its configuration."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from parity.axes import OPERATIONS, SYNTHETIC
from parity.backends.engine_operations import operated
from parity.backends.protocol import Declares, Trains
from parity.backends.registry import backend_named
from parity.cases import input_of, layer_of
from parity.cells import Cell, illegal_reason, parse_cell
from parity.edges import edges_of
from parity.inputs import Inputs, input_digests, make_inputs
from parity.lane_run import LaneRun, rules_of, run_lane, threads_of
from parity.lanes import Flow, Lane, parse_lane
from parity.pair import Case, Pair, Side
from parity.schemes import scheme_of
from quant import QuantScheme

InputsOf = Callable[[Sequence[Cell], Sequence[QuantScheme]], Inputs]

# The inputs that tell decisions apart beside a cell's own. None holds NaN or infinity: a lane that differs there alone
# would leave a cell without them unexplained.
SIBLINGS: Final = (
    *(("directed", str(case)) for case in range(4)),
    *(("ties", "0"), ("ties", "1"), ("eps_edge", "0"), ("outlier", "0"), ("integers", "0"), ("random", "0")),
)


def cell_pair(
    cell_id: str,
    edge_text: str,
    siblings: Sequence[tuple[str, str]] = SIBLINGS,
    inputs_of: InputsOf | None = None,
) -> Pair:
    """Two lanes, LANE~LANE, on a cell and on its siblings; a sibling on which a lane does not run is left out.

    inputs_of gives the inputs of a layer in a file, which has no siblings. Raises ValueError for a cell or a lane that
    is none, for an illegal cell, for a layer without inputs_of, and where a lane does not run.
    """
    cell = parse_cell(cell_id)
    a, b = _lanes(edge_text)
    of_file = cell["layer"] != SYNTHETIC
    if of_file and inputs_of is None:
        raise ValueError(f"the cell {cell_id!r} is of a layer in a file; name the file with --weights")
    reason = illegal_reason(cell)
    if reason is not None:
        raise ValueError(f"the cell {cell_id!r} is illegal ({reason}), so there are no bits to explain")
    made = inputs_of or make_inputs
    found = [_runs(a, b, each, made) for each in _configuration(cell, () if of_file else siblings)]
    sides = _side(a, cell, made), _side(b, cell, made)
    pair = Pair.of_runs([case for case, _ in found], [runs for _, runs in found], sides)
    return _trained(pair, cell) if cell["steps"] != "0" else pair


def _lanes(text: str) -> tuple[Lane, Lane]:
    """The lanes of LANE~LANE, a declared edge or not."""
    a, tilde, b = text.partition("~")
    if not tilde:
        raise ValueError(f"{text!r} is not an edge; write two lanes, for example engine:ptq~engine.torchao:ptq")
    return parse_lane(a), parse_lane(b)


def _side(lane: Lane, cell: Cell, inputs_of: InputsOf) -> Side:
    """The lane, with what it is to carry out: the cell's scheme under its rules, or what its backend makes of that."""
    backend, scheme = backend_named(lane.backend), scheme_of(cell, rules_of(lane))
    if cell["op"] in OPERATIONS:
        return Side(lane=lane, scheme=scheme, training=scheme, operated=operated(lane, cell["op"]))
    if not isinstance(backend, Declares):
        return Side(lane=lane, scheme=scheme, training=scheme)
    layer = layer_of(cell, inputs_of([cell], []), "cpu")
    carried = backend.declared(lane, layer, scheme)
    trains = cell["steps"] != "0"
    training = backend.declared(replace(lane, flow=Flow.QAT_PREPARE), layer, scheme) if trains else carried
    return Side(lane=lane, scheme=carried, training=training)


def _trained(pair: Pair, cell: Cell) -> Pair:
    """The pair with the parameters that each lane trained. Raises ValueError for a lane that does not hand them out."""
    steps = int(cell["steps"])

    def after(side: Side, case: Case) -> Case:
        backend, scheme = backend_named(side.lane.backend), scheme_of(cell, rules_of(side.lane))
        if not isinstance(backend, Trains):
            raise ValueError(
                f"{side.lane} does not hand out the weights that it trained, so there is nothing to start from on "
                f"{cell.id!r}; explain {cell.at(steps='0').id!r} instead"
            )
        layer = copy.deepcopy(case.layer).to(side.lane.device)
        with threads_of(cell):
            return Case(layer=backend.trained(side.lane, layer, case.x.to(side.lane.device), scheme, steps), x=case.x)

    a, b = (replace(side, cases=tuple(after(side, case) for case in side.cases)) for side in (pair.a, pair.b))
    return replace(pair, a=a, b=b, steps=steps)


def _configuration(cell: Cell, siblings: Sequence[tuple[str, str]]) -> list[Cell]:
    """The cell itself, then its siblings."""
    return list(dict.fromkeys((cell, *(cell.at(family=family, case=case) for family, case in siblings))))


def _runs(a: Lane, b: Lane, cell: Cell, inputs_of: InputsOf) -> tuple[Case, tuple[LaneRun, LaneRun]]:
    """Inputs as a run makes them, and what both lanes did with them."""
    inputs = inputs_of([cell], [scheme_of(cell, rules) for rules in _rule_sets(cell)])
    digest = input_digests(inputs)[0]
    runs = (run_lane(a, cell, inputs, digest), run_lane(b, cell, inputs, digest))
    return Case(layer=layer_of(cell, inputs, "cpu"), x=input_of(cell, inputs, "cpu")), runs


def _rule_sets(cell: Cell) -> tuple[str, ...]:
    """The rule sets at whose scales a run lays the cell's ties: those of every lane that can run here."""
    edges = edges_of(cell)
    run: dict[Lane, bool] = {}
    for lane in dict.fromkeys(lane for edge in edges for lane in (edge.a, edge.b)):
        run[lane] = backend_named(lane.backend).unrun(lane) is None
    paired = {lane for edge in edges if run[edge.a] and run[edge.b] for lane in (edge.a, edge.b)}
    return tuple(dict.fromkeys(rules_of(lane) for lane in run if lane in paired))
