"""DIVERGED and described by a row -> KNOWN; a row whose pairs ran and of which none diverged so -> its pairs are FIXED.

Strict both ways: what no row describes stays DIVERGED, and a row that describes nothing any more is stale.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date

from parity.ledger import Row
from parity.record import EdgeRecord
from parity.signature import RAISE, Signature
from parity.verdicts import Verdict

# cell id -> the value of every axis, defaults included.
ValuesOf = Callable[[str], Mapping[str, str]]


class Settling:
    """Holds one run's records against the ledger.

    excuse every record as it is judged; then, when all are in, stale says which rows describe nothing any more, and
    fixed marks their pairs. Counts add up over shards of one run by merge.
    """

    def __init__(self, rows: Iterable[Row], *, values_of: ValuesOf, today: date) -> None:
        self.rows = tuple(rows)
        self._values_of = values_of
        self._today = today
        self._by_edge: dict[str, list[Row]] = {}
        for row in self.rows:
            self._by_edge.setdefault(row.edge, []).append(row)
        self._ran: set[str] = set()
        self._diverged: set[str] = set()

    def excuse(self, record: EdgeRecord) -> EdgeRecord:
        """KNOWN with the row's id for a DIVERGED record that a row in force describes; any other record as it is.

        A record that only an expired row describes stays DIVERGED, and its message says which.
        """
        covering = self._covering(record)
        self._ran.update(row.id for row in covering if _could_show(row, record))
        if record.verdict is not Verdict.DIVERGED or not covering:
            return record
        signature = Signature.parse(record.signature)
        meant = [row for row in covering if row.describes(signature)]
        self._diverged.update(row.id for row in meant)
        in_force = next((row for row in meant if not row.expired(self._today)), None)
        if in_force is not None:
            return replace(record, verdict=Verdict.KNOWN, ledger=in_force.id)
        if meant:
            return replace(record, message=f"{record.message} {_expiry(meant[0])}".strip())
        return record

    def merge(self, other: "Settling") -> None:
        """Count what another one saw of the same run, under the same rows."""
        self._ran |= other._ran
        self._diverged |= other._diverged

    @property
    def stale(self) -> tuple[Row, ...]:
        """Rows of which at least one pair was run and none diverged as the row says. Not run at all is not stale."""
        return tuple(row for row in self.rows if self._is_stale(row))

    def fixed(self, record: EdgeRecord) -> EdgeRecord:
        """FIXED with the row's id for a record that met its promise, or raised as it must, in a pair of a stale row."""
        if record.verdict is Verdict.DIVERGED:
            return record
        rows = (row for row in self._covering(record) if self._is_stale(row) and _could_show(row, record))
        row = next(rows, None)
        return record if row is None else replace(record, verdict=Verdict.FIXED, ledger=row.id)

    @property
    def sentences(self) -> tuple[str, ...]:
        """One for each stale row, then one for each other row that has expired."""
        stale = [
            f"Ledger row {row.id!r} is stale: its pairs ran and none diverged so. Remove it." for row in self.stale
        ]
        late = [row for row in self.rows if row.expired(self._today) and not self._is_stale(row)]
        return (*stale, *map(_expiry, late))

    def _is_stale(self, row: Row) -> bool:
        return row.id in self._ran and row.id not in self._diverged

    def _covering(self, record: EdgeRecord) -> list[Row]:
        rows = self._by_edge.get(record.edge)
        if not rows:
            return []
        values = self._values_of(record.cell)
        return [row for row in rows if row.covers(values)]


def _could_show(row: Row, record: EdgeRecord) -> bool:
    """Whether the pair was run in a way that could have shown what the row describes.

    Bits were compared, or, for a row about raising, the lanes raised as they must. A crash shows nothing.
    """
    compared = record.verdict in (Verdict.IDENTICAL, Verdict.WITHIN, Verdict.DIVERGED)
    return compared or (record.verdict is Verdict.UNSUPPORTED and row.first_stage == RAISE)


def _expiry(row: Row) -> str:
    return f"Ledger row {row.id!r} expired on {row.expires}, so it excuses nothing: mend the cause, or renew the row."
