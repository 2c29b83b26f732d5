"""Evaluated chunks on their way to disk: each record held against the ledger, evidence kept, progress told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from parity.axes import AXES
from parity.causes import causes_of
from parity.cells import parse_cell
from parity.divergences import diverged_records
from parity.evaluate import Evaluated
from parity.evidence import EvidenceWriter
from parity.kept_explanation import write_explanation
from parity.ledger import Row
from parity.matrix import Chunk
from parity.settling import Settling
from parity.store import RunWriter, load_run
from parity.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    done_cells: int
    planned_cells: int
    verdicts: Mapping[Verdict, int]


class Recorder:
    """Writes what workers hand in. Started on a directory that holds part of the run, it counts that part too."""

    def __init__(
        self,
        writer: RunWriter,
        directory: Path,
        rows: Sequence[Row],
        *,
        planned_cells: int,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self.settling = Settling(rows, values_of=axis_values, today=datetime.now(UTC).date())
        self.stale_rows = 0
        self.sentences: tuple[str, ...] = ()
        self._writer = writer
        self._directory = directory
        self._evidence = EvidenceWriter(directory)
        self._progress = progress
        self._planned_cells = planned_cells
        self._done_cells = 0
        self._verdicts: Counter[Verdict] = Counter()
        self._recall(directory)

    def write(self, chunk: Chunk, found: Evaluated) -> None:
        """Settle and write one chunk, whole. Raises StoreError."""
        edges = [self.settling.excuse(record) for record in found.edges]
        for keepsake in found.keepsakes:
            self._evidence.keep(keepsake.header, keepsake.data)
        self._writer.write(chunk.name, found.lanes, edges, found.aims)
        self._count(Counter(record.verdict for record in edges), len(chunk.cells))

    def finish(self, *, whole: bool) -> None:
        """Mark the pairs of ledger rows that excuse nothing any more, which only a whole tier can tell.

        A part of it may hold a row's cells and not those that diverge. Raises StoreError.
        """
        if whole and self.settling.stale:
            self._writer.change_edges(self.settling.fixed)
            self.stale_rows = len(self.settling.stale)
        self.sentences = self.settling.sentences if whole else ()

    def explain(self, seconds: float) -> None:
        """Write the causes of new divergences into their records, and some of them explained beside, in the time given.

        Raises StoreError.
        """
        if self._verdicts[Verdict.DIVERGED]:
            sought = causes_of(diverged_records(load_run(self._directory)), seconds)
            for kept in sought.kept:
                write_explanation(self._directory, kept)
            if sought.causes:
                self._writer.change_edges(sought.given)
            self.sentences += (sought.sentence,) if sought.sentence else ()

    def _recall(self, directory: Path) -> None:
        """Let the ledger see what an interrupted run had already judged."""
        cells = set()
        verdicts: Counter[Verdict] = Counter()
        for record in load_run(directory).edges:
            known = record.verdict is Verdict.KNOWN
            self.settling.excuse(replace(record, verdict=Verdict.DIVERGED, ledger="") if known else record)
            cells.add(record.cell)
            verdicts[record.verdict] += 1
        self._count(verdicts, len(cells))

    def _count(self, verdicts: Counter[Verdict], cells: int) -> None:
        self._verdicts += verdicts
        self._done_cells += cells
        if self._progress is not None:
            self._progress(Progress(self._done_cells, self._planned_cells, self._verdicts))


def axis_values(cell_id: str) -> Mapping[str, str]:
    """The value of every axis of a cell, defaults included."""
    return dict(zip(AXES, parse_cell(cell_id).values, strict=True))
