"""A run directory holds whole files only: what was written before a crash, a full disk or Ctrl-C can be read.

    manifest.json    records/lanes-<chunk>.parquet    records/edges-<chunk>.parquet    evidence/    explanations/

A chunk is these two files, lanes first: where the edges file is, the chunk is finished. aims-<chunk>.parquet beside
them says where its ties were laid. Pages carry checksums, so a flipped bit is a file that cannot be read, not a wrong
verdict.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from parity.aim import Aim
from parity.aim_columns import AIMS, aim_table, aims_of
from parity.columns import EDGES, LANES, edge_records, edge_table, lane_records, lane_table
from parity.manifest import FILE_NAME, Manifest, RunStatus, read_manifest, write_manifest
from parity.record import EdgeRecord, LaneRecord
from parity.setting import difference
from parity.verdicts import Verdict
from parity.whole_file import UNFINISHED, StoreError, write_whole

__all__ = ["Judged", "Rows", "Run", "RunWriter", "StoreError", "finished_cells", "load_run", "newest_run", "read_aims"]

RECORDS = "records"
AIMS_PREFIX = "aims-"

_CHUNK = re.compile(r"[a-z0-9][a-z0-9_.-]*")

R = TypeVar("R")


class Judged(NamedTuple):
    """The part of an edge record that counting needs."""

    cell: str
    edge: str
    verdict: Verdict


class Rows(Generic[R]):
    """The records of a run, decoded as they are iterated over; column(name) is one field of all of them, undecoded."""

    def __init__(
        self, schema: pa.Schema, tables: Sequence[pa.Table], decode: Callable[[pa.Table], Iterator[R]]
    ) -> None:
        self._tables = tuple(tables)
        self._decode = decode
        self._schema = schema

    def __len__(self) -> int:
        return sum(table.num_rows for table in self._tables)

    def __iter__(self) -> Iterator[R]:
        for table in self._tables:
            yield from self._decode(table)

    @property
    def table(self) -> pa.Table:
        """All rows as one Arrow table, for pandas and duckdb; no copy."""
        return pa.concat_tables([self._schema.empty_table(), *self._tables])

    def column(self, name: str) -> list[Any]:
        """The field as plain Python values, in the order of iteration. Raises KeyError for a name there is not."""
        return [value for table in self._tables for value in table.column(name).to_pylist()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run directory holds. lost = a sentence for each file that could not be read; any makes the run red."""

    directory: Path
    manifest: Manifest
    lanes: Rows[LaneRecord]
    edges: Rows[EdgeRecord]
    lost: tuple[str, ...]

    def judged(self) -> Iterator[Judged]:
        """(cell, edge, verdict) of every edge record, without decoding its stages."""
        verdicts = {verdict.value: verdict for verdict in Verdict}
        columns = (self.edges.column(name) for name in ("cell", "edge", "verdict"))
        return (Judged(cell, edge, verdicts[verdict]) for cell, edge, verdict in zip(*columns, strict=True))


