"""The cells on which torchao's epochs stand side by side: 8da4w and its embedding, every model and scale dtype.

Random inputs, on which no scale vanishes: what parts there is what a flow declared otherwise.
"""

from __future__ import annotations

from itertools import product
from typing import Final

from parity.axes import FLOATS, LAYERS
from parity.cells import Cell, cell_at

EPOCH_CELLS: Final[tuple[Cell, ...]] = tuple(
    cell_at({"op": op, "dtype": dtype, "scale": scale, "family": "random"})
    for op, dtype, scale in product(LAYERS, FLOATS, FLOATS)
)
