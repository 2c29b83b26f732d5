"""On which cells torchao's PARQ takes part, and with whose eps: a table over axis values, like torchao_cells.

PARQ's optimizer draws stretched weights by a quantizer that takes any eps; its converter has no word for one and uses
the machine eps of the weight's dtype, also where the quantizer was told none and used the smallest normal number.
"""

from __future__ import annotations

from typing import Final

from parity.backends.torchao_cells import point_of
from parity.cells import Cell
from parity.lanes import Flow

PARQ: Final = "torchao_parq"
# The layouts whose rows can be viewed as groups in place.
_VIEWED: Final = ("contiguous", "offset", "expanded")


def parq_flows(cell: Cell) -> tuple[Flow, ...]:
    """The flows in which torchao's PARQ has a counterpart of a legal cell."""
    point = point_of(cell)
    weight = (
        point["mapping"] == "stretched"
        and (point["scale"], point["zp"]) == ("model", "model")
        and point["bits"] != "8"
        and point["group"] in ("16", "32", "64", "channel")
        and point["layout"] in _VIEWED
        and point["act"] != "learned"  # whose scale learns from what is clipped: nothing is, under the rules parq
    )
    if not weight:
        return ()
    if point["op"] == "linear" and point["act"] != "none":
        stored = point["act"] == "asymmetric" and point["steps"] == "0"
        own = stored and (point["ascale"], point["aeps"]) == ("model", "own")
        return (Flow.PTQ,) if own and stores(cell) else ()
    return tuple(Flow) if stores(cell) else (Flow.QAT_PREPARE,)


def stores(cell: Cell) -> bool:
    """Whether the converter can be asked: its eps is the cell's, or the cell leaves it to torchao."""
    return point_of(cell)["eps"] == "own" or uses_machine_eps(cell)


def uses_machine_eps(cell: Cell) -> bool:
    """Whether the cell's eps is the machine eps of its dtype, which the converter uses."""
    eps, dtype = cell["eps"], cell["dtype"]
    return eps == "input_eps" or (eps, dtype) in (("f32eps", "fp32"), ("bf16eps", "bf16"))
