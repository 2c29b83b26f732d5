"""The divergences of a run: by signature where no ledger row knows them, by row where one does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.compute as pc

from parity.columns import edge_records
from parity.record import EdgeRecord
from parity.sentence import sentence
from parity.store import Run
from parity.verdicts import NEW_DIVERGENCES, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDivergence:
    """What diverged in `cells` cells alike; cell, sentence and cause are those of the first of them."""

    signature: str
    cells: int
    edge: str
    first_stage: str
    cell: str
    sentence: str
    cause: str

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def new_divergences(run: Run, limit: int) -> tuple[NewDivergence, ...]:
    """The `limit` most frequent ones; cells and signatures break ties, so that equal runs tell the same."""
    table = run.edges.table
    wanted = pa.array([verdict.value for verdict in NEW_DIVERGENCES])
    table = table.filter(pc.is_in(table.column("verdict"), value_set=wanted))
    counts = Counter(table.column("signature").to_pylist())
    found = []
    for signature, cells in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit]:
        alike = table.filter(pc.equal(table.column("signature"), signature)).sort_by("cell").slice(0, 1)
        record = next(edge_records(alike))
        found.append(
            NewDivergence(
                signature=signature,
                cells=cells,
                edge=record.edge,
                first_stage=record.first_stage or "",
                cell=record.cell,
                sentence=sentence(record),
                cause=record.cause,
            )
        )
    return tuple(found)


def diverged_records(run: Run) -> Iterator[EdgeRecord]:
    """The records of the pairs that diverged, in the order in which they were written."""
    table = run.edges.table
    yield from edge_records(table.filter(pc.equal(table.column("verdict"), Verdict.DIVERGED.value)))


def known_rows(run: Run) -> dict[str, int]:
    """How many pairs each row of the ledger excuses, in the order of the rows' ids."""
    table = run.edges.table
    known = table.filter(pc.equal(table.column("verdict"), Verdict.KNOWN.value))
    return dict(sorted(Counter(known.column("ledger").to_pylist()).items()))
