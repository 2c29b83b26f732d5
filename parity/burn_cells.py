"""On which cells Burn's rule sets take part, and which of them are compared: a table over axis values.

Written from what Burn's schemes can say, not from the code that converts them (quant.burn); a suite holds the two
against each other.
"""

from __future__ import annotations

from typing import Final

from parity.axes import AXES, BURN_PRESETS, CODE_SUMS, NARROW, PRESET, SCALES
from parity.cells import Cell, concrete
from parity.forbidden import Forbidden

MERGE: Final = "burn_3042"
NDARRAY: Final = "burn_head_ndarray"
FLEX: Final = "burn_head_flex"
GPU: Final = "burn_head_gpu"
HEAD: Final = (NDARRAY, FLEX, GPU)
# One backend in two epochs, and the backends of one epoch.
PAIRS: Final = ((MERGE, NDARRAY), (NDARRAY, FLEX), (NDARRAY, GPU))

# What the rule sets name as their eps bounds nothing.
_GIVEN: Final = tuple(value for value in AXES["eps"].values if value not in (PRESET, "input_normal"))
# A point has `rules` beside the axes, and the scale dtypes and activations that the cell names.
GAPS: Final = (
    Forbidden(where={"op": ("embedding",)}, reason="tensors are indexed, and layers multiply"),
    Forbidden(where={"bits": ("1", "3", "5", "6", "7")}, reason="values have 2, 4 or 8 bits"),
    Forbidden(where={"domain": ("int", "float")}, reason="there are no zero points"),
    Forbidden(where={"mapping": ("no_clipping",)}, reason="one magnitude is the range of both sides"),
    Forbidden(where={"group": ("channel", "row")}, reason="no extent means a whole dimension"),
    Forbidden(where={"scale": ("fp64",)}, reason="scales are float32, float16 or bfloat16"),
    Forbidden(where={"eps": _GIVEN}, reason="no eps bounds a scale"),
    Forbidden(where={"steps": ("1", "3")}, reason="nothing is trained in codes"),
    Forbidden(
        where={"op": ("linear",), "act": ("asymmetric", "symmetric", "static", "learned")},
        reason="an input is quantized as the weight is, or not at all",
    ),
    Forbidden(where={"rules": HEAD, "op": ("linear",), "act": ("tensor",)}, reason="beside a float the weight is read"),
    Forbidden(where={"rules": HEAD, "op": ("linear",), "accumulate": CODE_SUMS}, reason="floats are multiplied"),
    Forbidden(
        where={"rules": (NDARRAY, FLEX), "op": ("matmul",), "group": ("16", "32", "64", "block")},
        reason="blocks are turned wrongly, which op flip shows alone",
    ),
    Forbidden(where={"rules": (MERGE,), "act": ("none",)}, reason="beside codes the input is quantized"),
    Forbidden(
        where={"rules": (MERGE,), "op": ("linear",), "ascale": SCALES[1:]}, reason="scales have their tensor's dtype"
    ),
    Forbidden(where={"rules": (MERGE,), "op": ("linear",), "aeps": _GIVEN}, reason="no eps bounds a scale"),
    Forbidden(where={"rules": (MERGE,), "preset": ("burn_head",)}, reason="the merge had no full range"),
    Forbidden(where={"rules": (MERGE,), "bits": ("2", "4")}, reason="the merge had eight bits"),
    Forbidden(where={"rules": (MERGE,), "group": ("16", "32", "64", "block")}, reason="it had one scale a tensor"),
    Forbidden(where={"scale": ("two_level",), "group": ("tensor",)}, reason="one scale a tensor has none above it"),
    Forbidden(where={"rules": (MERGE,), "scale": (*SCALES[1:], *NARROW)}, reason="scales had their tensor's dtype"),
)
_AS_NAMED: Final = ("scale", "ascale", "eps", "aeps", "act")


def unsaid(cell: Cell, rules: str) -> str | None:
    """Why a rule set of Burn's has no counterpart of a legal cell, or None."""
    point = {**concrete(cell), **{axis: cell[axis] for axis in _AS_NAMED}, "rules": rules}
    return next((gap.reason for gap in GAPS if gap.holds(point)), None)


def takes_part(cell: Cell, rules: str) -> bool:
    """Whether a cell has a scheme of Burn's, and the rule set a counterpart of it."""
    return cell["preset"] in BURN_PRESETS and unsaid(cell, rules) is None


def compared(cell: Cell) -> tuple[tuple[str, str], ...]:
    """The pairs of rule sets that are to be compared on a cell.

    A layer's float input is quantized at the merge and not later: there the epochs compute two things.
    """
    pairs = PAIRS if cell["op"] != "linear" else PAIRS[1:]
    return tuple(pair for pair in pairs if all(takes_part(cell, rules) for rules in pair))
