"""The cells of quantized tensors: what is computed of them, how it is summed, and whether it is quantized again.

Burn's schemes under each of its rule sets, and the same operations under the engine's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, Final

from parity.arrays import read_array
from parity.axes import AXES, BURN_PRESETS, FLOATS, OPERATIONS
from parity.cells import Cell, cell_at

# Operations that follow propagation; the others never do.
FOLLOWING: Final = ("matmul", "add")
_FLOAT_DOMAIN: Final = {"domain": "float", "mapping": "asymmetric", "pz": "no"}
# Every reason against an accumulator or a propagated result, alone.
_REFUSED: Final[tuple[dict[str, Any], ...]] = (
    {"preset": "burn_head", "accumulate": "full"},
    {"preset": "burn_3042", "accumulate": "half", "group": "16"},
    {"preset": "burn_3042", "op": "matmul", "accumulate": "int32", "group": "block"},
    {"preset": "burn_3042", "op": "matmul", "accumulate": "full", "group": "channel"},
    {"preset": "int8_dynamic_intx_weight", "accumulate": "int32", "group": "row", **_FLOAT_DOMAIN},
    {"preset": "stretched_intx_weight_only", "op": "matmul", "accumulate": "half", "group": "tensor"},
    {"preset": "burn_3042", "bits": "1"},
    {"preset": "burn_3042", "bits": "4", "packing": "nibbles"},
    {"preset": "burn_head", "op": "matmul", "propagation": "propagate", "group": "16", "shape": "8x192"},
    {"preset": "burn_head", "op": "matmul", "propagation": "propagate", "group": "64"},
)


def tensor_cells() -> Iterator[Cell]:
    """Every operation of Burn's schemes, dtype and propagation; any two axis values; and what must be refused."""
    for preset, op, dtype in product(BURN_PRESETS, OPERATIONS, FLOATS):
        for propagation in AXES["propagation"].values if op in FOLLOWING else ("inhibit",):
            yield cell_at({"preset": preset, "op": op, "dtype": dtype, "propagation": propagation, "family": "ties"})
    for preset, dtype, family in product(BURN_PRESETS, FLOATS, ("ties", "random")):
        yield cell_at({"preset": preset, "dtype": dtype, "family": family})
    yield from read_array("tensors")
    for values in _REFUSED:
        yield cell_at(values)
