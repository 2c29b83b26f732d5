"""A plan becomes a run directory: chunks evaluated, inline or in processes, written as they come, then counted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from kernels.availability import missing
from parity.aims import CarriedInputs
from parity.alone import each_alone
from parity.axes import AXES
from parity.cells import Cell
from parity.detection import write_detections
from parity.edges import Edge, edges_of
from parity.environment import environment
from parity.evaluate import Evaluated, evaluate
from parity.exit_codes import ExitCode, exit_code
from parity.history import PUBLISHED
from parity.history.detect import detections
from parity.inputs import make_inputs
from parity.lanes import lane as lane_named
from parity.layer_cells import layer_cells, layer_plan
from parity.ledger import LEDGER_FILE, read_ledger
from parity.manifest import Manifest, RunStatus, reconciliation
from parity.matrix import Chunk, Plan, chunks, plan, plan_named
from parity.mutation import COMMITTED, read_mutations, write_mutations
from parity.recording import Progress, Recorder
from parity.store import RunWriter, finished_cells, load_run
from parity.verdicts import Verdict
from parity.weights import Source
from parity.workers import Died, run_tasks, usable_cores

TIMEOUT_S = 300.0  # for a chunk; a chunk takes about a second
CAUSES_S = 30.0  # at most, for the causes of new divergences


class MissingDeviceError(ValueError):
    """A device that was required is not here, so nothing that was asked for can be shown."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """Where a run was written, how it ended, and what there is to say beside the verdicts."""

    directory: Path
    code: ExitCode
    verdicts: Mapping[Verdict, int]
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EvaluateChunk:
    """Cells in, records out: what a worker does. `lanes` limits the edges to those between lanes named there; `source`
    is where cells of real layers find their weights and inputs, or where another run laid its ties.
    """

    lanes: tuple[str, ...] | None
    source: Source | CarriedInputs | None = None

    @classmethod
    def between(cls, lanes: Sequence[str] | None, source: Source | CarriedInputs | None = None) -> EvaluateChunk:
        """The work on edges between these lanes, written in any form; None = on every declared edge."""
        return cls(None if lanes is None else tuple(str(lane_named(text)) for text in lanes), source)

    def __call__(self, chunk: Chunk) -> tuple[Chunk, Evaluated]:
        import torch

        torch.set_num_threads(1)
        found = Evaluated()
        for _, group in groupby(chunk.cells, key=lambda cell: (cell.configuration, self.edges_of(cell))):
            found.extend(evaluate(tuple(group), self.edges_of, self.source or make_inputs))
        return chunk, found

    def edges_of(self, cell: Cell) -> tuple[Edge, ...]:
        """The declared edges of a cell, as far as they are asked for."""
        edges = edges_of(cell)
        if self.lanes is None:
            return edges
        return tuple(edge for edge in edges if str(edge.a) in self.lanes and str(edge.b) in self.lanes)


def run(
    tier: str = "premerge",
    *,
    select: Mapping[str, Sequence[str]] | None = None,
    lanes: Sequence[str] | None = None,
    out: Path | None = None,
    budget: float | None = None,
    executor: str = "processes",
    workers: int | None = None,
    shard: tuple[int, int] | None = None,
    resume: bool = False,
    require_device: str | None = None,
    weights: Path | None = None,
    activations: Path | None = None,
    cells: Sequence[str] | None = None,
    inputs_of: Path | None = None,
    ledger: Path = LEDGER_FILE,
    argv: Sequence[str] = (),
    progress: Callable[[Progress], None] | None = None,
) -> RunResult:
    """Run a tier of the matrix and write it to `out` (default: runs/<UTC time>-<tier>).

    With `weights` (safetensors, and `activations` captured for it) the plan is the file's layers instead of the tier's,
    with `cells` it is the cells of these ids. `inputs_of` names a run: ties are laid where that run laid them.
    `select` keeps cells by axis values, `lanes` keeps edges between the lanes named, `shard` = (i, n) keeps every n-th
    chunk; `budget` in seconds cuts only what the plan leaves unprotected, and says what it cut. Raises ValueError for
    what cannot be asked for, StoreError where the directory cannot be written (what was written before stays readable),
    and passes KeyboardInterrupt on after closing the run as interrupted.
    """
    if executor not in ("inline", "processes"):
        raise ValueError(f"executor is {executor!r}; it must be inline or processes")
    if require_device is not None and (reason := missing(require_device)) is not None:
        raise MissingDeviceError(f"{require_device} is required, and there is {reason} here")
    source = None if weights is None else Source(weights=weights, activations=activations)
    chosen = {axis: tuple(values) for axis, values in (select or {}).items()}
    if cells is not None and (source is not None or chosen or shard is not None):
        raise ValueError("cells is a whole plan: it goes with no weights, no selection and no shard")
    if source is not None and inputs_of is not None:
        raise ValueError("inputs_of is for made inputs; those of a file are the same whatever is chosen")
    work = EvaluateChunk.between(lanes, source if inputs_of is None else CarriedInputs(inputs_of.resolve()))
    planned, skipped = plan_of(tier, chosen, shard, source) if cells is None else (plan_named(tier, cells), ())
    rows = read_ledger(ledger, axes=AXES)
    directory = out or Path("runs") / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{planned.tier}"
    writer = RunWriter(directory, _manifest(planned, work, argv), resume=resume)
    recorder = Recorder(writer, directory, rows, planned_cells=len(planned.cells), progress=progress)
    waiting = _Waiting(planned, finished_cells(directory) if resume else frozenset(), budget)
    try:
        if executor == "inline":
            for chunk in waiting.chunks():
                recorder.write(*work(chunk))
        else:
            _in_processes(work, waiting, recorder, workers or usable_cores())
    except KeyboardInterrupt:
        writer.close(RunStatus.INTERRUPTED)
        raise
    whole = source is None and cells is None and not chosen and lanes is None and shard is None and not waiting.cut
    recorder.finish(whole=whole)
    recorder.explain(waiting.left(CAUSES_S))
    if whole and planned.tier == "premerge":
        write_detections(directory, detections(PUBLISHED))
    if whole:
        write_mutations(directory, read_mutations(COMMITTED))
    kept = [cell for cell in planned.cells if cell not in waiting.cut]
    cut = (
        () if not waiting.cut else (f"the budget of {budget:g} s cut {len(waiting.cut)} of {len(planned.cells)} cells",)
    )
    writer.close(cut=cut, planned=tuple(cell.id for cell in kept), edges=pairs_of(kept, work))
    return _result(directory, recorder, skipped=skipped)


def plan_of(
    tier: str, select: Mapping[str, tuple[str, ...]], shard: tuple[int, int] | None, source: Source | None
) -> tuple[Plan, tuple[str, ...]]:
    """The plan of a tier, or of a file's layers, and a sentence for each layer that is skipped."""
    if source is None:
        return plan(tier, select=select, shard=shard), ()
    made = layer_cells(source, select)
    return layer_plan(made, shard), made.skipped