class RunWriter:
    """Writes one run. One process writes a run; its workers hand it their records."""

    def __init__(self, directory: Path, manifest: Manifest, *, resume: bool = False) -> None:
        """Write the manifest, whose status is INCOMPLETE until close says otherwise.

        resume goes on with the run that is there, after removing the chunks that never were finished or cannot be
        read. Raises StoreError when a run is there and is not resumed, or is resumed under another plan or setting.
        """
        self._directory = directory
        records = directory / RECORDS
        if (directory / FILE_NAME).exists():
            manifest = self._resumed(manifest, resume)
        try:
            records.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{records} could not be made: {error.strerror}.") from error
        self.manifest = replace(manifest, status=RunStatus.INCOMPLETE, finished="")
        write_manifest(directory, self.manifest)
        if resume:
            _remove_unfinished(directory)

    def write(
        self, chunk: str, lanes: Sequence[LaneRecord], edges: Sequence[EdgeRecord], aims: Sequence[Aim] = ()
    ) -> None:
        """Write a chunk: every lane and edge record of its cells, and where their ties were laid.

        Raises StoreError, leaving finished chunks whole.
        """
        if not _CHUNK.fullmatch(chunk):
            raise StoreError(
                f"{chunk!r} cannot name a chunk: it may hold a-z, 0-9, _, . and -, and starts with a letter or digit."
            )
        lanes_path, edges_path = _paths(self._directory, chunk)
        if edges_path.exists():
            raise StoreError(f"{edges_path} is already written: two chunks of a run cannot share a name.")
        if aims:
            _write_table(lanes_path.with_name(f"{AIMS_PREFIX}{chunk}.parquet"), aim_table(aims))
        _write_table(lanes_path, lane_table(lanes))
        _write_table(edges_path, edge_table(edges))

    def change_edges(self, change: Callable[[EdgeRecord], EdgeRecord]) -> None:
        """Give every edge record written so far to `change`; only files in which one changed are written again.

        For what is known at the end alone: that a ledger row no longer excuses anything. Raises StoreError.
        """
        for path in sorted((self._directory / RECORDS).glob("edges-*.parquet")):
            before = list(edge_records(_read_table(path, EDGES)))
            after = [change(record) for record in before]
            if after != before:
                _write_table(path, edge_table(after))

    def close(
        self,
        status: RunStatus = RunStatus.COMPLETE,
        cut: Iterable[str] = (),
        planned: tuple[str, ...] | None = None,
        edges: Mapping[str, int] | None = None,
    ) -> None:
        """Write the manifest again with the status, the time, and sentences about what was cut. Raises StoreError.

        planned, edges: what is left of the plan where something was cut.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.manifest = replace(
            self.manifest,
            status=status,
            finished=now,
            cut=(*self.manifest.cut, *cut),
            planned=self.manifest.planned if planned is None else planned,
            edges=self.manifest.edges if edges is None else edges,
        )
        write_manifest(self._directory, self.manifest)

    def _resumed(self, manifest: Manifest, resume: bool) -> Manifest:
        """The new manifest with the old start. Raises StoreError where the two are not one run."""
        directory = self._directory
        if not resume:
            raise StoreError(f"{directory} already holds a run: resume it, or write to another directory.")
        earlier = read_manifest(directory)
        if (earlier.planned, earlier.edges) != (manifest.planned, manifest.edges):
            raise StoreError(
                f"{directory} holds a run of another plan, so it cannot be resumed; write to another directory."
            )
        moved = difference(earlier.environment, manifest.environment)
        if moved or earlier.environment.subject != manifest.environment.subject:
            why = "; ".join(moved) or "the code under test is another"
            raise StoreError(
                f"{directory} was begun elsewhere ({why}), so it cannot be resumed; write to another directory."
            )
        return replace(manifest, started=earlier.started)


def load_run(directory: Path) -> Run:
    """The run in a directory, finished or not. A file that cannot be read is named in `lost`; the others are loaded.

    Raises StoreError when there is no manifest, or one of an unknown schema.
    """
    manifest = read_manifest(directory)
    lost: list[str] = []

    def tables(kind: str, schema: pa.Schema) -> Iterator[pa.Table]:
        for path in sorted((directory / RECORDS).glob(f"{kind}-*.parquet")):
            try:
                yield _read_table(path, schema)
            except StoreError as error:
                lost.append(str(error))

    return Run(
        directory=directory,
        manifest=manifest,
        lanes=Rows(LANES, list(tables("lanes", LANES)), lane_records),
        edges=Rows(EDGES, list(tables("edges", EDGES)), edge_records),
        lost=tuple(lost),
    )


def read_aims(directory: Path) -> Iterator[Aim]:
    """Where the run laid its ties. Raises StoreError for a file that cannot be read."""
    for path in sorted((directory / RECORDS).glob(f"{AIMS_PREFIX}*.parquet")):
        yield from aims_of(_read_table(path, AIMS))


def finished_cells(directory: Path) -> frozenset[str]:
    """Cells whose chunk is whole, so that a resumed run need not make them again."""
    cells: set[str] = set()
    for edges_path in (directory / RECORDS).glob("edges-*.parquet"):
        with suppress(StoreError):
            lanes_path, _ = _paths(directory, _chunk(edges_path))
            _read_table(lanes_path, LANES)
            cells.update(_read_table(edges_path, EDGES).column("cell").to_pylist())
    return frozenset(cells)


def newest_run(root: Path) -> Path:
    """The run directory under root that was started last. Raises StoreError when there is none."""
    # A manifest lists every planned cell, so it is not parsed for its date: the run with the last written one is meant.
    found = sorted(root.glob(f"*/{FILE_NAME}"), key=lambda path: (path.stat().st_mtime_ns, path.parent.name))
    if not found:
        raise StoreError(f"{root} holds no run; `parity run` makes one.")
    return found[-1].parent


def _paths(directory: Path, chunk: str) -> tuple[Path, Path]:
    records = directory / RECORDS
    return records / f"lanes-{chunk}.parquet", records / f"edges-{chunk}.parquet"


def _chunk(path: Path) -> str:
    return path.stem.partition("-")[2]


def _remove_unfinished(directory: Path) -> None:
    """Remove what a resumed run makes again: files that are not whole, and either half of a chunk without the other."""
    for path in (directory / RECORDS).glob(f"{UNFINISHED}*"):
        path.unlink()
    for chunk in {_chunk(path) for path in (directory / RECORDS).glob("*-*.parquet")}:
        lanes_path, edges_path = _paths(directory, chunk)
        try:
            _read_table(lanes_path, LANES)
            _read_table(edges_path, EDGES)
        except StoreError:
            edges_path.unlink(missing_ok=True)
            lanes_path.unlink(missing_ok=True)


def _write_table(path: Path, table: pa.Table) -> None:
    data = BytesIO()
    pq.write_table(table, data, compression="zstd", compression_level=1, write_page_checksum=True)
    write_whole(path, data.getbuffer())


def _read_table(path: Path, schema: pa.Schema) -> pa.Table:
    try:
        # Arrow's own reader threads can abort the interpreter when it exits soon after a read.
        with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
            table = file.read(use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path} cannot be read, so its records are lost: {error}.") from error
    if not table.schema.equals(schema):
        raise StoreError(f"{path} has other columns than this schema's, so its records are lost.")
    return table
