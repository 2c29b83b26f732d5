"""Directed inputs show every bug of the past, random fp32 ones few: the table in a run, on a page, by a command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from parity.cli.app import app
from parity.detection import FILE_NAME, Detection, Tried, read_detections, write_detections
from parity.history import PUBLISHED, HistoryCase
from parity.history.detect import detect, detections
from parity.history.schemes import FP32, int4_weight
from parity.whole_file import StoreError
from reports.render import write_report
from suites.plain_records import pair
from suites.report_runs import HOSTILE, Elements, write

ROW = Detection(
    case="C9",
    origin="somebody#1",
    told="a bug",
    random_fp32=Tried(tried=2, found=0),
    random_16_bit=Tried(tried=0, found=0),
    directed=Tried(tried=2, found=2),
    stage="weight.scale",
    sentence="weight.scale first; explained by scheme.eps: 2**-23 against 2**-7",
    as_known=True,
)


# --- what the table holds -----------------------------------------------------------------------------------------


def test_directed_inputs_show_all_and_random_fp32_at_most_a_third() -> None:
    found = tuple(detections(PUBLISHED))
    assert [each.case for each in found] == [case.name for case in PUBLISHED]
    assert not [each.case for each in found if each.directed.found < each.directed.tried]
    assert not [each.case for each in found if not each.as_known]
    assert 3 * sum(each.random_fp32.detects for each in found) <= len(found)
    assert any(each.random_16_bit.detects > each.random_fp32.detects for each in found)


def test_a_case_that_nothing_shows_is_not_as_known() -> None:
    """Two lanes that never part: the table may not call them found."""
    case = HistoryCase(
        name="none",
        origin="",
        told="",
        dtype=FP32,
        scheme=int4_weight(),
        weight={"operand_dtype": "float32"},  # idle in fp32
        first_stage="weight.dequantized",
    )
    found = detect(case)
    assert (found.directed.found, found.random_fp32.found, found.as_known) == (0, 0, False)


def test_a_wrong_expectation_is_not_as_known() -> None:
    assert not detect(replace(PUBLISHED[0], first_stage="weight.scale")).as_known


# --- the file -----------------------------------------------------------------------------------------------------


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    assert read_detections(tmp_path) == ()
    write_detections(tmp_path, [ROW, replace(ROW, case="C10")])
    assert read_detections(tmp_path) == (ROW, replace(ROW, case="C10"))


@pytest.mark.parametrize("text", ["", "{}", '{"schema": 2, "rows": []}', '{"schema": 1, "rows": [{"case": "C1"}]}'])
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(StoreError, match=FILE_NAME):
        read_detections(tmp_path)


# --- the page -----------------------------------------------------------------------------------------------------


def test_page_and_twin_show_each_row_as_text(tmp_path: Path) -> None:
    run = write(tmp_path / "run", [pair("default")])
    rows = [replace(ROW, case=text, origin=text, told=text, sentence=text) for text in HOSTILE]
    write_detections(run, [ROW, *rows])
    text = write_report(run).read_text()
    shown = Elements(text).text
    assert "Of 8 bugs of the past directed inputs show 8, random 16-bit ones 0, random fp32 ones 0" in shown
    for said in (ROW.case, ROW.origin, ROW.sentence, *HOSTILE):
        assert " ".join(said.split()) in " ".join(shown.split())
    assert "<img src=x" not in text
    assert [row["case"] for row in json.loads((run / "report.json").read_text())["detections"]] == ["C9", *HOSTILE]


def test_page_of_a_run_without_the_table_has_no_section(tmp_path: Path) -> None:
    run = write(tmp_path / "run", [pair("default")])
    assert "Bugs of the past" not in write_report(run).read_text()
    (run / FILE_NAME).write_text("{")
    assert f"{FILE_NAME} cannot be read" in write_report(run).read_text()


# --- the command --------------------------------------------------------------------------------------------------


def test_command_prints_the_table_and_writes_it_into_a_run(tmp_path: Path) -> None:
    run = write(tmp_path / "run", [pair("default")])
    done = CliRunner().invoke(app, ["history", "C3b", "--run", str(run)], prog_name="parity")
    assert done.exit_code == 0, done.stderr
    assert "weight.dequantized first; explained by rescale_dtype: promoted against output" in done.stdout
    (row,) = read_detections(run)
    assert (row.case, row.random_fp32.detects, row.directed.detects) == ("C3b-scale-cast-first", False, True)


def test_command_refuses_a_name_there_is_not() -> None:
    done = CliRunner().invoke(app, ["history", "C9"], prog_name="parity")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "no bug's name begins with C9" in done.stderr
