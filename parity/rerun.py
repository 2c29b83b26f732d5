"""rerun(cell) = the command that runs a cell again: `parity replay` of one of the matrix, `pytest` of a test's name."""

from __future__ import annotations

import re
import shlex

from parity.cells import parse_cell


def rerun(cell: str) -> str:
    """A test's second comparison, `test_x.py::test #2`, is run again with the whole test."""
    try:
        parse_cell(cell)
    except ValueError:
        if "::" in cell:
            return f"pytest {shlex.quote(re.sub(r' #[0-9]+$', '', cell))}"
    return f"parity replay {shlex.quote(cell)}"
