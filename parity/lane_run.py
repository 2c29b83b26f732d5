"""One lane on one cell: its trace, or why there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from parity.backends.aten_int4_cells import ATEN_INT4, TINYGEMM_CPU
from parity.backends.names import EPOCHS
from parity.backends.protocol import NotExpressible
from parity.backends.registry import backend_named
from parity.backends.torchao_cells import TORCHAO, TORCHAO_CUDA
from parity.bits import dtype_name
from parity.cases import input_of, layer_of
from parity.cells import Cell
from parity.digest import digest
from parity.inputs import Inputs
from parity.judge import raised_message
from parity.lanes import Lane
from parity.record import ByStage, LaneRecord, LaneStage
from parity.schemes import scheme_of
from parity.trace import Trace, same_bits
from parity.verdicts import Outcome

# The rule set a backend is declared to follow: an axis at "preset" means that set's default in its lanes.
FOLLOWS = {
    "engine": "engine",
    "torchao": "torchao",
    "torchao_8da4w": "torchao",
    "torchao_parq": "parq",
    ATEN_INT4: TINYGEMM_CPU,
    **dict.fromkeys(EPOCHS, "torchao"),
}
FOLLOWS_ON = {(TORCHAO, "cuda"): TORCHAO_CUDA}


@dataclass(frozen=True, slots=True)
class LaneRun:
    """What a lane did: `trace` is None unless its outcome is RAN."""

    record: LaneRecord
    trace: Trace | None


def followed(lane: Lane) -> str | None:
    """The rule set that the lane's backend is declared to follow on the lane's device; None where none is declared."""
    return FOLLOWS_ON.get((lane.backend, lane.device)) or FOLLOWS.get(lane.backend)


def rules_of(lane: Lane) -> str:
    """The rule set that a lane's scheme is built with: its override, or what its backend follows."""
    return lane.rules or followed(lane) or "engine"


def run_lane(lane: Lane, cell: Cell, inputs: Inputs, input_digest: str, like: LaneRun | None = None) -> LaneRun:
    """Run the lane on the first case of `inputs`; `like` is an earlier lane, whose digests serve where bits are equal.

    Nothing escapes but KeyboardInterrupt and MemoryError: a ValueError means that the lane refused, any other
    exception is recorded by its name.
    """
    backend = backend_named(lane.backend)

    def compute() -> Trace:
        scheme = scheme_of(cell, rules_of(lane))
        layer, x = layer_of(cell, inputs, lane.device), input_of(cell, inputs, lane.device)
        asked = {"gradients": True} if cell["grad"] == "yes" else {}
        return backend.trace(lane, layer, x, scheme, int(cell["steps"]), **asked)

    with threads_of(cell):
        return attempt(lane, backend.unrun(lane), compute, cell_id=cell.id, input_digest=input_digest, like=like)


@contextmanager
def threads_of(cell: Cell) -> Iterator[None]:
    """As many torch threads as the cell says."""
    threads = torch.get_num_threads()
    torch.set_num_threads(int(cell["threads"]))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def attempt(
    lane: Lane,
    missing: str | None,
    compute: Callable[[], Trace],
    *,
    cell_id: str,
    input_digest: str,
    like: LaneRun | None = None,
) -> LaneRun:
    """The lane's trace as it is computed, or the record of why there is none; `missing` = why it is not tried."""

    def without(outcome: Outcome, message: str) -> LaneRun:
        record = LaneRecord(cell=cell_id, lane=str(lane), outcome=outcome, input_digest=input_digest, message=message)
        return LaneRun(record, None)

    if missing is not None:
        return without(Outcome.UNRUN, missing)
    try:
        trace = compute()
    except NotExpressible as error:
        return without(Outcome.UNRUN, str(error))
    except (KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:  # whatever a backend raises is a finding about it, not the end of the run
        return without(Outcome.RAISED, raised_message(error))
    hashed = like is not None and like.trace is not None and same_bits(trace, like.trace)
    record = LaneRecord(
        cell=cell_id,
        lane=str(lane),
        outcome=Outcome.RAN,
        input_digest=input_digest,
        stages=like.record.stages if hashed and like is not None else stage_records(trace),
    )
    return LaneRun(record, trace)


def stage_records(trace: Trace) -> ByStage[LaneStage]:
    """Each stage's form and digest."""
    return ByStage(
        LaneStage(
            stage=stage.name,
            dtype=dtype_name(stage.tensor.dtype),
            computed=dtype_name(stage.computed),
            shape=tuple(stage.tensor.shape),
            digest=digest(stage.tensor),
        )
        for stage in trace
    )
