"""Which combinations of axis values some legal cell contains, decided exactly: the legality table as boolean arrays.

A row of parity.axes.FORBIDDEN speaks of concrete values, and a concrete value is read from a few axes. So every row
excludes some combinations of those few, and rows that read a common axis are joined into one array. Beside `preset`
and `dtype`, which all of them may share, no axis stands in two arrays: once those two are fixed, the arrays decide
independently of each other, and what is possible is a product of their projections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from parity.axes import AXES, PRESET, PRESETS
from parity.cells import cell_at, concrete
from parity.forbidden import FORBIDDEN, Forbidden

Values = Mapping[str, tuple[str, ...]]
Codes = NDArray[np.int64]  # a value of an axis as its place among the axis's values
Mask = NDArray[np.bool_]

SHARED: Final = ("preset", "dtype")
# The axes beside itself and `preset` from which an axis takes its concrete value.
READS: Final = MappingProxyType(
    {
        "scale": ("dtype",),
        "ascale": ("dtype",),
        "eps": ("dtype", "scale"),
        "aeps": ("dtype", "ascale"),
        "zp": ("domain", "mapping"),
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """allowed[codes of `axes`]: one dimension an axis."""

    axes: tuple[str, ...]
    allowed: Mask

    def projected(self, axes: Sequence[str]) -> Table:
        """Onto those of `axes` that the table has: allowed where some value of the others allows it."""
        lost = tuple(i for i, axis in enumerate(self.axes) if axis not in axes)
        return Table(tuple(axis for axis in self.axes if axis in axes), np.asarray(self.allowed.any(axis=lost)))

    def at(self, codes: Mapping[str, int]) -> Table:
        """The slice at the given codes, of one value an axis given."""
        index = tuple(slice(codes[a], codes[a] + 1) if a in codes else slice(None) for a in self.axes)
        return Table(self.axes, self.allowed[index])

    def joined(self, other: Table, values: Values) -> Table:
        """Over the axes of both: allowed where both allow it."""
        axes = tuple(dict.fromkeys((*self.axes, *other.axes)))
        shape = tuple(len(values[axis]) for axis in axes)
        both = np.broadcast_to(self.spread(axes), shape) & other.spread(axes)
        return Table(axes, both)

    def spread(self, axes: tuple[str, ...]) -> Mask:
        """A view that broadcasts over `axes`, which hold all of the table's."""
        order = sorted(range(len(self.axes)), key=lambda i: axes.index(self.axes[i]))
        shape = [self.allowed.shape[self.axes.index(axis)] if axis in self.axes else 1 for axis in axes]
        return self.allowed.transpose(order).reshape(shape)


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """The values that each axis may take, and the tables that say which rows of codes are legal (none: all are)."""

    values: Values
    tables: tuple[Table, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.values)

    def legal(self, rows: Codes) -> Mask:
        """[n] for codes [n, axes]: whether every table allows the row."""
        allowed = np.ones(len(rows), dtype=bool)
        for table in self.tables:
            allowed &= table.allowed[tuple(rows[:, self.names.index(axis)] for axis in table.axes)]
        return allowed

    def possible(self, axes: Sequence[str], fixed: Mapping[str, int] = MappingProxyType({})) -> Mask:
        """One dimension for each of `axes`: whether a legal cell has these values, and those `fixed` elsewhere."""
        kept = tuple(dict.fromkeys((*axes, *(axis for axis in SHARED if axis in self.values))))
        found = np.ones([1] * len(kept), dtype=bool)
        for table in self.tables:
            found = found & table.at(fixed).projected(kept).spread(kept)
        shown = np.asarray(found.any(axis=tuple(range(len(axes), len(kept)))))
        return np.broadcast_to(shown, [len(self.values[axis]) for axis in axes])

    def coded(self, row: Mapping[str, str]) -> list[int]:
        """The codes of a row's values. Raises ValueError for a value that its axis does not have here."""
        return [values.index(row[axis]) for axis, values in self.values.items()]


def legal_space(values: Values, broken: Forbidden | None = None) -> Space:
    """The legal cells with these values of every axis; or those that are illegal for one reason alone, `broken`."""
    tables: list[Table] = []
    for forbidden in FORBIDDEN:
        if not meets(forbidden, values):
            continue
        table = _excluding(forbidden, values)
        if forbidden is broken:
            table = Table(table.axes, ~table.allowed)
        own = {*table.axes} - {*SHARED}
        touching = [other for other in tables if own & {*other.axes}]
        tables = [other for other in tables if other not in touching]
        tables.append(reduce(lambda one, other: one.joined(other, values), touching, table))
    return Space(values, tuple(tables))


def meets(forbidden: Forbidden, values: Values) -> bool:
    """Whether cells with these values can be such a combination, as far as axes without a "preset" tell, and those that
    are left out, which are at their defaults.
    """
    held = ((_held(axis, values), listed) for axis, listed in forbidden.where.items())
    return all(named is None or not {*listed}.isdisjoint(named) for named, listed in held)


def _held(axis: str, values: Values) -> tuple[str, ...] | None:
    """An axis's concrete values, or what the default of one that is left out means; None where that is not told."""
    if PRESET not in AXES[axis].values:
        return values.get(axis, (AXES[axis].default,))
    left_out = axis not in values and axis != "zp"
    return tuple(PRESETS[preset][axis] for preset in values["preset"]) if left_out else None


def _excluding(forbidden: Forbidden, values: Values) -> Table:
    """What one row leaves, over the axes that its concrete values are read from."""
    read = {axis for name in forbidden.where for axis in (name, *READS.get(name, ()))}
    if any(PRESET in AXES[axis].values for axis in read):
        read.add("preset")
    axes = tuple(axis for axis in values if axis in read)
    points = product(*(values[axis] for axis in axes))
    allowed = [not forbidden.holds(concrete(cell_at(dict(zip(axes, point, strict=True))))) for point in points]
    return Table(axes, np.array(allowed).reshape([len(values[axis]) for axis in axes]))
