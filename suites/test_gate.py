"""The gate over records: moved bits, what became of each divergence, and red wherever nothing can be shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from parity.accepted import Accepted
from parity.exit_codes import ExitCode
from parity.gate.changes import Kind, kind_of
from parity.gate.comparable import IncomparableError
from parity.gate.gate import Gate, gate
from parity.manifest import RunStatus
from parity.record import EdgeRecord, LaneRecord
from parity.setting import Environment, Fact
from parity.signature import Signature
from parity.store import Run, load_run
from parity.verdicts import Outcome, Verdict
from suites.gate_runs import CELLS, LANES, edges, lanes, parted, with_edges, written
from suites.plain_records import EDGE, ENVIRONMENT, lane, manifest, pair

MOVED_CODES = ("0123456789abcdef", "00000000000000fe")


@pytest.fixture
def baseline(tmp_path: Path) -> Run:
    return written(tmp_path / "baseline")


def held(baseline: Run, **candidate: Any) -> Gate:
    """The gate of the baseline against a run that differs from it as told."""
    return gate(baseline, written(baseline.directory.with_name("candidate"), **candidate))


def test_a_refactor_that_moves_no_bit_is_parity(baseline: Run) -> None:
    found = held(baseline)
    assert found.code is ExitCode.PARITY
    assert (found.moves, found.changes, found.holes) == ((), (), ())
    assert found.sentence == "no bit moved in 6 lane records"


def test_bits_that_move_in_every_flow_alike_are_red_though_every_edge_is_identical(baseline: Run) -> None:
    moved = [
        lane(cell, name, digests=MOVED_CODES) if cell == "dtype:bf16" else lane(cell, name)
        for cell in CELLS
        for name in LANES
    ]
    found = held(baseline, lane_records=moved)
    assert found.code is ExitCode.DIVERGED
    assert [(move.stage, move.lane, move.cells) for move in found.moves] == [
        ("weight.codes", name, ("dtype:bf16",)) for name in LANES
    ]
    assert found.changes == ()
    assert found.sentence == "bits moved first at weight.codes, in 2 of 6 lane records"


def test_a_divergence_is_followed_from_run_to_run(tmp_path: Path) -> None:
    before = written(
        tmp_path / "before",
        edge_records=with_edges(parted("default"), parted("dtype:bf16"), parted("dtype:fp16", "output")),
    )
    found = gate(
        before,
        written(
            tmp_path / "after",
            edge_records=with_edges(parted("default", ulp=4), parted("dtype:fp16", "weight.scale")),
        ),
    )
    assert [(change.kind, change.cell, change.red) for change in found.changes] == [
        (Kind.EARLIER, "dtype:fp16", 1),
        (Kind.WORSENED, "default", 1),
        (Kind.FIXED, "dtype:bf16", 0),
    ]
    assert found.code is ExitCode.DIVERGED


def part(stage: str, ulp: str = "1", count: str = "<1%", cause: str = "") -> str:
    return str(Signature(edge=EDGE, first_stage=stage, cause=cause, ulp_class=ulp, count_class=count))


CODES = part("weight.codes")


@pytest.mark.parametrize(
    ("before", "after", "verdict", "kind"),
    [
        (None, CODES, Verdict.DIVERGED, Kind.NEW),
        ("", CODES, Verdict.DIVERGED, Kind.NEW),
        (CODES, CODES, Verdict.KNOWN, Kind.UNCHANGED),
        (CODES, part("weight.codes", cause="code_division"), Verdict.DIVERGED, Kind.UNCHANGED),
        (CODES, part("weight.scale"), Verdict.DIVERGED, Kind.EARLIER),
        (CODES, part("raise", "-", "-"), Verdict.DIVERGED, Kind.EARLIER),
        (part("raise", "-", "-"), CODES, Verdict.DIVERGED, Kind.IMPROVED),
        (CODES, part("output"), Verdict.DIVERGED, Kind.IMPROVED),
        (CODES, part("weight.codes", ulp="8-127"), Verdict.DIVERGED, Kind.WORSENED),
        (CODES, part("weight.codes", ulp="0", count="most"), Verdict.DIVERGED, Kind.WORSENED),
        (CODES, part("weight.codes", ulp="0"), Verdict.DIVERGED, Kind.IMPROVED),
        (CODES, "", Verdict.IDENTICAL, Kind.FIXED),
        (CODES, "", Verdict.FIXED, Kind.FIXED),
        (CODES, "", Verdict.UNRUN, None),
        (CODES, "", Verdict.CRASHED, None),
        ("", "", Verdict.IDENTICAL, None),
    ],
)
def test_kinds_of_change(before: str | None, after: str, verdict: Verdict, kind: Kind | None) -> None:
    assert kind_of(before, after, verdict) is kind


def test_known_divergences_are_not_red_and_fixed_ones_must_leave_the_ledger(tmp_path: Path) -> None:
    known = replace(parted("default"), verdict=Verdict.KNOWN, ledger="some-row")
    fixed = replace(pair("dtype:bf16", Verdict.FIXED), ledger="other-row")
    before = written(tmp_path / "before", edge_records=with_edges(parted("dtype:bf16")))
    found = gate(before, written(tmp_path / "after", edge_records=with_edges(known, fixed)))
    assert [(change.kind, change.red, change.rows) for change in found.changes] == [
        (Kind.NEW, 0, ("some-row",)),
        (Kind.FIXED, 0, ("other-row",)),
    ]
    assert found.code is ExitCode.LEDGER_STALE
    assert "the ledger must shrink" in found.sentence


def test_what_is_not_the_same_twice_never_passes_for_equal(baseline: Run) -> None:
    found = held(baseline, edge_records=with_edges(pair("default", Verdict.NONDETERMINISTIC)))
    assert found.code is ExitCode.DIVERGED
    assert [change.kind for change in found.changes] == [Kind.NEW]


def test_cells_that_are_new_or_gone_are_counted(tmp_path: Path) -> None:
    before = written(tmp_path / "before", edge_records=edges(CELLS[:2]), lane_records=lanes(CELLS[:2]))
    found = gate(before, written(tmp_path / "after", edge_records=edges(CELLS[1:]), lane_records=lanes(CELLS[1:])))
    assert (found.cells.common, found.cells.new, found.cells.gone) == (1, 1, 1)
    assert found.code is ExitCode.PARITY


def test_a_new_cell_that_diverges_is_red(tmp_path: Path) -> None:
    before = written(tmp_path / "before", edge_records=edges(CELLS[:2]), lane_records=lanes(CELLS[:2]))
    found = gate(before, written(tmp_path / "after", edge_records=with_edges(parted(CELLS[2]))))
    assert found.code is ExitCode.DIVERGED


def test_an_accepted_move_answers_for_itself_and_for_no_other(tmp_path: Path) -> None:
    before = written(tmp_path / "before")
    moved = [lane(cell, LANES[0], digests=MOVED_CODES) if cell == CELLS[1] else lane(cell) for cell in CELLS]
    after = written(tmp_path / "after", lane_records=moved)
    (move,) = gate(before, after).moves
    today = date(2026, 1, 31)
    row = Accepted(
        lane=move.lane,
        stage=move.stage,
        cells=1,
        digest=move.digest,
        reason="r",
        owner="o",
        link="",
        date=today,
        expires=today,
    )
    found = gate(before, after, accepted=[row])
    assert (found.code, found.moves, found.accepted) == (ExitCode.PARITY, (), (move,))
    assert found.sentence == "no bit moved in 3 lane records; 1 moved as accepted"
    assert gate(before, after, accepted=[replace(row, digest="0" * 16)]).code is ExitCode.DIVERGED


# --- fails closed ---------------------------------------------------------------------------------------------------


def elsewhere(**facts: Fact) -> Environment:
    return replace(ENVIRONMENT, setting={**ENVIRONMENT.setting, **facts})


def test_a_run_is_not_held_against_itself(baseline: Run) -> None:
    with pytest.raises(IncomparableError, match="are one run"):
        gate(baseline, baseline)


def test_unlike_settings_are_refused(baseline: Run) -> None:
    with pytest.raises(IncomparableError, match="threads is 1 in the first run and 8 in the second"):
        held(baseline, environment=elsewhere(threads=8))


def test_a_second_subject_that_differs_is_refused(tmp_path: Path) -> None:
    def with_torchao(version: str, commit: str = "1a") -> Environment:
        return replace(ENVIRONMENT, subject={"engine_commit": commit, "torchao": version})

    old = written(tmp_path / "old", environment=with_torchao("0.13.0"))
    new = written(tmp_path / "new", environment=with_torchao("0.18.0"))
    both = written(tmp_path / "both", environment=with_torchao("0.18.0", "2b"))
    assert gate(old, new, subject="torchao").code is ExitCode.PARITY
    with pytest.raises(IncomparableError, match=r"torchao is '0\.13\.0' in the first run"):
        gate(old, new)
    with pytest.raises(IncomparableError, match="engine_commit is '1a' in the first run"):
        gate(old, both, subject="torchao")
    with pytest.raises(
        IncomparableError, match="neither run has a subject 'brevitas'; their subjects are engine, torchao"
    ):
        gate(old, new, subject="brevitas")
    absent = written(
        tmp_path / "absent", environment=replace(ENVIRONMENT, subject={"engine_commit": "1a", "torchao": None})
    )
    with pytest.raises(IncomparableError, match="the baseline was made without torchao"):
        gate(absent, new, subject="torchao")


def hole(baseline: Run, **candidate: Any) -> str:
    found = held(baseline, **candidate)
    assert found.code is ExitCode.INCOMPLETE
    return " / ".join(found.holes)


def test_an_unfinished_run_is_incomplete(baseline: Run) -> None:
    assert "the candidate" in hole(baseline, status=RunStatus.INTERRUPTED)


def test_an_unfinished_baseline_is_incomplete(tmp_path: Path) -> None:
    before = written(tmp_path / "before", status=RunStatus.INCOMPLETE)
    assert "the baseline" in hole(before)


def test_no_cell_is_incomplete(tmp_path: Path) -> None:
    empty = manifest((), ())
    before = written(tmp_path / "before", plan=empty, lane_records=[], edge_records=[])
    told = hole(before, plan=empty, lane_records=[], edge_records=[])
    assert "planned no cell" in told
    assert "nothing was compared" in told


def test_no_common_cell_is_incomplete(tmp_path: Path) -> None:
    before = written(tmp_path / "before", edge_records=edges(CELLS[:1]), lane_records=lanes(CELLS[:1]))
    assert "nothing was compared" in hole(before, edge_records=edges(CELLS[1:]), lane_records=lanes(CELLS[1:]))


def test_a_lost_pair_is_incomplete(baseline: Run) -> None:
    assert "3 pairs were planned and 2 have a verdict" in hole(baseline, plan=manifest(CELLS), edge_records=edges()[:2])


@pytest.mark.parametrize("verdict", [Verdict.CRASHED, Verdict.TIMEOUT])
def test_a_crash_is_incomplete(baseline: Run, verdict: Verdict) -> None:
    crashed = [
        replace(record, outcome=Outcome(verdict.value)) if record.cell == "default" else record for record in lanes()
    ]
    told = hole(baseline, lane_records=crashed, edge_records=with_edges(pair("default", verdict)))
    assert f"candidate: 1 pair {verdict}" in told


def test_a_lane_that_no_longer_runs_is_incomplete_with_its_reason(baseline: Run) -> None:
    records: list[LaneRecord] = [
        lane(cell, name, Outcome.UNRUN, "torchao is not installed") if name == LANES[1] else lane(cell, name)
        for cell in CELLS
        for name in LANES
    ]
    unrun: list[EdgeRecord] = [pair(cell, Verdict.UNRUN) for cell in CELLS]
    assert hole(baseline, lane_records=records, edge_records=unrun) == (
        "engine:qat_convert ran in 3 cells of the baseline and did not in the candidate: torchao is not installed"
    )


def test_a_record_file_that_is_lost_is_incomplete(baseline: Run, tmp_path: Path) -> None:
    torn = written(tmp_path / "torn").directory
    path = next((torn / "records").glob("edges-*"))
    path.write_bytes(path.read_bytes()[:-9])
    found = gate(baseline, load_run(torn))
    assert found.code is ExitCode.INCOMPLETE
    assert any("cannot be read" in sentence for sentence in found.holes)
