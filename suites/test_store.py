"""What was written can be read, what could not be written or read is named, and nothing is read by halves."""

import errno
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from parity import whole_file
from parity.manifest import Manifest, RunStatus, reconciliation
from parity.record import ByStage, EdgeRecord, Element, LaneRecord
from parity.setting import Environment
from parity.store import RunWriter, StoreError, finished_cells, load_run, newest_run
from parity.verdicts import Outcome, Verdict
from suites.plain_records import EDGE, ENVIRONMENT, differing, lane, manifest, one_sided, pair, same, unlike

CELLS = ("default", "dtype:bf16", "dtype:bf16,scale:fp64")

LANES = (
    lane(CELLS[0]),
    lane(CELLS[0], "engine:qat_convert"),
    lane(CELLS[1], outcome=Outcome.RAISED, message="ValueError: eps is 0; <b>1e-6</b> would do\n\0é"),
    replace(lane(CELLS[2]), stages=ByStage(), coverage=()),
)

# float64 distances and bit patterns do not fit into a signed 64-bit integer; a 0-d stage has the index ().
FAR = Element(index=(), bits_a=2**64 - 1, bits_b=2**63, ulp=2**64 - 1)

EDGES = (
    pair(CELLS[0]),
    EdgeRecord(
        cell=CELLS[1],
        edge=EDGE,
        verdict=Verdict.DIVERGED,
        contract="exact, output:ulp<=2",
        first_stage="weight.codes",
        stages=ByStage(
            (
                same("weight.scale"),
                differing("weight.codes", ulp=3, count=9, incomparable=1),
                unlike("weight.dequantized"),
                one_sided("output"),
                replace(
                    differing("grad.weight"),
                    dtype_a="float64",
                    dtype_b="float64",
                    shape_a=(),
                    shape_b=(),
                    max_ulp=2**64 - 1,
                    first_index=(),
                    first=FAR,
                    worst=(FAR, replace(FAR, ulp=None)),
                    sqnr_db=-3.25,
                ),
            )
        ),
        signature=f"{EDGE}|weight.codes|weight.eps|nan|<50%",
        cause="weight.eps",
        message='hostile </script> "text"',
    ),
    pair(CELLS[2], Verdict.UNRUN),
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "one"


def written(directory: Path) -> RunWriter:
    """Two chunks: the first cell, then the other two."""
    writer = RunWriter(directory, manifest(CELLS))
    writer.write("0", LANES[:2], EDGES[:1])
    writer.write("1", LANES[2:], EDGES[1:])
    return writer


def test_a_run_reads_back(directory: Path) -> None:
    written(directory).close(cut=["Half of rank 3 was cut."])
    run = load_run(directory)
    assert tuple(run.lanes) == LANES
    assert tuple(run.edges) == EDGES
    assert run.lost == ()
    assert run.manifest.status is RunStatus.COMPLETE
    assert run.manifest.finished > run.manifest.started
    assert run.manifest.cut == ("Half of rank 3 was cut.",)
    assert [record.stages["weight.codes"].n_different for record in run.edges if record.stages] == [10]
    assert reconciliation(run.manifest, run.judged()).sentences == ()


def test_columns_and_tables_hold_what_the_records_do(directory: Path) -> None:
    written(directory)
    run = load_run(directory)
    assert run.edges.column("verdict") == [record.verdict for record in run.edges]
    assert run.lanes.table.num_rows == len(run.lanes) == len(LANES)
    assert run.edges.table.column("first_stage").to_pylist() == [None, "weight.codes", None]


def test_an_empty_run_reads_back_and_is_not_whole(directory: Path) -> None:
    writer = RunWriter(directory, manifest(CELLS))
    writer.write("0", (), ())
    run = load_run(directory)
    assert tuple(run.lanes) == ()
    assert tuple(run.edges) == ()
    assert run.lanes.table.num_rows == 0
    assert reconciliation(run.manifest, run.judged()).lost == 3


def test_same_records_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        written(tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a" / "records").iterdir())
    assert files == ["edges-0.parquet", "edges-1.parquet", "lanes-0.parquet", "lanes-1.parquet"]
    assert all((tmp_path / "a/records" / n).read_bytes() == (tmp_path / "b/records" / n).read_bytes() for n in files)


def test_a_killed_run_says_incomplete_and_keeps_what_it_finished(directory: Path) -> None:
    writer = RunWriter(directory, manifest(CELLS))
    writer.write("0", LANES[:2], EDGES[:1])
    (directory / "records" / ".unfinished-edges-1.parquet").write_bytes(b"PAR1")
    run = load_run(directory)
    assert run.manifest.status is RunStatus.INCOMPLETE
    assert tuple(run.edges) == EDGES[:1]
    assert run.lost == ()
    assert reconciliation(run.manifest, run.judged()).lost == 2


def test_a_full_disk_is_a_sentence_and_finished_files_stay(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = RunWriter(directory, manifest(CELLS))
    writer.write("0", LANES[:2], EDGES[:1])

    def half_then_full(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(bytes(data)[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half_then_full)
    with pytest.raises(StoreError, match=r"lanes-1.parquet \(\d+ bytes\) could not be written: the disk is full"):
        writer.write("1", LANES[2:], EDGES[1:])
    with pytest.raises(StoreError, match=r"manifest.json .* the disk is full"):
        writer.close()
    monkeypatch.undo()
    run = load_run(directory)
    assert tuple(run.lanes) == LANES[:2]
    assert run.lost == ()
    assert run.manifest.status is RunStatus.INCOMPLETE
    assert not list(directory.rglob(".unfinished-*"))


def test_a_file_is_whole_or_absent_when_the_process_dies_before_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def die(source: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(whole_file, "os", SimpleNamespace(replace=die))
    with pytest.raises(KeyboardInterrupt):
        whole_file.write_whole(path, b"new and longer")
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("fault", ["truncated", "flipped", "empty"])
def test_a_corrupt_file_is_named_and_the_others_are_loaded(directory: Path, fault: str) -> None:
    written(directory)
    path = directory / "records" / "edges-1.parquet"
    data = bytearray(path.read_bytes())
    if fault == "flipped":
        data[40] ^= 1  # in a page, where no footer notices
    path.write_bytes({"truncated": bytes(data[: len(data) // 2]), "flipped": bytes(data), "empty": b""}[fault])
    run = load_run(directory)
    assert tuple(run.edges) == EDGES[:1]
    assert tuple(run.lanes) == LANES
    assert len(run.lost) == 1
    assert "edges-1.parquet cannot be read, so its records are lost" in run.lost[0]
    assert reconciliation(run.manifest, run.judged()).lost == 2
    assert finished_cells(directory) == {CELLS[0]}


def test_a_file_of_other_columns_is_named(directory: Path) -> None:
    written(directory)
    records = directory / "records"
    (records / "edges-1.parquet").write_bytes((records / "lanes-1.parquet").read_bytes())
    run = load_run(directory)
    assert tuple(run.edges) == EDGES[:1]
    assert "edges-1.parquet has other columns than this schema's" in run.lost[0]


def test_an_unknown_schema_is_refused(directory: Path) -> None:
    written(directory)
    path = directory / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 2}))
    with pytest.raises(StoreError, match=r"manifest.json cannot be read: its schema is 2; this version reads schema 1"):
        load_run(directory)


def test_a_directory_without_a_manifest_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"is no run directory: it has no manifest.json"):
        load_run(tmp_path)


def test_a_run_is_not_written_over(directory: Path) -> None:
    writer = written(directory)
    with pytest.raises(StoreError, match="already holds a run: resume it, or write to another directory"):
        RunWriter(directory, manifest(CELLS))
    with pytest.raises(StoreError, match=r"edges-1.parquet is already written"):
        writer.write("1", LANES, EDGES)
    with pytest.raises(StoreError, match=r"'\.\./x' cannot name a chunk"):
        writer.write("../x", LANES, EDGES)


def test_a_resumed_run_goes_on_and_drops_halves(directory: Path) -> None:
    written(directory)
    (directory / "records" / "edges-1.parquet").unlink()
    assert finished_cells(directory) == {CELLS[0]}
    later = replace(manifest(CELLS), started="2026-02-02T00:00:00+00:00")
    writer = RunWriter(directory, later, resume=True)
    assert sorted(path.name for path in (directory / "records").iterdir()) == ["edges-0.parquet", "lanes-0.parquet"]
    writer.write("2", LANES[2:], EDGES[1:])
    writer.close()
    run = load_run(directory)
    assert tuple(run.lanes) == LANES
    assert run.manifest.started == manifest().started
    assert reconciliation(run.manifest, run.judged()).sentences == ()


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (manifest(CELLS[:2]), "holds a run of another plan"),
        (
            replace(
                manifest(CELLS), environment=Environment(setting={**ENVIRONMENT.setting, "threads": 2}, subject={})
            ),
            "threads is 1 in the first run and 2 in the second",
        ),
        (replace(manifest(CELLS), environment=replace(ENVIRONMENT, subject={})), "the code under test is another"),
    ],
)
def test_another_run_is_not_resumed(directory: Path, other: Manifest, sentence: str) -> None:
    written(directory)
    with pytest.raises(StoreError, match=sentence):
        RunWriter(directory, other, resume=True)


def test_edges_are_changed_only_where_they_change(directory: Path) -> None:
    writer = written(directory)
    records = directory / "records"
    untouched = (records / "edges-0.parquet").stat().st_ino

    def known(record: EdgeRecord) -> EdgeRecord:
        diverged = record.verdict is Verdict.DIVERGED
        return replace(record, verdict=Verdict.KNOWN, ledger="row-1") if diverged else record

    writer.change_edges(known)
    run = load_run(directory)
    assert [record.verdict for record in run.edges] == [Verdict.IDENTICAL, Verdict.KNOWN, Verdict.UNRUN]
    assert [record.ledger for record in run.edges] == ["", "row-1", ""]
    assert (records / "edges-0.parquet").stat().st_ino == untouched


def test_the_newest_run_is_the_last_written(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no run"):
        newest_run(tmp_path)
    for name in ("b", "a"):
        written(tmp_path / name)
    assert newest_run(tmp_path) == tmp_path / "a"


def test_many_records_survive_the_columns(directory: Path) -> None:
    """Every record stays itself when its neighbours have other numbers of stages, elements and counts."""
    writer = RunWriter(directory, manifest(CELLS))
    lanes = [replace(LANES[i % 4], cell=f"case:{i}", coverage=(("ties", i),) * (i % 3)) for i in range(200)]
    edges = [replace(EDGES[(i * i) % 3], cell=f"case:{i}") for i in range(200)]
    writer.write("0", lanes, edges)
    run = load_run(directory)
    assert list(run.lanes) == lanes
    assert list(run.edges) == edges
    assert all(isinstance(record, LaneRecord) for record in run.lanes)
