"""Which cells a tier runs, in which order and in which chunks: a function of the arguments and of committed arrays.

premerge = the parts of parity.premerge; nightly = the product of parity.product.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby
from math import ceil
from types import MappingProxyType
from typing import Final

from parity.cells import Cell, cell_at, illegal_reason, parse_cell
from parity.premerge import premerge_parts
from parity.product import Product, rest_rows

TIERS: Final = ("premerge", "nightly")
CHUNK_CELLS: Final = 64
MOST_CELLS: Final = 200_000
EVERYTHING: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({})

Select = Mapping[str, tuple[str, ...]]
Shard = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """How many consecutive cells of a plan are there for one reason."""

    cells: int
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The cells of a tier in the order in which they run.

    protected = how many leading cells no budget may cut; total = cells of the whole tier, before select and shard;
    cut = sentences on what those two left out; stretches = why the cells are there, in their order.
    """

    tier: str
    cells: Sequence[Cell]
    protected: int
    total: int
    cut: tuple[str, ...] = ()
    stretches: tuple[Stretch, ...]


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one worker is given: whole configurations, under a name made of their place and their ids."""

    name: str
    cells: tuple[Cell, ...]


def plan(tier: str = "premerge", *, select: Select = EVERYTHING, shard: Shard | None = None) -> Plan:
    """The tier's cells with one of the selected values on every axis named; of these, shard (i, n) of n.

    A shard is every n-th chunk of the plan without a shard, from the i-th on. Raises ValueError for an unknown tier,
    axis or value, for a shard that is none, for more cells than a run can hold, and where nothing is left to run.
    """
    if tier not in TIERS:
        raise ValueError(f"there is no tier {tier!r}; the tiers are {', '.join(TIERS)}")
    for axis, values in select.items():
        for value in values or ("",):
            cell_at({axis: value})
    if shard is not None and not 1 <= shard[0] <= shard[1]:
        raise ValueError(f"there is no shard {shard[0]}/{shard[1]}; write I/N with 1 <= I <= N")
    planned = _premerge(select, shard) if tier == "premerge" else _nightly(select, shard)
    if not planned.cells:
        raise ValueError(f"nothing is left of {tier} to run: {' '.join(planned.cut)}")
    return planned


def plan_named(tier: str, ids: Sequence[str]) -> Plan:
    """The cells of these ids, in their order; those that this checkout does not know are left out, and counted.

    Raises ValueError when none is left.
    """
    cells: dict[Cell, None] = {}
    unknown: list[str] = []
    for text in ids:
        try:
            cells[parse_cell(text)] = None
        except ValueError:
            unknown.append(text)
    if not cells:
        raise ValueError(f"none of the {len(ids)} cells that were named is one of this checkout")
    cut = (f"{len(unknown)} of {len(ids)} cells that were named are unknown here: {unknown[0]}",) if unknown else ()
    stretches = (Stretch(cells=len(cells), meaning="the cells that were named"),)
    return Plan(tier=tier, cells=tuple(cells), protected=len(cells), total=len(cells), cut=cut, stretches=stretches)


def describe(plan: Plan) -> list[str]:
    """Lines for people: the cells of the plan, what each stretch of them is there for, and what was left out."""
    free = len(plan.cells) - plan.protected
    illegal = sum(illegal_reason(cell) is not None for cell in plan.cells)
    return [
        f"{plan.tier}: {len(plan.cells):,} cells, of which a budget may cut the last {free:,}",
        *(f"{stretch.cells:9,}  {stretch.meaning}" for stretch in plan.stretches),
        f"{illegal:,} of the cells are illegal: every flow must raise there",
        *plan.cut,
    ]


def chunks(cells: Iterable[Cell]) -> tuple[Chunk, ...]:
    """The cells in their order, parted after each configuration with which a chunk has CHUNK_CELLS cells or more."""
    parts: list[list[Cell]] = []
    for _, configuration in groupby(cells, key=lambda cell: cell.configuration):
        if not parts or len(parts[-1]) >= CHUNK_CELLS:
            parts.append([])
        parts[-1].extend(configuration)
    return tuple(Chunk(f"{place:05}-{_digest(part)}", tuple(part)) for place, part in enumerate(parts))


def _digest(cells: Sequence[Cell]) -> str:
    return blake2b("\n".join(cell.id for cell in cells).encode(), digest_size=4).hexdigest()


def _premerge(select: Select, shard: Shard | None) -> Plan:
    parts = premerge_parts()
    selected = [cell for part in parts for cell in part.cells if all(cell[a] in vs for a, vs in select.items())]
    i, n = shard or (1, 1)
    cells = tuple(cell for chunk in chunks(selected)[i - 1 :: n] for cell in chunk.cells)
    own = frozenset(cells)
    counts = [sum(cell in own for cell in part.cells) for part in parts]
    total = sum(len(part.cells) for part in parts)
    return Plan(
        tier="premerge",
        cells=cells,
        protected=sum(count for count, part in zip(counts, parts, strict=True) if part.protected),
        total=total,
        cut=_cut(select, shard, (total, len(selected), len(cells))),
        stretches=tuple(Stretch(cells=count, meaning=part.meaning) for count, part in zip(counts, parts, strict=True)),
    )


def _nightly(select: Select, shard: Shard | None) -> Plan:
    rest = rest_rows()
    whole = Product(rest=rest, selected=select)
    block = ceil(CHUNK_CELLS / len(whole.families))  # the configurations of a chunk
    cells = whole if shard is None else Product(rest=rest, selected=select, shard=shard, block=block)
    total = len(Product(rest=rest))
    cut = _cut(select, shard, (total, len(whole), len(cells)))
    if len(cells) > MOST_CELLS:
        blocks, most = ceil(whole.total / block), MOST_CELLS // (block * len(whole.families))
        raise ValueError(
            f"this would run {len(cells):,} cells of nightly, and a run holds at most {MOST_CELLS:,}; "
            f"take a part, such as --shard 1/{ceil(blocks / most)}"
        )
    meaning = "the full product of the numeric axes and every family; the other axes from a strength-4 array"
    stretches = (Stretch(cells=len(cells), meaning=meaning),)
    return Plan(tier="nightly", cells=cells, protected=0, total=total, cut=cut, stretches=stretches)


def _cut(select: Select, shard: Shard | None, counts: tuple[int, int, int]) -> tuple[str, ...]:
    """What select and shard left out of a tier of counts[0] cells: they keep counts[1], then counts[2]."""
    total, selected, left = counts
    said = []
    if select:
        asked = " ".join(f"{axis}={','.join(values)}" for axis, values in select.items())
        said.append(f"The selection {asked} keeps {selected:,} of {total:,} cells.")
    if shard is not None:
        said.append(f"Shard {shard[0]}/{shard[1]} holds {left:,} of {selected:,} cells.")
    return tuple(said)
