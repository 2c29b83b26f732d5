"""replay(cell) = the cell's records, made again from its id; held against a run: the same bits, or where they moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from parity.exit_codes import ExitCode, combine, exit_code
from parity.record import EdgeRecord, LaneRecord
from parity.sentence import sentence
from parity.verdicts import Outcome

if TYPE_CHECKING:
    from parity.weights import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The replayed lanes held against those of a run.

    same = lanes with equal bits; moved = (lane, first stage that differs); absent = lanes that the run did not run;
    unlike = sentences on how the two settings differ.
    """

    directory: Path
    same: tuple[str, ...]
    moved: tuple[tuple[str, str], ...]
    absent: tuple[str, ...]
    unlike: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """Whether the run's bits were made again."""
        if not self.same and not self.moved:
            return f"{self.directory} holds no lane of this cell that was run here too, so nothing was compared"
        if self.moved:
            lane, stage = self.moved[0]
            return f"{len(self.moved)} of {len(self.same) + len(self.moved)} lanes have other bits, {lane} at {stage}"
        return f"all {len(self.same)} lanes have the same bits as in {self.directory}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """One cell's lanes and edges, as a run would have recorded them."""

    cell: str
    lanes: tuple[LaneRecord, ...]
    edges: tuple[EdgeRecord, ...]
    held: Held | None

    @property
    def code(self) -> ExitCode:
        """That of a run of this cell; bits other than a run's are a new divergence, none to compare is incomplete."""
        codes = [exit_code(Counter(edge.verdict for edge in self.edges), lost=0)]
        if self.held is not None and self.held.moved:
            codes.append(ExitCode.DIVERGED)
        if self.held is not None and not self.held.same and not self.held.moved:
            codes.append(ExitCode.INCOMPLETE)
        return combine(codes)

    def to_json(self) -> dict[str, object]:
        """Plain values for json.dumps."""
        held = None if self.held is None else {**asdict(self.held), "directory": str(self.held.directory)}
        return {
            "cell": self.cell,
            "lanes": [{**asdict(lane), "stages": [stage._asdict() for stage in lane.stages]} for lane in self.lanes],
            "edges": [{**asdict(edge), "sentence": sentence(edge)} for edge in self.edges],
            "held": held if held is None or self.held is None else {**held, "sentence": self.held.sentence},
        }


def replay(
    cell_id: str,
    *,
    lanes: Sequence[str] = (),
    run: Path | None = None,
    source: Source | None = None,
    ledger: Path | None = None,
) -> Replay:
    """Evaluate one cell by its id; lanes = keep only the edges between these, run = compare with its digests.

    source = the files that hold the layer of the cell, if it names one.

    Raises ValueError for an id or a lane that is none, StoreError for a run that cannot be read or lacks the cell.
    """
    import torch

    from parity.axes import AXES, SYNTHETIC
    from parity.cells import parse_cell
    from parity.evaluate import evaluate
    from parity.inputs import make_inputs
    from parity.lanes import lane
    from parity.ledger import LEDGER_FILE, read_ledger
    from parity.recording import axis_values
    from parity.run import EvaluateChunk
    from parity.settling import Settling

    cell = parse_cell(cell_id)
    torch.set_num_threads(1)  # as in a worker; a cell's own axis says how many its lanes get
    recorded = None if run is None else _recorded(run, cell_id)
    work = EvaluateChunk(tuple(str(lane(text)) for text in lanes) or None)
    if not work.edges_of(cell):
        raise ValueError(f"no declared edge of the cell {cell_id!r} joins two of the lanes {', '.join(lanes)}")
    if cell["layer"] != SYNTHETIC and source is None:
        raise ValueError(f"the cell {cell_id!r} is of the layer {cell['layer']}; name its file with --weights")
    found = evaluate([cell], work.edges_of, source or make_inputs)
    rows = read_ledger(ledger or LEDGER_FILE, axes=AXES)
    settling = Settling(rows, values_of=axis_values, today=datetime.now(UTC).date())
    return Replay(
        cell=cell.id,
        lanes=tuple(found.lanes),
        edges=tuple(settling.excuse(record) for record in found.edges),
        held=None if run is None or recorded is None else _held(run, recorded, found.lanes),
    )


def red_pairs(cell_id: str) -> list[str]:
    """The facts of each pair of a cell that is not green."""
    from parity.failure import pair_failure
    from parity.verdicts import GREEN

    return [pair_failure(record) for record in replay(cell_id).edges if record.verdict not in GREEN]


def _recorded(run: Path, cell_id: str) -> list[LaneRecord]:
    """The run's lanes of that cell. Raises StoreError when there is none."""
    import pyarrow.compute as pc

    from parity.columns import lane_records
    from parity.store import load_run
    from parity.whole_file import StoreError

    table = load_run(run).lanes.table
    found = list(lane_records(table.filter(pc.equal(table.column("cell"), cell_id))))
    if not found:
        raise StoreError(f"{run} has no record of the cell {cell_id!r}; `parity list cells` shows what a tier plans.")
    return found


def _held(run: Path, recorded: Iterable[LaneRecord], replayed: Iterable[LaneRecord]) -> Held:
    from parity.environment import environment
    from parity.manifest import read_manifest
    from parity.run_diff import run_diff

    after = [record for record in replayed if record.outcome is not Outcome.UNRUN]
    names = {record.lane for record in after}
    before = [record for record in recorded if record.lane in names and record.outcome is not Outcome.UNRUN]
    environments = (read_manifest(run).environment, environment())
    diff = run_diff(before, after, environments=environments, unlike_settings=True)
    moved = tuple((m.lane, m.stage) for m in diff.moved)
    compared = {record.lane for record in before}
    return Held(
        directory=run,
        same=tuple(sorted(compared - {lane for lane, _ in moved})),
        moved=moved,
        absent=tuple(sorted(names - compared)),
        unlike=diff.unlike,
    )
