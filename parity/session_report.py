"""A pytest session as a run: each comparison a record under the name of its test, written with a page beside it."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from parity.columns import edge_records, edge_table, lane_records, lane_table
from parity.comparison import Comparison
from parity.environment import environment
from parity.manifest import Manifest, RunStatus
from parity.record import ByStage, EdgeRecord, LaneRecord
from parity.signature import with_cause
from parity.store import RunWriter
from parity.verdicts import Verdict


class SessionReport:
    """Collects records in one process; those of xdist's workers arrive as bytes and are merged."""

    def __init__(self) -> None:
        self._lanes: list[LaneRecord] = []
        self._edges: list[EdgeRecord] = []
        self._seen: Counter[str] = Counter()
        self.lost: list[str] = []

    def add(self, test: str, comparisons: Iterable[Comparison]) -> None:
        """The comparisons of one test, a model's layer by layer; their cell is the test's name, numbered from 2 on."""
        for comparison in comparisons:
            for record in comparison.layers.values() or (comparison,):
                self._seen[test] += 1
                cell = test if self._seen[test] == 1 else f"{test} #{self._seen[test]}"
                self._edges.append(_edge(cell, record))
                self._lanes += [replace(lane, cell=cell) for lane in record.lanes]

    def to_bytes(self) -> tuple[bytes, bytes]:
        """Lanes and edges, for the process that writes them."""
        return _bytes(lane_table(self._lanes)), _bytes(edge_table(self._edges))

    def merge(self, lanes: bytes, edges: bytes) -> None:
        """Add what another process collected."""
        self._lanes += lane_records(pq.read_table(io.BytesIO(lanes)))
        self._edges += edge_records(pq.read_table(io.BytesIO(edges)))

    def write(self, directory: Path, argv: Sequence[str]) -> Path:
        """The run directory and its page. Raises StoreError, also where a run is there already."""
        from parity.cli.report import written

        planned = tuple(dict.fromkeys(record.cell for record in self._edges))
        manifest = Manifest(
            tier="pytest",
            argv=tuple(argv),
            planned=planned,
            edges=dict(sorted(Counter(record.edge for record in self._edges).items())),
            environment=environment(),
            started=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        writer = RunWriter(directory, manifest)
        if self._edges:
            writer.write("0", _once(self._lanes), self._edges)
        writer.close(RunStatus.INCOMPLETE if self.lost else RunStatus.COMPLETE, cut=self.lost)
        return written(directory)


def _edge(cell: str, record: Comparison) -> EdgeRecord:
    """The record as a run holds it: no stages where all are equal, and the cause of a divergence."""
    differs = any(not diff.identical for diff in record.stages)
    plain = EdgeRecord(
        cell=cell,
        edge=record.edge,
        verdict=record.verdict,
        contract=record.contract,
        first_stage=record.first_stage,
        stages=record.stages if differs else ByStage(),
        signature=record.signature,
        message=record.message or f"{record.cell}; {record.rerun}",
    )
    return plain if record.verdict is not Verdict.DIVERGED else with_cause(plain, _cause(record))


def _cause(record: Comparison) -> str:
    """What explains it, or "" where that is not known."""
    from parity.explain import explain

    try:
        return explain(record).cause if record.stages else ""
    except ValueError:  # lanes that raise have no bits to explain
        return ""


def _once(lanes: Iterable[LaneRecord]) -> list[LaneRecord]:
    """A lane that is compared with itself has one record."""
    return list({(lane.cell, lane.lane): lane for lane in lanes}.values())


def _bytes(table: pa.Table) -> bytes:
    data = io.BytesIO()
    pq.write_table(table, data, compression="zstd")
    return data.getvalue()
