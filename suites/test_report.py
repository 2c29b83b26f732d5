"""The page and its twin have the numbers of the records, and what is red is said."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.report_records import write_run
from parity.manifest import reconciliation
from parity.record import EdgeRecord
from parity.store import RunWriter, StoreError, load_run
from parity.verdicts import Outcome, Verdict
from reports.detail import MAX_CELLS, detailed_cells
from reports.load import NO_RECORD, VERDICTS, load
from reports.page import page
from reports.payload import inflate
from reports.render import html, write_report
from reports.summary import verdict_sentence
from suites.plain_records import EDGE, lane, manifest, pair
from suites.report_runs import Elements, data_of, diverged, unrun, write


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 cells of which 60 diverge in 5 ways, some refused and some unrun, and their report."""
    directory = tmp_path_factory.mktemp("runs") / "made-up"
    write_run(directory, cells=600, mismatching=60, signatures=5)
    write_report(directory)
    return directory


# --- page = twin = records ---------------------------------------------------------------------------------------


def test_page_columns_and_twin_have_the_numbers_of_the_records(made_up: Path) -> None:
    run = load_run(made_up)
    counts = reconciliation(run.manifest, run.judged())
    twin = json.loads((made_up / "report.json").read_text())
    facts, columns = data_of((made_up / "report.html").read_text())
    assert {Verdict(name): n for name, n in twin["verdicts"].items()} == counts.verdicts
    for i, edge in enumerate(counts.edges):
        assert facts["edges"][i] == twin["edges"][i]["edge"] == edge.edge
        shown = Counter(VERDICTS[code] for code in columns[f"verdict.{i}"] if code != NO_RECORD)
        assert shown == edge.verdicts
        assert twin["edges"][i]["verdicts"] == {verdict.value: n for verdict, n in edge.verdicts.items()}
        assert edge.planned == twin["edges"][i]["planned"] == sum(shown.values())


def test_every_finding_is_the_first_stage_of_its_record(made_up: Path) -> None:
    """The columns are picked out of nested Arrow arrays without decoding; here the records are decoded."""
    records = {
        (record.cell, record.edge): record for record in load_run(made_up).edges if record.first_stage is not None
    }
    twin = json.loads((made_up / "report.json").read_text())["mismatches"]
    facts, columns = data_of((made_up / "report.html").read_text())
    assert len(twin) == len(records) == len(columns["finding.cell"]) == 60
    for i, row in enumerate(twin):
        record = records[row["cell"], row["edge"]]
        assert record.first_stage is not None
        first = record.stages[record.first_stage]
        assert (row["verdict"], row["stage"]) == (record.verdict, record.first_stage)
        assert (row["n_different"], row["n_total"], row["max_ulp"]) == (first.n_different, first.n_total, first.max_ulp)
        assert (row["cause"], row["ledger"], row["signature"]) == (record.cause, record.ledger, record.signature)
        assert row["first_index"] == ",".join(map(str, first.first_index or ()))
        assert facts["stages"][columns["finding.stage"][i]] == record.first_stage
        assert (columns["finding.n_different"][i], columns["finding.max_ulp"][i]) == (first.n_different, first.max_ulp)


def test_verdict_counts_and_foremost_findings_stand_in_the_html_itself(made_up: Path) -> None:
    twin = json.loads((made_up / "report.json").read_text())
    text = Elements((made_up / "report.html").read_text()).text
    assert twin["sentence"] == verdict_sentence(load_run(made_up))
    assert twin["sentence"] in text
    assert f"{twin['verdicts']['identical']:,}" in text
    shown = page(load(made_up)).top
    assert len(shown) == 20
    assert len({found.signature for found in shown[:2]}) == 2, "new signatures come once each before any twice"
    for found in shown:
        assert found.cell in text


def test_details_hold_every_stage_of_the_chosen_cells(made_up: Path) -> None:
    told = json.loads(inflate(json.loads(Elements((made_up / "report.html").read_text()).scripts[1])))
    sheet = load(made_up)
    records = {(record.cell, record.edge): record for record in load_run(made_up).edges if record.stages}
    assert {sheet.cells[int(cell)] for cell in told} == {cell for cell, _ in records}
    for cell, detail in told.items():
        assert set(detail["lanes"]) == {lane for edge in sheet.edges for lane in edge.split("~")}
        for edge, shown in detail["edges"].items():
            record = records[sheet.cells[int(cell)], edge]
            assert [stage["stage"] for stage in shown["stages"]] == list(record.stages.names)
            for stage, diff in zip(shown["stages"], record.stages, strict=True):
                assert dict(stage["histogram"]) == {i: n for i, n in enumerate(diff.histogram) if n}
                worst = [(tuple(at), int(a, 16), int(b, 16), int(ulp)) for at, a, b, ulp in stage["worst"]]
                assert worst == [(e.index, e.bits_a, e.bits_b, e.ulp) for e in diff.worst]


def test_at_most_300_cells_are_detailed_and_every_signature_is_among_them(tmp_path: Path) -> None:
    edges = [diverged(f"case:{i}", cause="a=b/c" if i < 61 else f"rule_{i}=b/c") for i in range(1, 64)]
    sheet = load(write(tmp_path / "run", edges))
    chosen = [sheet.cells[cell] for cell in detailed_cells(sheet, limit=4)]
    assert chosen == ["case:1", "case:61", "case:62", "case:63"]
    assert MAX_CELLS == 300


