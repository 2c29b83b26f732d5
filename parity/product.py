"""The nightly matrix: cell n by arithmetic, so that hundreds of millions of cells are counted and never listed.

A configuration is a point of the full product of PRODUCT with a row of a strength-4 array over REST; its cells are the
families. Point i takes row i mod the number of rows, made coprime to every axis's length by repeating some: then a
step along any axis reaches another row, and no axis is tied to one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import gcd, prod
from typing import Final, overload

from parity.arrays import read_array
from parity.axes import AXES, PRESET, SCALES
from parity.cells import Cell, cell_at

# Named values only; but "preset" is the one zero-point dtype that every domain has.
PRODUCT: Final[Mapping[str, tuple[str, ...]]] = {
    axis: tuple(value for value in AXES[axis].values if value != PRESET or axis == "zp")
    for axis in ("bits", "group", "mapping", "pz", "zp", "dtype", "scale", "ascale", "eps", "aeps", "device")
} | {"scale": SCALES}
REST: Final = ("op", "preset", "act", "domain", "bias", "rank", "shape", "layout", "steps", "grad", "threads", "case")
# Odd multipliers of SplitMix64 and its finalizer (Steele, Lea, Flood 2014; Vigna's splitmix64.c).
MULTIPLIERS: Final = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def rest_rows() -> list[Mapping[str, str]]:
    """The committed array: rows of a value for each axis of REST."""
    return [{axis: cell[axis] for axis in REST} for cell in read_array("nightly_rest")]


@dataclass(frozen=True, kw_only=True)  # no slots: what is counted once is kept in __dict__
class Product(Sequence[Cell]):
    """The cells of the product whose values are among `selected`, or every cell.

    Configurations come in a scattered order, in which the values of any few axes occur evenly in any stretch (an
    arithmetic progression would tie axes to one another). A shard holds whole blocks of `block` configurations, every
    n-th from the i-th on, for `shard` (i, n) with 1 <= i <= n.
    """

    rest: Sequence[Mapping[str, str]] = field(default_factory=rest_rows)
    selected: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shard: tuple[int, int] = (1, 1)
    block: int = 1

    def __len__(self) -> int:
        return self.configurations * len(self.families)

    def __iter__(self) -> Iterator[Cell]:
        return (self._cell(n) for n in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> Cell: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Cell, ...]: ...
    def __getitem__(self, index: int | slice) -> Cell | tuple[Cell, ...]:
        numbers = range(len(self))[index]  # a range knows negative and excessive indices
        return self._cell(numbers) if isinstance(numbers, int) else tuple(self._cell(n) for n in numbers)

    @cached_property
    def families(self) -> tuple[str, ...]:
        return self._kept("family", AXES["family"].values)

    @cached_property
    def total(self) -> int:
        """Configurations in all shards together."""
        return self._ways[0][0]

    @cached_property
    def configurations(self) -> int:
        """Configurations in this shard: whole blocks, and what the last block holds if it is this shard's."""
        i, n = self.shard
        whole, left = divmod(self.total, self.block)
        return len(range(i - 1, whole, n)) * self.block + (left if whole % n == i - 1 else 0)

    @cached_property
    def period(self) -> int:
        """The least number of rows, from len(rest) on, that is coprime to the length of every axis."""
        lengths = prod(len(values) for values in PRODUCT.values())
        period = len(self.rest)
        while gcd(period, lengths) != 1:
            period += 1
        return period

    def _cell(self, n: int) -> Cell:
        configuration, family = divmod(n, len(self.families))
        block, within = divmod(configuration, self.block)
        i, shards = self.shard
        place = (block * shards + i - 1) * self.block + within
        return cell_at({**self._point(_scattered(place, self.total)), "family": self.families[family]})

    def _kept(self, axis: str, values: Sequence[str]) -> tuple[str, ...]:
        return tuple(value for value in values if value in self.selected.get(axis, values))

    @cached_property
    def _steps(self) -> list[list[tuple[str, int]]]:
        """For each axis, its selected values with what they add to the row's number: the point's index mod period."""
        steps, weight = [], prod(len(values) for values in PRODUCT.values())
        for axis, values in PRODUCT.items():
            weight //= len(values)
            steps.append([(v, i * weight % self.period) for i, v in enumerate(values) if v in self._kept(axis, values)])
        return steps

    @cached_property
    def _ways(self) -> list[list[int]]:
        """_ways[k][r] = number of choices on axes k, k + 1, ... whose steps lead from row r to a selected row."""
        fixed = {axis: AXES[axis].default for axis in self.selected if axis not in (*PRODUCT, "family")}
        rows = [{**fixed, **self.rest[r % len(self.rest)]} for r in range(self.period)]
        ways = [[int(all(self._kept(axis, (value,)) for axis, value in row.items())) for row in rows]]
        for steps in reversed(self._steps):
            after = ways[0]
            ways.insert(0, [sum(after[(r + step) % self.period] for _, step in steps) for r in range(self.period)])
        return ways

    def _point(self, rank: int) -> dict[str, str]:
        """The configuration of that rank among the selected ones, axis after axis."""
        point, row = {}, 0
        for axis, steps, after in zip(PRODUCT, self._steps, self._ways[1:], strict=True):
            for value, step in steps:
                ways = after[(row + step) % self.period]
                if rank < ways:
                    point[axis], row = value, (row + step) % self.period
                    break
                rank -= ways
        return {**point, **self.rest[row % len(self.rest)]}


def _scattered(n: int, total: int) -> int:
    """A fixed permutation of 0 .. total - 1 without visible order.

    Each round is one to one on the numbers of as many bits as total - 1 has; what falls outside goes round again, and
    comes back inside because its orbit started there (cycle walking: Black, Rogaway, Ciphers with Arbitrary Finite
    Domains, 2002).
    """
    bits = max(1, (total - 1).bit_length())
    mask, half = (1 << bits) - 1, (bits + 1) // 2
    while True:
        for multiplier in MULTIPLIERS:
            n = ((n ^ n >> half) * multiplier + multiplier) & mask
        if n < total:
            return n
