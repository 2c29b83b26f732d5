"""parity.shrink(cell, edge): the fewest axes and the smallest tensors on which two lanes still part at the same stage.

Greedy: an axis goes back to its default, a row goes, a value becomes zero, wherever the first stage that differs stays
the first. What is left are hexadecimal floats, and the nearest value at which the lanes agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from torch import Tensor

from parity.axes import AXES
from parity.backends.protocol import NotExpressible
from parity.backends.registry import backend_named
from parity.bits import dtype_name
from parity.cell_pair import cell_pair
from parity.cells import Cell, illegal_reason, parse_cell
from parity.diff import diff_traces
from parity.formats import hexadecimal
from parity.lane_run import rules_of, threads_of
from parity.lanes import Lane, parse_lane
from parity.record import StageDiff
from parity.schemes import scheme_of
from parity.shrunk_script import shrunk_script
from parity.small_case import SmallCase
from parity.trace import Trace

# Where a lane runs is not the cell's to lose.
_KEPT: Final = ("device", "layer")
# Stages whose elements are those of an operand.
_ELEMENTWISE: Final = {
    f"{side}.{stage}": name
    for side, name in (("weight", "weight"), ("input", "x"))
    for stage in ("codes", "dequantized")
} | {"grad.weight": "weight", "grad.input": "x"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunk:
    """The smallest case found: its cell, its weight, bias and x, and a script to show it.

    operands are hexadecimal floats, row by row; without a bias that the lanes part without, and x that is indices.
    at = the first element of the stage that differs; moved and passing = an operand's place, `weight[0, 3]`, and the
    value nearest to the one there, in steps of its dtype, at which the lanes agree; None where no value near does.
    """

    cell: str
    edge: str
    stage: str
    dtype: str
    operands: Mapping[str, tuple[tuple[str, ...], ...]]
    at: tuple[int, ...]
    moved: str | None
    passing: str | None
    script: str


def shrink(cell: str, edge: str) -> Shrunk:
    """The smallest case of a cell whose two lanes (LANE~LANE) part.

    Raises ValueError for what is no cell or no edge, for lanes that do not run or do not part, and for a cell whose
    lanes agree on its values in plain tensors, so that its strides or its dimensions part them.
    """
    first = cell_pair(cell, edge, siblings=()).first_stage
    if first is None:
        raise ValueError(f"the lanes of {edge} have equal bits at every stage on {cell}")
    plain = _fewest_axes(parse_cell(cell), edge, first)
    trial = _Trial(cell=plain, edge=edge, stage=first)
    case = SmallCase.of(cell_pair(plain.id, edge, siblings=()).cases[0])
    if not trial.parts(case):
        raise ValueError(
            f"the lanes of {edge} part at {first} on {plain.id}, and agree on its values in contiguous rows"
        )
    small = case.smallest(trial.parts)
    diff = trial.first(small)
    assert diff is not None
    at = () if diff.first is None else tuple(diff.first.index)
    places = [(name, at) for name in small.operands if name == _ELEMENTWISE.get(first) and at]
    passing = small.nearest_passing(trial.parts, places)
    return Shrunk(
        cell=plain.id,
        edge=edge,
        stage=first,
        dtype=dtype_name(small.weight.dtype),
        operands={name: _rows(value) for name, value in small.operands.items()},
        at=at,
        moved=None if passing is None else passing[0],
        passing=None if passing is None else hexadecimal(passing[1]),
        script=shrunk_script(small, plain, edge, first),
    )


def _rows(operand: Tensor) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(map(hexadecimal, row.double().tolist())) for row in operand.reshape(-1, operand.shape[-1]))


def _fewest_axes(cell: Cell, edge: str, stage: str) -> Cell:
    """The cell with every axis at its default that the divergence can do without."""
    for name, axis in AXES.items():
        if name in _KEPT or axis.default is None or cell[name] == axis.default:
            continue
        plainer = cell.at(**{name: axis.default})
        if illegal_reason(plainer) is None and _first_stage(plainer, edge) == stage:
            cell = plainer
    return cell


def _first_stage(cell: Cell, edge: str) -> str | None:
    try:
        return cell_pair(cell.id, edge, siblings=()).first_stage
    except ValueError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """Whether a case still parts the lanes at the stage first."""

    cell: Cell
    edge: str
    stage: str

    def parts(self, case: SmallCase) -> bool:
        diff = self.first(case)
        return diff is not None and diff.stage == self.stage

    def first(self, case: SmallCase) -> StageDiff | None:
        """The first stage that differs; None where none does, or a lane does not run."""
        try:
            a, b = (self._trace(parse_lane(text), case) for text in self.edge.split("~"))
        except (ValueError, NotExpressible):
            return None
        return next((diff for diff in diff_traces(a, b) if not diff.identical and not diff.one_sided), None)

    def _trace(self, lane: Lane, case: SmallCase) -> Trace:
        scheme, asked = scheme_of(self.cell, rules_of(lane)), {"gradients": True} if self.cell["grad"] == "yes" else {}
        layer, x = case.layer.to(lane.device), case.x.to(lane.device)
        with threads_of(self.cell):
            return backend_named(lane.backend).trace(lane, layer, x, scheme, int(self.cell["steps"]), **asked)