# --- what is red is said -----------------------------------------------------------------------------------------


def test_lost_pairs_and_unreadable_files_are_red(tmp_path: Path) -> None:
    plan = manifest(("default", "dtype:bf16", "dtype:fp16"))
    run = write(tmp_path / "run", [pair("default")], plan=plan)
    (run / "records" / "edges-1.parquet").write_bytes(b"PAR1 cut off")
    written = write_report(run)
    text = Elements(written.read_text()).text
    assert json.loads(written.with_suffix(".json").read_text())["status"] == "incomplete"
    assert "0 new divergences; 2 pairs lost; 1 record file unreadable" in text
    assert f"{EDGE}: 3 pairs were planned and 1 have a verdict." in text
    assert "edges-1.parquet cannot be read, so its records are lost" in text


def test_pair_judged_twice_counts_once_and_is_red(tmp_path: Path) -> None:
    run = write(tmp_path / "run", [pair("default"), diverged("default")])
    twin = json.loads(write_report(run).with_suffix(".json").read_text())
    assert twin["status"] == "incomplete"
    assert (twin["edges"][0]["extra"], twin["verdicts"]["identical"], twin["mismatches"]) == (1, 1, [])


def test_cell_that_nobody_planned_is_shown_and_red(tmp_path: Path) -> None:
    run = write(tmp_path / "run", [pair("default"), diverged("dtype:bf16")], plan=manifest())
    shown = page(load(run))
    assert shown.status.name == "INCOMPLETE"
    assert [found.cell for found in shown.top] == ["dtype:bf16"]


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        ([pair()], "0 new divergences"),
        ([diverged()], "1 new divergence"),
        ([diverged(), replace(diverged("case:1"), verdict=Verdict.KNOWN, ledger="a")], "1 new divergence; 1 known"),
        ([replace(diverged(), verdict=Verdict.NONDETERMINISTIC)], "1 new divergence (1 not the same twice)"),
        (
            [pair(verdict=Verdict.FIXED), pair("case:1", Verdict.WITHIN)],
            "0 new divergences; 1 fixed; 1 within their bounds",
        ),
        ([pair(verdict=Verdict.CRASHED), pair("case:1", Verdict.TIMEOUT)], "0 new divergences; 1 crashed; 1 timed out"),
        ([unrun("default", "no cuda")], "0 new divergences; 1 pair unrun: no cuda"),
        (
            [unrun("default", "no cuda"), unrun("case:1", "no cuda"), unrun("case:2", "no xpu")],
            "0 new divergences; 3 pairs unrun: no cuda (2), no xpu (1)",
        ),
    ],
)
def test_verdict_sentence(tmp_path: Path, records: list[EdgeRecord], sentence: str) -> None:
    assert verdict_sentence(load_run(write(tmp_path / "run", records))) == sentence


def test_sentence_of_a_run_that_did_not_finish_and_of_an_empty_plan(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "cut", manifest())
    writer.write("0", [], [pair()])
    assert verdict_sentence(load_run(tmp_path / "cut")) == "0 new divergences; the run is incomplete"
    empty = write(tmp_path / "empty", [], plan=manifest((), ()))
    assert verdict_sentence(load_run(empty)) == "nothing was planned, so nothing is known"
    assert page(load(empty)).status.name == "INCOMPLETE"
    write_report(empty)


def test_no_run_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"is no run directory: it has no manifest\.json"):
        write_report(tmp_path)


def test_coverage_counts_a_cell_once_however_many_lanes_visited(tmp_path: Path) -> None:
    lanes = [
        replace(lane("default", "a:ptq"), coverage=(("ties", 3), ("eps_active", 0))),
        replace(lane("default", "b:ptq"), coverage=(("ties", 4),)),
        replace(lane("case:1", "a:ptq"), coverage=(("ties", 0), ("eps_active", 0))),
        lane("case:2", "a:ptq", Outcome.UNRUN),
    ]
    shown = page(load(write(tmp_path / "run", [pair(), pair("case:1"), pair("case:2")], lanes=lanes))).coverage
    assert (shown.ran, shown.blind) == (2, 1)
    assert [(visit.name, visit.cells, visit.visits) for visit in shown.visits] == [("eps_active", 0, 0), ("ties", 1, 4)]


def test_page_that_would_be_too_large_keeps_its_words_and_says_so(made_up: Path) -> None:
    text = html(page(load(made_up)), max_bytes=1000)
    elements = Elements(text)
    assert elements.scripts == []
    assert "The 600 cells would make this page too large" in elements.text
    assert page(load(made_up)).sentence in elements.text


# --- the size a nightly has --------------------------------------------------------------------------------------


@pytest.mark.nightly
@pytest.mark.slow
def test_100_000_cells_fit_into_3_megabytes(tmp_path: Path) -> None:
    """The time it takes is benchmarks' to tell: a shared machine cannot promise three seconds."""
    write_run(tmp_path / "run", cells=100_000, mismatching=10_000, signatures=200)
    written = write_report(tmp_path / "run")
    assert written.stat().st_size <= 3_000_000
    facts, columns = data_of(written.read_text())
    assert len(columns["finding.cell"]) == 10_000
    assert len(facts["detailed"]) == MAX_CELLS
    assert len(np.unique(columns["finding.signature"])) == 200
