"""A chunk whose process died is run again, each cell in its own: the guilty one is named, the rest judged."""

from __future__ import annotations

from collections.abc import Callable

from parity.cells import Cell
from parity.edges import Edge
from parity.evaluate import Evaluated
from parity.matrix import Chunk
from parity.workers import Died, run_tasks

Work = Callable[[Chunk], tuple[Chunk, Evaluated]]


def each_alone(work: Work, chunk: Chunk, edges_of: Callable[[Cell], tuple[Edge, ...]], timeout: float) -> Evaluated:
    """The chunk's records; a cell that takes its process with it is CRASHED, or TIMEOUT, on every edge."""
    whole = Evaluated()
    singles = (Chunk(f"{chunk.name}-{i}", (cell,)) for i, cell in enumerate(chunk.cells))
    for done in run_tasks(work, singles, workers=1, timeout=timeout):
        if isinstance(done, Died):
            (cell,) = done.task.cells
            part = Evaluated.unanswered(cell, edges_of(cell), done.reason, timed_out=done.timed_out)
        else:
            part = done[1]
        whole.extend(part)
    return whole
