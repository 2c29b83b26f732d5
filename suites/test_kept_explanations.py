"""What a run keeps of an explanation: read as it was written, in the page's data and its twin, shown on the cell."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from parity.kept_explanation import KeptExplanation, read_explanations, write_explanation
from parity.whole_file import StoreError
from reports.detail import detailed_cells
from reports.render import write_report
from suites.chromium import chromium, opened
from suites.plain_records import EDGE
from suites.report_runs import data_of, diverged, explanation, write


@pytest.fixture
def kept() -> KeptExplanation:
    """With every field filled in."""
    return explanation("dtype:bf16")


def test_what_is_written_is_read(tmp_path: Path, kept: KeptExplanation) -> None:
    plain = replace(explanation("default"), tie=None, judged=())
    for each in (kept, plain):
        write_explanation(tmp_path, each)
    assert read_explanations(tmp_path) == (plain, kept)
    assert read_explanations(tmp_path / "none") == ()


@pytest.mark.parametrize("broken", ["{", "[]", '{"schema": 2}', '{"schema": 1}'])
def test_a_file_that_is_none_is_told(tmp_path: Path, kept: KeptExplanation, broken: str) -> None:
    path = write_explanation(tmp_path, kept)
    path.write_text(broken)
    with pytest.raises(StoreError, match="is no explanation"):
        read_explanations(tmp_path)


def explained_run(directory: Path, kept: KeptExplanation) -> Path:
    """Two cells of one signature, of which the second is explained."""
    run = write(directory, [diverged("default", cause="c"), diverged("dtype:bf16", cause="c")])
    write_explanation(run, kept)
    return run


def test_the_page_and_its_twin_hold_it(tmp_path: Path, kept: KeptExplanation) -> None:
    page = write_report(explained_run(tmp_path / "run", kept))
    twin = json.loads(page.with_suffix(".json").read_text())
    assert twin["explanations"] == json.loads(json.dumps([kept.to_json()]))
    facts, _ = data_of(page.read_text())
    (signature,) = {row["signature"] for row in twin["mismatches"]}
    assert facts["explained"] == {signature: ["dtype:bf16", EDGE]}


def test_a_run_whose_explanation_is_spoiled_still_has_a_page(tmp_path: Path, kept: KeptExplanation) -> None:
    run = explained_run(tmp_path / "run", kept)
    write_explanation(run, kept).write_text("{")
    page = write_report(run)
    assert "is no explanation" in page.read_text()
    assert data_of(page.read_text())[0]["explained"] == {}


def test_an_explained_cell_has_every_stage_whatever_the_others_are(
    tmp_path: Path, kept: KeptExplanation, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = explained_run(tmp_path / "run", kept)
    monkeypatch.setattr(detailed_cells, "__defaults__", ((), 1))
    facts, _ = data_of(write_report(run).read_text())
    assert facts["detailed"] == [1]


@pytest.mark.browser
def test_the_cell_shows_cause_transplant_oracle_and_tie(tmp_path: Path, kept: KeptExplanation) -> None:
    page_file = write_report(explained_run(tmp_path / "run", kept))
    with chromium() as browser:
        page = opened(browser.new_page(), page_file, f"#cell=default&edge={EDGE}")
        page.click("text=Explained on a cell of the same signature >> a")
        page.wait_for_selector(".explained")
        reasons = page.locator(".reasons dd").all_inner_texts()
        a, b = EDGE.split("~")
        assert reasons == [
            kept.explanation.sentence,
            "Given lane A's weight.codes, lane B makes A's bits again at weight.dequantized, output: "
            "what differs there was inherited.",
            f"{a} is as it declares: weight.codes: every element is as declared",
            f"{b} is not what it declares: weight.codes[0, 3] is 0xf9, but 0xf8 is declared",
        ]
        assert page.locator(".number-line .tick").all_inner_texts() == ["-8", "-7"]
        marks = (".side-a", ".side-b", ".tie-mark")
        middle = "node => { const { left, width } = node.getBoundingClientRect(); return left + width / 2; }"
        a_at, b_at, tie_at = (page.locator(f".number-line {mark}").evaluate(middle) for mark in marks)
        assert a_at == pytest.approx(tie_at, abs=1)
        assert b_at > a_at
        page.click("text=A script that shows it")
        assert kept.small is not None
        assert page.inner_text(".script").strip() == kept.small.script.strip()
        assert "0.938 ulp from the tie -7.5" in page.inner_text(".tie-said")
