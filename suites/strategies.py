"""Hypothesis strategies over recipes: axis values by name, never floats; failing cells shrink towards defaults."""

from collections.abc import Iterable

from hypothesis import strategies as st

from parity.axes import AXES
from parity.cells import Cell, cell_at, illegal_reason

# Where lanes run and how many threads they get is the machine's to say, not the recipe's; layers need a file.
FIXED = ("device", "threads", "layer")


def cells(*, fixed: Iterable[str] = FIXED, **values: str) -> st.SearchStrategy[Cell]:
    """Legal cells with the given axis values; every axis not fixed is drawn, its default first."""
    drawn = {
        name: st.sampled_from((axis.default, *(v for v in axis.values if v != axis.default)))
        for name, axis in AXES.items()
        if name not in fixed and name not in values
    }
    drawn |= {name: st.just(value) for name, value in values.items()}
    return st.fixed_dictionaries(drawn).map(cell_at).filter(lambda cell: illegal_reason(cell) is None)