@dataclass(slots=True)
class _Waiting:
    """The chunks still to be run, handed out until the budget is spent; what is left out then is `cut`."""

    plan: Plan
    finished: frozenset[str]
    budget: float | None
    cut: set[Cell] = field(default_factory=set)
    started: float = field(default_factory=time.monotonic)

    def left(self, most: float) -> float:
        """Seconds of the budget that are left, at most so many."""
        return most if self.budget is None else max(0.0, min(most, self.started + self.budget - time.monotonic()))

    def chunks(self) -> Iterator[Chunk]:
        protected = set(self.plan.cells[: self.plan.protected])
        for chunk in chunks(self.plan.cells):
            if all(cell.id in self.finished for cell in chunk.cells):
                continue
            spent = self.budget is not None and time.monotonic() - self.started > self.budget
            if spent and not protected.intersection(chunk.cells):
                self.cut.update(chunk.cells)
                continue
            yield chunk


def _in_processes(work: EvaluateChunk, waiting: _Waiting, recorder: Recorder, workers: int) -> None:
    """Chunks in worker processes; a chunk whose worker died is run again, each cell alone."""
    for done in run_tasks(work, waiting.chunks(), workers=workers, timeout=TIMEOUT_S):
        if isinstance(done, Died):
            recorder.write(done.task, each_alone(work, done.task, work.edges_of, TIMEOUT_S))
        else:
            recorder.write(*done)


def pairs_of(cells: Sequence[Cell], work: EvaluateChunk) -> dict[str, int]:
    """How many pairs each edge has in a plan."""
    return dict(sorted(Counter(str(edge) for cell in cells for edge in work.edges_of(cell)).items()))


def _manifest(planned: Plan, work: EvaluateChunk, argv: Sequence[str]) -> Manifest:
    return Manifest(
        tier=planned.tier,
        argv=tuple(argv),
        planned=tuple(cell.id for cell in planned.cells),
        edges=pairs_of(planned.cells, work),
        cut=planned.cut,
        environment=environment(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _result(directory: Path, recorder: Recorder, *, skipped: Sequence[str]) -> RunResult:
    """The exit code and the sentences, from what is on disk and nothing else; skipped weights make a run incomplete."""
    written = load_run(directory)
    counted = reconciliation(written.manifest, written.judged())
    lost = counted.lost + len(written.lost) + len(counted.sentences) + len(skipped)
    code = exit_code(counted.verdicts, lost=lost, stale_rows=recorder.stale_rows)
    sentences = (*written.manifest.cut, *written.lost, *counted.sentences, *recorder.sentences)
    return RunResult(directory, code, counted.verdicts, sentences)
