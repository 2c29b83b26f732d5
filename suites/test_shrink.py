"""parity.shrink leaves what parts two lanes and nothing else, with a script that shows it by itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn
from typer.testing import CliRunner

import parity
from parity.backends.engine_subclass import EngineSubclassBackend
from parity.cli.app import app
from parity.found import read_found
from parity.lanes import Lane
from parity.shrink import Shrunk
from parity.verdicts import Verdict
from quant import QuantScheme
from suites.meta.defects import Change, weight_rules
from suites.plain_records import pair
from suites.report_runs import diverged, write

HOUSE = Path(__file__).resolve().parent.parent
EDGE = "engine:ptq~engine.torchao:ptq"


def test_one_value_is_left_and_its_script_shows_the_divergence(tmp_path: Path) -> None:
    """Axes that do not matter are gone; the lanes differ in one code, and agree one step beside its value."""
    found = parity.shrink("preset:intx_weight_only,bias:no", EDGE)
    assert (found.cell, found.stage) == ("preset:intx_weight_only", "weight.codes")
    [row] = found.operands["weight"]
    assert len(nonzero(found, "weight")) == 1
    assert nonzero(found, "x") == []
    assert "bias" not in found.operands
    assert found.moved == f"weight[0, {found.at[1]}]"
    assert found.passing is not None
    assert float.fromhex(found.passing) != float.fromhex(row[found.at[1]])
    a, b = shown(found, tmp_path)
    assert (a[0], b[0]) == ("engine:ptq", "engine.torchao:ptq")
    assert a[2] != b[2]


def test_an_input_is_shrunk_to_the_columns_it_needs() -> None:
    found = parity.shrink("default", EDGE)
    assert found.stage == "input.codes"
    [row] = found.operands["x"]
    assert len(row) == 32  # the weight's groups need as many
    assert 0 < len(nonzero(found, "x")) <= 3
    assert nonzero(found, "weight") == []
    assert "x[0, " in found.script


@pytest.mark.parametrize(
    ("cell", "rules", "stage", "left"),
    [
        ("preset:intx_weight_only,family:random,layout:transposed", "burn_3042", "output", (2, 3)),
        ("default", "torchao_asymmetric_qat", "input.zero_point", (0, 0)),
        ("preset:int4_weight_only", "torchao", "weight.dequantized", (1, 0)),
        ("preset:intx_weight_only,op:embedding,bias:no,rank:3", "torchao", "weight.codes", (1, 0)),
    ],
)
def test_what_parts_lanes_at_any_stage_is_shrunk(
    cell: str, rules: str, stage: str, left: tuple[int, int], tmp_path: Path
) -> None:
    """left = how many values of the weight and of x are not zero in the end, at most."""
    found = parity.shrink(cell, f"engine:ptq~engine.{rules}:ptq")
    assert found.stage == stage
    assert "layout" not in found.cell
    assert len(nonzero(found, "weight")) <= left[0]
    assert len(nonzero(found, "x")) <= left[1]
    assert len(found.operands["weight"]) == 1
    assert "bias" not in found.operands
    if stage == "output":
        a, b = shown(found, tmp_path)
        assert a[2] != b[2]


def test_a_gradient_is_shrunk_and_a_weight_with_the_steps_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another mask in one mechanism: one value that is clipped, and a gradient that passes."""
    change = weight_rules(gradient_mask="none")
    for method in ("trace", "trained"):
        plant(monkeypatch, method, change)
    edge = "engine:qat_prepare~engine_subclass:qat_prepare"
    found = parity.shrink("preset:intx_weight_only,bits:2,bias:no,rank:3,grad:yes", edge)
    assert (found.cell, found.stage) == ("grad:yes", "grad.weight")
    assert 0 < len(nonzero(found, "weight")) <= 2
    assert ", 0, gradients=True)" in found.script
    trained = parity.shrink("preset:intx_weight_only,bits:2,rank:3,steps:3", edge)
    assert "steps:3" in trained.cell
    assert ", scheme, 3)" in trained.script


def plant(monkeypatch: pytest.MonkeyPatch, method: str, change: Change) -> None:
    """Let the subclass lanes carry out another scheme."""
    honest = getattr(EngineSubclassBackend, method)

    def planted(
        self: EngineSubclassBackend,
        lane: Lane,
        layer: nn.Module,
        x: Tensor,
        scheme: QuantScheme,
        *rest: Any,
        **asked: Any,
    ) -> Any:
        return honest(self, lane, layer, x, change(scheme), *rest, **asked)

    monkeypatch.setattr(EngineSubclassBackend, method, planted)


def nonzero(found: Shrunk, operand: str) -> list[str]:
    """The values of an operand that are not zero."""
    return [value for row in found.operands.get(operand, ()) for value in row if float.fromhex(value) != 0]


def shown(found: Shrunk, directory: Path) -> list[tuple[str, str, str]]:
    """What the script prints of both lanes, around the name of the stage."""
    script = directory / "shows_it.py"
    script.write_text(found.script)
    ran = subprocess.run([sys.executable, str(script)], cwd=HOUSE, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return [line.partition(f" {found.stage} ") for line in ran.stdout.splitlines()]


def test_what_is_left_is_kept_as_a_found_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []
    monkeypatch.setattr("parity.cli.shrink.add_found", kept.append)
    arguments = ["shrink", "preset:intx_weight_only,bias:no", "--edge", EDGE, "--keep", "it differed"]
    done = CliRunner().invoke(app, [*arguments, "-o", str(tmp_path / "it.py")], prog_name="parity")
    assert done.exit_code == 0, done.stderr
    assert "part at weight.codes[0, 0] on preset:intx_weight_only" in done.stdout
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
