"""finding = an edge record that a person may have to look at: anything but equal, refused as it must be, or not run."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from parity.record import STAGES
from parity.signature import RAISE
from parity.verdicts import Verdict

# The order in which findings are shown: what nobody expected first.
SEVERITY = (
    Verdict.DIVERGED,
    Verdict.NONDETERMINISTIC,
    Verdict.CRASHED,
    Verdict.TIMEOUT,
    Verdict.FIXED,
    Verdict.KNOWN,
    Verdict.WITHIN,
)

FIRST_STAGES = (*STAGES, RAISE)

NO_STAGE = 255

# max_ulp of a finding that has none. No distance reaches it: they saturate at 2^63 - 1.
NO_ULP = 2**64 - 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Words:
    """A column of text: codes [n] into the words that occur, in the order of their first use."""

    words: tuple[str, ...]
    codes: npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Findings:
    """Columns of n findings, in the order of SEVERITY, first stage, signature, cell.

    cell and edge are positions in the sheet; verdict points into Verdict, stage into FIRST_STAGES or is NO_STAGE.
    n_different, n_total, max_ulp and first_index are those of the first stage; 0, 0, NO_ULP and "" where there is none.
    row [n] = the record's row in the run's table of edges.
    """

    row: npt.NDArray[np.int64]
    cell: npt.NDArray[np.uint32]
    edge: npt.NDArray[np.uint8]
    verdict: npt.NDArray[np.uint8]
    stage: npt.NDArray[np.uint8]
    n_different: npt.NDArray[np.int64]
    n_total: npt.NDArray[np.int64]
    max_ulp: npt.NDArray[np.uint64]
    first_index: Words
    signature: Words
    cause: Words
    ledger: Words

    def __len__(self) -> int:
        return len(self.cell)

    def nth_of_signature(self) -> npt.NDArray[np.int64]:
        """[n] 0 for the first finding of its signature, 1 for the second, and so on."""
        order = np.argsort(self.signature.codes, kind="stable")
        codes = self.signature.codes[order]
        starts = np.flatnonzero(np.diff(codes, prepend=np.int64(-1)))
        nth = np.empty(len(codes), np.int64)
        nth[order] = np.arange(len(codes)) - np.repeat(starts, np.diff(starts, append=len(codes)))
        return nth

    def foremost(self, n: int) -> list[int]:
        """At most n findings, the gravest first and each signature once before any twice."""
        rank = np.array([SEVERITY.index(verdict) if verdict in SEVERITY else 0 for verdict in Verdict])
        order = np.lexsort((self.nth_of_signature(), rank[self.verdict]))
        return [int(finding) for finding in order[:n]]


def findings(
    table: pa.Table,
    rows: npt.NDArray[np.int64],
    cell: npt.NDArray[np.uint32],
    edge: npt.NDArray[np.uint8],
    verdict: npt.NDArray[np.uint8],
) -> Findings:
    """The findings among the run's edges; rows ascend, and cell, edge and verdict have one entry for each of them."""
    chosen = rows_of(table.select(["first_stage", "stages", "signature", "cause", "ledger"]), rows)
    stage = _codes(chosen.column("first_stage"), FIRST_STAGES)
    signature = words(chosen.column("signature"))
    rank = np.array([SEVERITY.index(v) if v in SEVERITY else len(SEVERITY) for v in Verdict])
    order = np.lexsort((cell, signature.codes, stage, rank[verdict]))
    numbers = _at_first_stage(chosen.column("stages"), stage)
    return Findings(
        row=rows[order],
        cell=cell[order],
        edge=edge[order],
        verdict=verdict[order],
        stage=stage[order],
        n_different=numbers["n_different"].astype(np.int64)[order],
        n_total=numbers["n_total"].astype(np.int64)[order],
        max_ulp=numbers["max_ulp"].astype(np.uint64)[order],
        first_index=words(pa.array(numbers["first_index"], pa.string()).take(pa.array(order))),
        signature=words(chosen.column("signature").take(pa.array(order))),
        cause=words(chosen.column("cause").take(pa.array(order))),
        ledger=words(chosen.column("ledger").take(pa.array(order))),
    )


def rows_of(table: pa.Table, rows: npt.NDArray[np.int64]) -> pa.Table:
    """These rows in the table's own order, without chunks: a filter does not copy nested chunks as take does."""
    wanted = np.zeros(len(table), np.bool_)
    wanted[rows] = True
    return table.filter(pa.array(wanted)).combine_chunks()


def words(column: pa.Array | pa.ChunkedArray) -> Words:
    """The column as codes and the words that occur in it; nulls are ""."""
    texts = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    coded = pc.fill_null(texts, "").dictionary_encode()
    return Words(words=tuple(coded.dictionary.to_pylist()), codes=coded.indices.to_numpy().astype(np.uint32))


def _codes(column: pa.ChunkedArray, known: tuple[str, ...]) -> npt.NDArray[np.uint8]:
    found = pc.index_in(column, value_set=pa.array(known)).combine_chunks()
    return np.asarray(pc.fill_null(found, NO_STAGE).to_numpy(zero_copy_only=False), np.uint8)


def _at_first_stage(column: pa.ChunkedArray, stage: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.generic]]:
    """The fields of each row's own first stage, picked out of the nested stages without decoding the others."""
    n = len(stage)
    nested = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    fields = {"n_different": 0, "n_total": 0, "max_ulp": NO_ULP, "first_index": ""}
    if n == 0:
        return {name: np.empty(0, object if name == "first_index" else np.int64) for name in fields}
    parents = np.repeat(np.arange(n), nested.value_lengths().to_numpy())
    values = nested.flatten()
    own = _codes(pa.chunked_array([values.field("stage")]), FIRST_STAGES) == stage[parents]
    picked = {}
    for name, blank in fields.items():
        filled = pc.fill_null(values.field(name).filter(pa.array(own)), blank).to_numpy(zero_copy_only=False)
        kind = {"first_index": object, "max_ulp": np.uint64}.get(name, np.int64)
        picked[name] = np.full(n, blank, kind)
        picked[name][parents[own]] = filled
    return picked
