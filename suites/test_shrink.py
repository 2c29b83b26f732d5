"""parity.shrink leaves what parts two lanes and nothing else, with a script that shows it by itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import parity
from parity.cli.app import app
from parity.found import read_found
from parity.verdicts import Verdict
from suites.plain_records import pair
from suites.report_runs import diverged, write

HOUSE = Path(__file__).resolve().parent.parent
EDGE = "engine:ptq~engine.torchao:ptq"


def test_one_value_is_left_and_its_script_shows_the_divergence(tmp_path: Path) -> None:
    """Axes that do not matter are gone; the lanes differ in one code, and agree one step beside its value."""
    found = parity.shrink("preset:intx_weight_only,bias:no", EDGE)
    assert (found.cell, found.stage) == ("preset:intx_weight_only", "weight.codes")
    [row] = found.values
    assert [float.fromhex(value) != 0 for value in row].count(True) == 1
    assert found.passing is not None
    assert float.fromhex(found.passing) != float.fromhex(row[found.at[1]])
    script = tmp_path / "shows_it.py"
    script.write_text(found.script)
    ran = subprocess.run([sys.executable, str(script)], cwd=HOUSE, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    a, b = (line.partition(" weight.codes ") for line in ran.stdout.splitlines())
    assert (a[0], b[0]) == ("engine:ptq", "engine.torchao:ptq")
    assert a[2] != b[2]


def test_an_input_is_shrunk_to_the_columns_it_needs() -> None:
    found = parity.shrink("default", EDGE)
    assert found.stage == "input.codes"
    [row] = found.values
    assert len(row) == 32  # the weight's groups need as many
    assert 0 < [float.fromhex(value) != 0 for value in row].count(True) <= 3
    assert "x[0, " in found.script


def test_what_is_left_is_kept_as_a_found_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []
    monkeypatch.setattr("parity.cli.shrink.add_found", kept.append)
    arguments = ["shrink", "preset:intx_weight_only,bias:no", "--edge", EDGE, "--keep", "it differed"]
    done = CliRunner().invoke(app, [*arguments, "-o", str(tmp_path / "it.py")], prog_name="parity")
    assert done.exit_code == 0, done.stderr
    assert "part at weight.codes on preset:intx_weight_only" in done.stdout
    assert [(row.cell, row.told) for row in kept] == [("preset:intx_weight_only", "it differed")]
    assert (tmp_path / "it.py").read_text() in done.stdout
    assert read_found()  # the committed table is as it was: a list took the row


def test_a_run_names_its_most_frequent_new_divergence(tmp_path: Path) -> None:
    plain = "preset:intx_weight_only,bias:no"
    run = write(tmp_path / "run", [diverged(plain, edge=EDGE)])
    done = CliRunner().invoke(app, ["shrink", "--run", str(run), "--json"], prog_name="parity")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["cell"], found["edge"], found["stage"]) == ("preset:intx_weight_only", EDGE, "weight.codes")
    for arguments, said in (
        ([plain], "name a CELL with --edge LANE~LANE, or neither"),
        (["--run", str(write(tmp_path / "equal", [pair(plain, Verdict.IDENTICAL, EDGE)]))], "holds no new divergence"),
    ):
        done = CliRunner().invoke(app, ["shrink", *arguments], prog_name="parity")
        assert (done.exit_code, done.stdout) == (2, "")
        assert said in done.stderr


def test_lanes_that_agree_are_refused() -> None:
    with pytest.raises(ValueError, match="have equal bits at every stage"):
        parity.shrink("dtype:bf16", "engine:ptq~engine:qat_convert")
