"""sheet(run): a run as columns: cells by their axes, a verdict for every cell and edge, and the findings."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from parity.manifest import Reconciliation, reconciliation
from parity.store import Run, load_run
from parity.verdicts import Verdict
from reports.coordinates import Coordinates, coordinates
from reports.findings import SEVERITY, Findings, Words, findings, words

NO_RECORD = 255

VERDICTS = tuple(Verdict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sheet:
    """cells in the order of the plan, then those that were not planned; edges in the order of their names.

    verdicts [n_edges, n_cells] uint8 points into VERDICTS, or is NO_RECORD; messages.codes [n_edges * n_cells].
    A pair that was judged twice counts once, as in the reconciliation: the first record stands.
    """

    run: Run
    reconciliation: Reconciliation
    cells: tuple[str, ...]
    edges: tuple[str, ...]
    verdicts: npt.NDArray[np.uint8]
    messages: Words
    findings: Findings

    @cached_property
    def coordinates(self) -> Coordinates:
        return coordinates(self.cells)


def load(directory: Path) -> Sheet:
    """The run in a directory. Raises parity.store.StoreError where there is none that can be read."""
    return sheet(load_run(directory))


def sheet(run: Run) -> Sheet:
    """A run's records as columns, each pair once."""
    counts = reconciliation(run.manifest, run.judged())
    table = run.edges.table
    planned = pa.array(run.manifest.planned, pa.string())
    cells, cell = _cells(table.column("cell"), planned)
    edges = tuple(edge.edge for edge in counts.edges)
    edge = _positions(table.column("edge"), pa.array(edges, pa.string())).astype(np.uint8)
    verdict = _positions(table.column("verdict"), pa.array([v.value for v in VERDICTS])).astype(np.uint8)

    pair = edge.astype(np.int64) * len(cells) + cell
    _, once = np.unique(pair, return_index=True)
    verdicts = np.full(len(edges) * len(cells), NO_RECORD, np.uint8)
    verdicts[pair[once]] = verdict[once]
    said = words(table.column("message"))
    messages = np.zeros(len(verdicts), np.uint32)
    messages[pair[once]] = said.codes[once] + 1
    worth_a_look = np.isin(verdict[once], [VERDICTS.index(v) for v in SEVERITY])
    rows = np.sort(once[worth_a_look]).astype(np.int64)
    return Sheet(
        run=run,
        reconciliation=counts,
        cells=tuple(cells.to_pylist()),
        edges=edges,
        verdicts=verdicts.reshape(len(edges), len(cells)),
        messages=Words(words=("", *said.words), codes=messages),
        findings=findings(table, rows, cell[rows], edge[rows], verdict[rows]),
    )


def _cells(column: pa.ChunkedArray, planned: pa.Array) -> tuple[pa.Array, npt.NDArray[np.uint32]]:
    """All cells, and for each record the position of its own; cells that nobody planned come last, sorted."""
    found = pc.index_in(column, value_set=planned)
    if not found.null_count:
        return planned, found.to_numpy().astype(np.uint32)
    strangers = pa.array(sorted(set(column.filter(found.is_null()).to_pylist())), pa.string())
    cells = pa.concat_arrays([planned, strangers])
    return cells, _positions(column, cells).astype(np.uint32)


def _positions(column: pa.ChunkedArray, values: pa.Array) -> npt.NDArray[np.int64]:
    """Where in `values` each entry of the column stands; every one stands somewhere."""
    found = pc.index_in(column, value_set=values).combine_chunks()
    return np.asarray(found.to_numpy(zero_copy_only=False), np.int64)
