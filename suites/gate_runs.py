"""Two small runs of plain records, the second changed in one way: what the gate's suites share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from parity.manifest import Manifest, RunStatus
from parity.record import EdgeRecord, LaneRecord
from parity.setting import Environment
from parity.signature import signature_of
from parity.store import Run, RunWriter, load_run
from parity.verdicts import Verdict
from suites.plain_records import EDGE, ENVIRONMENT, differing, lane, manifest, pair

CELLS = ("default", "dtype:bf16", "dtype:fp16")
LANES = ("engine:ptq", "engine:qat_convert")


def lanes(cells: Sequence[str] = CELLS, names: Sequence[str] = LANES) -> list[LaneRecord]:
    """Every lane on every cell, all with one pair of digests."""
    return [lane(cell, name) for cell in cells for name in names]


def edges(cells: Sequence[str] = CELLS) -> list[EdgeRecord]:
    """Every cell identical on one edge."""
    return [pair(cell) for cell in cells]


def parted(cell: str, stage: str = "weight.codes", *, ulp: int = 1, count: int = 1, cause: str = "") -> EdgeRecord:
    """The pair diverges at one stage."""
    diff = differing(stage, ulp=ulp, count=count)
    signature = str(signature_of(EDGE, diff, cause))
    return replace(pair(cell, Verdict.DIVERGED), first_stage=stage, signature=signature, cause=cause)


def with_edges(*changed: EdgeRecord) -> list[EdgeRecord]:
    """All pairs identical but these."""
    by_cell = {record.cell: record for record in (*edges(), *changed)}
    return list(by_cell.values())


def written(
    directory: Path,
    *,
    lane_records: Sequence[LaneRecord] | None = None,
    edge_records: Sequence[EdgeRecord] | None = None,
    environment: Environment = ENVIRONMENT,
    plan: Manifest | None = None,
    status: RunStatus = RunStatus.COMPLETE,
) -> Run:
    """The run in a directory; what is not given is as equal runs have it."""
    pairs = edges() if edge_records is None else edge_records
    plan = plan or manifest(tuple(dict.fromkeys(record.cell for record in pairs)))
    writer = RunWriter(directory, replace(plan, environment=environment))
    writer.write("0", lanes() if lane_records is None else list(lane_records), pairs)
    writer.close(status)
    return load_run(directory)
