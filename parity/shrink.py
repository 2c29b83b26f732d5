"""parity.shrink(cell, edge): the fewest axes and the smallest tensor on which two lanes still part at the same stage.

Greedy: an axis goes back to its default, a row goes, a value becomes zero, wherever the first stage that differs stays
the first. What is left is one row of a layer, its values as hexadecimal floats, and the nearest value that passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from parity.axes import AXES
from parity.backends.protocol import NotExpressible
from parity.backends.registry import backend_named
from parity.bits import dtype_name
from parity.cell_pair import cell_pair
from parity.cells import Cell, illegal_reason, parse_cell
from parity.diff import diff_stage
from parity.lane_run import rules_of
from parity.lanes import Lane, parse_lane
from parity.schemes import scheme_of

_SCRIPT: Final = """\
import torch

from parity.backends.registry import backend_named
from parity.cells import parse_cell
from parity.lane_run import rules_of
from parity.lanes import parse_lane
from parity.schemes import scheme_of

weight, x = torch.zeros({n}, {columns}, dtype={dtype}), torch.zeros({m}, {columns}, dtype={dtype})
{filled}
layer = torch.nn.Linear({columns}, {n}, bias=False, dtype={dtype})
layer.weight = torch.nn.Parameter(weight)
for text in ("{a}", "{b}"):
    lane = parse_lane(text)
    scheme = scheme_of(parse_cell("{cell}"), rules_of(lane))
    trace = backend_named(lane.backend).trace(lane, layer, x, scheme)
    print(text, "{stage}", trace["{stage}"].tensor.tolist())
"""
# Where a lane runs is not the cell's to lose.
_KEPT = ("device", "layer")
_OPERANDS: Final = ("weight.", "input.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunk:
    """The smallest case found: its cell, the values of the operand in which the lanes part, and a script to show it.

    values are hexadecimal floats, row by row; at = (row, column) of the first element that differs; passing = the value
    nearest to it, in steps of its dtype, at which the lanes agree, None where no value near does.
    """

    cell: str
    edge: str
    stage: str
    dtype: str
    values: tuple[tuple[str, ...], ...]
    at: tuple[int, ...]
    passing: str | None
    script: str


def shrink(cell: str, edge: str) -> Shrunk:
    """The smallest case of a cell whose two lanes (LANE~LANE) part.

    Raises ValueError for what is no cell or no edge, for lanes that do not run, and where no weight or input does so.
    """
    first = cell_pair(cell, edge).first_stage
    if first is None or not first.startswith(_OPERANDS):
        found = "have equal bits at every stage" if first is None else f"part at {first} first"
        raise ValueError(f"the lanes of {edge} {found} on {cell}; only what parts them in a weight or input is shrunk")
    plain = _fewest_axes(parse_cell(cell), edge, first)
    trial = _Trial(cell=plain, edge=edge, stage=first)
    case = cell_pair(plain.id, edge).cases[0]
    operand = trial.smallest(case.weight if first.startswith("weight.") else case.x.reshape(-1, case.x.shape[-1]))
    at = trial.where(operand)
    if at is None:
        raise ValueError(f"the lanes of {edge} part at {first} on {plain.id}, but not where the other operand is zero")
    return Shrunk(
        cell=plain.id,
        edge=edge,
        stage=first,
        dtype=dtype_name(operand.dtype),
        values=tuple(tuple(float(v).hex() for v in row.double()) for row in operand),
        at=at,
        passing=trial.passing(operand, at),
        script=_script(plain, edge, first, operand),
    )


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
        return cell_pair(cell.id, edge).first_stage
    except ValueError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """Whether a weight, or an input, still parts the lanes at the stage; the other operand is zero."""

    cell: Cell
    edge: str
    stage: str

    def where(self, weight: Tensor) -> tuple[int, ...] | None:
        """The first element of the stage that differs; None where the stage is equal or a lane does not run."""
        try:
            a, b = (_stage(lane, self.cell, weight, self.stage) for lane in _lanes(self.edge))
        except (ValueError, NotExpressible):
            return None
        diff = diff_stage(self.stage, a, b)
        return None if diff.identical or diff.first is None else tuple(diff.first.index)

    def smallest(self, operand: Tensor) -> Tensor:
        """One row where one will do, with as few columns and as many zeros as will do."""
        for row in range(len(operand)):
            if self.where(operand[row : row + 1]) is not None:
                operand = operand[row : row + 1].clone()
                break
        operand = self._fewest_columns(operand)
        size = operand.shape[1]
        while size:  # runs of values first, then values
            for start in range(0, operand.shape[1], size):
                fewer = operand.clone()
                fewer[:, start : start + size] = 0
                if not torch.equal(fewer, operand) and self.where(fewer) is not None:
                    operand = fewer
            size //= 2
        packed = operand[:, (operand == 0).all(0).int().argsort(stable=True)]  # columns of zeros last
        return self._fewest_columns(packed if self.where(packed) is not None else operand)

    def _fewest_columns(self, operand: Tensor) -> Tensor:
        """One half or the other, as long as the lanes run on it and part; groups need their size."""
        while (half := operand.shape[1] // 2) and operand.shape[1] % 2 == 0:
            halves = (operand[:, :half].clone(), operand[:, half:].clone())
            kept = next((each for each in halves if self.where(each) is not None), None)
            if kept is None:
                break
            operand = kept
        return operand

    def passing(self, operand: Tensor, at: tuple[int, ...]) -> str | None:
        """The nearest value to the greatest in the differing element's place at which the lanes agree."""
        if at[-1] >= operand.shape[1] or self.stage.endswith((".scale", ".zero_point")):
            at = (at[0], int(operand[at[0]].abs().argmax()))
        value = operand[at]
        for steps in range(1, 33):
            for direction in (torch.inf, -torch.inf):
                moved, near = operand.clone(), value
                for _ in range(steps):
                    near = near.nextafter(torch.full_like(near, direction))
                moved[at] = near
                if self.where(moved) is None:
                    return float(near.double()).hex()
        return None


def _lanes(edge: str) -> Iterator[Lane]:
    for text in edge.split("~"):
        yield parse_lane(text)


def _stage(lane: Lane, cell: Cell, operand: Tensor, stage: str) -> Tensor:
    """One stage of a lane on a linear layer in which this is the weight, or the input, and the other is zero."""
    zeros = torch.zeros(1, operand.shape[1], dtype=operand.dtype)
    weight, x = (operand, zeros) if stage.startswith("weight.") else (zeros, operand)
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=weight.dtype)
    layer.weight = nn.Parameter(weight.clone())
    found: Any = backend_named(lane.backend).trace(lane, layer, x, scheme_of(cell, rules_of(lane)))
    tensor: Tensor = found[stage].tensor
    return tensor


def _script(cell: Cell, edge: str, stage: str, operand: Tensor) -> str:
    """Lines that run by themselves and print the stage of both lanes."""
    name, of_weight = ("weight", True) if stage.startswith("weight.") else ("x", False)
    rows, columns = operand.shape
    places = [(int(r), int(c)) for r, c in operand.double().nan_to_num(nan=1.0).nonzero()]
    filled = [f'{name}[{r}, {c}] = float.fromhex("{float(operand[r, c].double()).hex()}")' for r, c in places]
    a, b = edge.split("~")
    return _SCRIPT.format(
        n=rows if of_weight else 1,
        m=1 if of_weight else rows,
        columns=columns,
        dtype=operand.dtype,
        filled="\n".join(filled),
        a=a,
        b=b,
        cell=cell.id,
        stage=stage,
    )
