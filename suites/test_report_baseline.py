"""The page against a baseline: the gate's own numbers, runs of unlike settings shown and not compared, one sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from parity.explanation import cause_sentence
from parity.gate.gate import gate
from parity.gate.markdown import markdown
from parity.store import load_run
from reports.render import write_report
from suites.chromium import chromium, opened
from suites.cli_runs import own_folder, refused, told
from suites.gate_runs import CELLS, parted, with_edges, written
from suites.plain_records import EDGE, ENVIRONMENT, lane

MOVED_CODES = ("0123456789abcdef", "00000000000000fe")
CAUSE = "code_division: divide against reciprocal_multiply"


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """A run, and one in which a lane moved and its pair parts."""
    moved = [lane(cell, digests=MOVED_CODES) if cell == "dtype:bf16" else lane(cell) for cell in CELLS]
    before = written(tmp_path / "main", edge_records=with_edges(parted("dtype:fp16", "output")))
    after = written(tmp_path / "new", lane_records=moved, edge_records=with_edges(parted("dtype:bf16", cause=CAUSE)))
    return before.directory, after.directory


def test_the_page_and_its_twin_hold_the_gate(runs: tuple[Path, Path]) -> None:
    before, after = runs
    page = write_report(after, baseline=before)
    twin = json.loads(page.with_suffix(".json").read_text())
    found = gate(load_run(before), load_run(after))
    assert twin["baseline"] == {"sentence": found.sentence, "gate": json.loads(json.dumps(found.to_json()))}
    text = page.read_text()
    assert found.sentence in text
    assert "Against main" in text
    assert cause_sentence("weight.codes", CAUSE) in text


def test_a_page_without_a_baseline_says_nothing_of_one(runs: tuple[Path, Path]) -> None:
    page = write_report(runs[1])
    assert 'id="baseline"' not in page.read_text()
    assert "baseline" not in json.loads(page.with_suffix(".json").read_text())


def test_unlike_settings_are_shown_and_not_compared(runs: tuple[Path, Path], tmp_path: Path) -> None:
    elsewhere = replace(ENVIRONMENT, setting={**ENVIRONMENT.setting, "threads": 2})
    other = written(tmp_path / "other", environment=elsewhere).directory
    page = write_report(runs[1], baseline=other)
    assert "threads is 2 in the first run and 1 in the second" in page.read_text()
    assert json.loads(page.with_suffix(".json").read_text())["baseline"]["gate"] is None


def test_the_command_takes_a_baseline(runs: tuple[Path, Path]) -> None:
    before, after = runs
    with own_folder(before.parent):
        told("report", after, "--baseline", before, "-o", "page.html")
        assert "Against main" in Path("page.html").read_text()
        assert "is no run directory" in refused("report", after, "--baseline", "none")


@pytest.mark.browser
def test_a_ring_is_what_the_baseline_has_not(tmp_path: Path) -> None:
    """One pair diverges in both runs, one in the second alone: without a baseline both are new."""
    old, new = parted("dtype:fp16", "output"), parted("dtype:bf16")
    before = written(tmp_path / "main", edge_records=with_edges(old)).directory
    after = written(tmp_path / "new", edge_records=with_edges(old, new)).directory
    address = "#rows=dtype&columns=edge&facets=none"
    with chromium() as browser:
        page = browser.new_page()
        opened(page, write_report(after, tmp_path / "alone.html"), address)
        page.wait_for_selector(".heat td.ringed")
        assert page.locator(".heat td.ringed").count() == page.locator(".heat td.new").count() == 2
        opened(page, write_report(after, tmp_path / "held.html", baseline=before), address)
        page.wait_for_selector(".heat td.ringed")
        assert page.locator(".heat td.new").count() == 2
        assert page.locator(".heat tr:has(td.ringed) th").all_inner_texts() == ["bf16"]
        assert "new against main" in page.inner_text("#legend")
        page.fill("#query", "change:unchanged")
        assert page.inner_text("#count") == "1 finding"
        page.click(".list-body .list-row")
        page.wait_for_selector("#cell h2:text-is('dtype:fp16')")
        assert "Against main: unchanged." in page.inner_text(".edge-sentence")


@pytest.mark.browser
def test_page_markdown_and_explanation_say_one_sentence(runs: tuple[Path, Path]) -> None:
    before, after = runs
    sentence = cause_sentence("weight.codes", CAUSE)
    assert sentence in markdown(gate(load_run(before), load_run(after)))
    with chromium() as browser:
        page = browser.new_page()
        opened(page, write_report(after, baseline=before), f"#cell=dtype:bf16&edge={EDGE}")
        page.wait_for_selector("#cell h2")
        assert page.inner_text(".edge-sentence .cause") == sentence
        page.keyboard.press("Escape")
        page.click("#baseline td a >> nth=0")
        page.wait_for_selector("#cell h2:text-is('dtype:bf16')")
