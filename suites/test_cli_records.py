"""`parity report`, `diff` and `replay`: what is read from a run, and what is made again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from parity.store import load_run
from suites.cli_runs import ENGINE, FEW, facts, own_folder, planted_defect, refused, told


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> Iterator[None]:
    with own_folder(tmp_path):
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory."""
    out = tmp_path_factory.mktemp("cli") / "finished"
    told("run", *FEW, "--out", out)
    return out


def test_report_renders_the_newest_run_where_it_is_told_to(finished: Path) -> None:
    (Path.cwd() / "runs").symlink_to(finished.parent)
    assert told("report", "-o", "page.html").splitlines() == ["0 new divergences", "page.html"]
    assert Path("page.html").read_text().startswith("<!")
    assert facts("report", finished)["report"] == str(finished / "report.html")


@pytest.mark.parametrize("command", ["report", "diff"])
def test_a_folder_without_a_run_is_told(command: str) -> None:
    Path("empty").mkdir()
    assert "empty is no run directory: it has no manifest.json." in refused(command, "empty")
    assert "runs holds no run" in refused("report")


def test_a_record_file_that_is_lost_makes_a_report_incomplete(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, "torn")
    torn = sorted(Path("torn/records").glob("edges-*"))[0]
    torn.write_bytes(torn.read_bytes()[:-9])
    assert "1 record file unreadable" in told("report", "torn", code=3)
    assert "cannot be read, so its records are lost" in refused("diff", "torn", finished, code=3)


def test_diff_of_equal_runs_is_0_and_of_moved_bits_1(finished: Path) -> None:
    told("run", *FEW, "--out", "again")
    assert told("diff", finished, "again").startswith("0 of ")
    Path("none.toml").write_text("")
    with planted_defect():
        told("run", *FEW, "--out", "moved", "--ledger", "none.toml", code=1)
    said = facts("diff", finished, "moved", code=1)
    assert {(moved["lane"], moved["stage"]) for moved in said["moved"]} == {("engine:qat_convert", "weight.codes")}


def test_diff_demands_equal_settings(finished: Path) -> None:
    shutil.copytree(finished, "elsewhere")
    manifest = Path("elsewhere/manifest.json")
    changed = json.loads(manifest.read_text())
    changed["environment"]["setting"]["torch"] = "1.0"
    manifest.write_text(json.dumps(changed))
    assert "torch is " in refused("diff", finished, "elsewhere")
    assert "setting: torch is " in told("diff", finished, "elsewhere", "--unlike-settings")


# --- replay -------------------------------------------------------------------------------------------------------


def test_replay_gives_the_digests_of_the_run(finished: Path) -> None:
    cell = next(iter(load_run(finished).lanes)).cell
    said = facts("replay", cell, "--run", finished, "--lanes", ENGINE)
    assert said["held"]["same"] == ["engine:ptq", "engine:qat_convert", "engine:qat_prepare"]
    assert said["held"]["moved"] == []
    recorded = {lane.lane: lane for lane in load_run(finished).lanes if lane.cell == cell}
    for lane in said["lanes"]:
        assert [stage["digest"] for stage in lane["stages"]] == [s.digest for s in recorded[lane["lane"]].stages]
    text = told("replay", cell, "--run", finished, "--lanes", ENGINE)
    assert text.startswith(f"cell {cell}\n")
    assert f"all 3 lanes have the same bits as in {finished}" in text
    assert all(stage["digest"] in text for stage in said["lanes"][0]["stages"])


def test_replay_shows_where_lanes_part_and_what_moved(finished: Path) -> None:
    cell = next(iter(load_run(finished).lanes)).cell
    with planted_defect():
        text = told("replay", cell, "--run", finished, "--lanes", ENGINE, code=1)
    assert "engine:ptq~engine:qat_convert          diverged" in text
    assert "weight.codes[2, 5] is " in text
    assert "moved: engine:qat_convert at weight.codes" in text


def test_replay_of_what_is_no_cell_or_not_in_the_run(finished: Path) -> None:
    assert "there is no axis 'dtyp'" in refused("replay", "dtyp:bf16")
    assert "is not how the cell is written; write 'dtype:bf16,case:1'" in refused("replay", "case:1,dtype:bf16")
    assert "has no record of the cell 'default'" in refused("replay", "default", "--run", finished)
    assert "no declared edge of the cell" in refused("replay", "default", "--lanes", "engine:ptq")
    assert "name its file with --weights" in refused("replay", "layer:encoder.0")
