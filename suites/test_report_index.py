"""The dashboard: nights in order, signatures born, died and moved, and an appended night that reads no other anew."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import reports.index
from parity.manifest import Manifest
from parity.record import EdgeRecord
from parity.store import Run
from reports.index import Index, write_index
from reports.night import Night
from reports.trend import trend
from suites.axe import grave_violations
from suites.chromium import chromium, opened
from suites.cli_runs import facts, own_folder, refused, told
from suites.gate_runs import CELLS, parted, with_edges, written
from suites.plain_records import ENVIRONMENT, lane, manifest
from suites.report_runs import HOSTILE, hostile_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MOVED_CODES = ("0123456789abcdef", "00000000000000fe")


def planned(day: int, cells: tuple[str, ...] = CELLS) -> Manifest:
    return replace(manifest(cells), started=f"2026-01-{day:02}T02:00:00+00:00")


def run_of(root: Path, day: int, *diverging: EdgeRecord, moved: bool = False) -> Run:
    """The run of one night."""
    lanes = [lane(cell, digests=MOVED_CODES) if moved else lane(cell) for cell in CELLS]
    return written(root / f"night-{day}", edge_records=with_edges(*diverging), plan=planned(day), lane_records=lanes)


def three_nights(root: Path) -> None:
    """One divergence moves to an earlier stage, one is born on the last night."""
    run_of(root, 1, parted("default", "output"))
    run_of(root, 2, parted("default", "weight.codes"), moved=True)
    run_of(root, 3, parted("default", "weight.codes"), parted("dtype:bf16", "weight.scale", ulp=9), moved=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    three_nights(tmp_path)
    return tmp_path


def opens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of runs that are opened from here on."""
    seen: list[str] = []
    honest = reports.index.load_run

    def counted(directory: Path) -> Run:
        seen.append(directory.name)
        return honest(directory)

    monkeypatch.setattr(reports.index, "load_run", counted)
    return seen


def test_signatures_are_born_die_and_move(root: Path) -> None:
    made = write_index(root)
    lives = {life.parts.first_stage: life for life in trend(made.nights)}
    assert {stage: (life.born, life.died, life.moved) for stage, life in lives.items()} == {
        "output": (0, 1, ""),
        "weight.codes": (1, None, "output"),
        "weight.scale": (2, None, ""),
    }
    assert lives["weight.codes"].pairs == (0, 1, 1)


def test_an_appended_night_opens_itself_and_the_one_before_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_index(root)
    seen = opens(monkeypatch)
    assert write_index(root).read == ()
    assert seen == []
    run_of(root, 4)
    assert write_index(root).read == ("night-4",)
    assert sorted(seen) == ["night-3", "night-4"]


