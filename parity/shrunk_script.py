"""shrunk_script(case, ...) = lines that run where parity is installed, and print one stage of both lanes of a case."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from torch import Tensor

from parity.cells import Cell
from parity.formats import hexadecimal
from parity.small_case import SmallCase

_SCRIPT: Final = """\
import torch

from parity.backends.registry import backend_named
from parity.cells import parse_cell
from parity.lane_run import rules_of
from parity.lanes import parse_lane
from parity.schemes import scheme_of

{operands}
{layer}
cell = parse_cell("{cell}")
for text in ("{a}", "{b}"):
    lane = parse_lane(text)
    backend, scheme = backend_named(lane.backend), scheme_of(cell, rules_of(lane))
    trace = backend.trace(lane, layer, x, scheme{asked})
    print(text, "{stage}", trace["{stage}"].tensor.tolist())
"""


def shrunk_script(case: SmallCase, cell: Cell, edge: str, stage: str) -> str:
    """The script; whatever is not zero in an operand is written as a hexadecimal float."""
    a, b = edge.split("~")
    rows, columns = case.weight.shape
    if case.x.is_floating_point():
        bias = case.bias is not None
        layer = [f"layer = torch.nn.Linear({columns}, {rows}, bias={bias}, dtype={case.weight.dtype})"]
    else:
        layer = [f"x = torch.tensor({case.x.tolist()})", f"layer = torch.nn.Embedding({rows}, {columns})"]
    held = [name for name in case.operands if name != "x"]
    steps, gradients = int(cell["steps"]), cell["grad"] == "yes"
    return _SCRIPT.format(
        operands="\n".join(line for name, value in case.operands.items() for line in _filled(name, value)),
        layer="\n".join([*layer, *(f"layer.{name} = torch.nn.Parameter({name})" for name in held)]),
        cell=cell.id,
        a=a,
        b=b,
        stage=stage,
        asked=f", {steps}{', gradients=True' if gradients else ''}" if steps or gradients else "",
    )


def _filled(name: str, operand: Tensor) -> Iterator[str]:
    yield f"{name} = torch.zeros({', '.join(map(str, operand.shape))}, dtype={operand.dtype})"
    for index in operand.double().nan_to_num(nan=1.0).nonzero().tolist():
        value = hexadecimal(float(operand[tuple(index)].double()))
        yield f'{name}[{", ".join(map(str, index))}] = float.fromhex("{value}")'
