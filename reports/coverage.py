"""coverage = for each thing that inputs are aimed at, how many of the cells that ran visited it, and how often."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from parity.store import Run
from parity.verdicts import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One thing to visit; cells = those where at least one lane did, visits = the largest count of a lane, summed."""

    name: str
    cells: int
    visits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """ran = cells with a lane that ran and says what it visited; blind = those that visited nothing at all."""

    ran: int
    blind: int
    visits: tuple[Visit, ...]


def coverage(run: Run) -> Coverage:
    """Counted over cells: lanes of one cell share their inputs, so the largest count of any of them is the cell's."""
    table = run.lanes.table.select(["cell", "outcome", "coverage"])
    ran = table.filter(pa.compute.equal(table.column("outcome"), Outcome.RAN.value))
    nested = ran.column("coverage").combine_chunks()
    if not len(nested):
        return Coverage(ran=0, blind=0, visits=())
    cells = ran.column("cell").combine_chunks().dictionary_encode().indices.to_numpy()
    parents = np.repeat(cells, nested.value_lengths().to_numpy())
    values = nested.flatten()
    named = values.field("name").dictionary_encode()
    names, name_of = named.dictionary.to_pylist(), named.indices.to_numpy()
    counts = values.field("count").to_numpy()
    told = np.zeros(int(cells.max()) + 1, np.bool_)
    told[parents] = True
    largest = np.zeros((len(names), len(told)), np.int64)
    np.maximum.at(largest, (name_of, parents), counts)
    return Coverage(
        ran=int(told.sum()),
        blind=int((told & (largest == 0).all(axis=0)).sum()),
        visits=tuple(_visit(name, largest[names.index(name)]) for name in sorted(names)),
    )


def _visit(name: str, counts: npt.NDArray[np.int64]) -> Visit:
    return Visit(name=name, cells=int((counts > 0).sum()), visits=int(counts.sum()))