def test_an_index_grown_night_by_night_is_the_one_made_at_once(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    grown = tmp_path_factory.mktemp("grown")
    for name in ("night-1", "night-2", "night-3"):
        shutil.copytree(root / name, grown / name)
        write_index(grown)
    write_index(root)
    assert pages(grown) == pages(root)


def pages(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in (root / "index.html", *(root / "nights").iterdir())
    }


def test_a_run_that_changed_is_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = write_index(root)
    shutil.rmtree(root / "night-2")
    run_of(root, 2)
    seen = opens(monkeypatch)
    after = write_index(root)
    assert after.read == ("night-2",)
    assert set(seen) == {"night-1", "night-2", "night-3"}, "the pages of this night and of the next compare it"
    assert after.nights[1].signatures == {}
    assert before.nights[1].signatures != {}


def test_nights_are_kept_as_they_were_read(root: Path) -> None:
    for each in write_index(root).nights:
        assert Night.from_json((root / "nights" / f"{each.name}.json").read_text()) == each
    (root / "nights" / "night-1.json").write_text("{}")
    assert write_index(root).read == ("night-1",)


def test_bits_of_a_night_move_with_any_digest_of_any_cell(root: Path) -> None:
    one, two, three = write_index(root).nights
    assert two.bits == three.bits
    assert {key for key in one.bits if one.bits[key] != two.bits[key]} == {"engine:ptq|weight.codes"}


def test_a_run_that_cannot_be_read_is_named_and_makes_the_dashboard_incomplete(root: Path) -> None:
    (root / "broken").mkdir()
    (root / "broken" / "manifest.json").write_text("{}")
    with own_folder(root.parent):
        assert "it names no schema" in refused("report", "--index", root, code=3)
    assert "it names no schema" in (root / "index.html").read_text()


def test_the_command_says_where_it_is_and_what_it_read(root: Path) -> None:
    with own_folder(root.parent):
        assert told("report", "--index", root).startswith("3 nights, 3 of them read now; the last: 2 new divergences")
        said = facts("report", "--index", root)
        assert [night["status"] for night in said["nights"]] == ["diverged"] * 3
        assert said["signatures"][0]["born"] == "night-3"
        assert "goes with no run" in refused("report", "--index", root, "night-1")
        assert "holds no run that can be read" in refused("report", "--index", "none")


def test_a_nights_page_says_what_became_of_each_divergence(root: Path) -> None:
    write_index(root)
    first, second, third = ((root / "nights" / f"night-{day}.html").read_text() for day in (1, 2, 3))
    assert "The first night" in first
    assert "1 moved earlier (1 pairs)" in second
    assert "1 new (1 pairs); 1 unchanged (1 pairs)" in " ".join(third.split())
    assert "Setting and subject are equal." in third


# --- in a browser ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Index:
    root = tmp_path_factory.mktemp("nights")
    three_nights(root)
    elsewhere = replace(ENVIRONMENT, setting={**ENVIRONMENT.setting, "threads": 2})
    written(root / "night-4", plan=planned(4), environment=elsewhere)
    hostile_run(root / "hostile")
    return write_index(root)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.mark.browser
def test_any_two_nights_are_compared_in_the_page(shown: Index, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    unwanted: list[str] = []
    page.on("pageerror", lambda error: unwanted.append(str(error)))
    page.on("console", lambda message: message.type in ("error", "warning") and unwanted.append(message.text))
    page.on("dialog", lambda dialog: (unwanted.append(dialog.message), dialog.dismiss()))
    opened(page, shown.path, "#before=night-1&after=night-3")
    assert page.inner_text("#compared .verdict") == "1 new; 1 moved earlier"
    assert "Bits moved: engine:ptq at weight.codes." in page.inner_text("#compared")
    assert "Setting and subject are equal." in page.inner_text("#compared")
    page.select_option("#before", "night-3")
    page.select_option("#after", "night-4")
    assert "before=night-3&after=night-4" in page.url
    assert page.inner_text("#compared .verdict") == "2 fixed"
    assert "threads is 1 in the first and 2 in the second" in page.inner_text("#compared")
    page.go_back()
    page.click("#theme")
    assert page.inner_text("#theme") == "light"
    page.select_option("#before", "hostile")
    assert "other cells" in page.inner_text("#compared")
    assert page.evaluate("() => document.querySelectorAll('img, iframe').length") == 0
    page.click(".calendar a >> nth=1")
    page.wait_for_selector("#changes-title")
    page.click("text=all nights")
    page.wait_for_selector(".calendar")
    assert unwanted == []


@pytest.mark.browser
def test_without_javascript_nights_trend_and_signatures_are_there(shown: Index, browser: Browser) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(shown.path.resolve().as_uri())
    assert page.locator(".calendar a").count() == 5
    assert page.locator("#signatures tbody tr").count() >= 3
    assert page.locator(".trend rect").count() == 10
    assert page.locator("#compare").is_hidden()


@pytest.mark.browser
def test_axe_finds_nothing_serious_on_the_dashboard(shown: Index, browser: Browser) -> None:
    page = browser.new_page()
    for path in (shown.path, shown.path.parent / "nights" / "night-2.html"):
        opened(page, path)
        assert grave_violations(page) == []


def test_hostile_text_is_escaped_in_every_page(shown: Index) -> None:
    for path in (shown.path, *(shown.path.parent / "nights").glob("*.html")):
        text = path.read_text()
        assert not any(f"{hostile}" in text for hostile in HOSTILE[:3]), path


def test_the_json_of_the_command_holds_every_life(root: Path) -> None:
    said = json.loads(reports.index.index_json(write_index(root)))
    assert [life["pairs"] for life in said["signatures"]] == [[0, 0, 1], [0, 1, 1], [1, 0, 0]]
