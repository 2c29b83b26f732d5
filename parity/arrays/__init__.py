"""Committed covering arrays, an id of a cell a line; `python -m parity.covering` rewrites them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from parity.cells import Cell, parse_cell

ARRAYS: Final = Path(__file__).parent
REWRITE: Final = "python -m parity.covering"


def read_array(name: str) -> tuple[Cell, ...]:
    """The cells of NAME.txt in order. Raises ValueError, with the command that mends it, for a line that is no cell."""
    path = ARRAYS / f"{name}.txt"
    cells = []
    for number, line in enumerate(path.read_text(encoding="ascii").splitlines(), 1):
        try:
            cells.append(parse_cell(line))
        except ValueError as error:
            raise ValueError(f"{path.name}:{number} is no cell of these axes ({error}); run {REWRITE}") from error
    return tuple(cells)
