"""The command line: every command's text and JSON, every exit code, and a sentence for whatever goes wrong."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner, Result

from parity.backends.engine import EngineBackend
from parity.cli.app import app
from parity.lanes import Flow, Lane
from parity.matrix import plan
from parity.store import load_run
from parity.trace import Stage, Trace
from quant import QuantScheme

ENGINE = "engine:ptq,engine:qat_prepare,engine:qat_convert"
FEW = (
    "--select",
    "preset=intx_weight_only",
    "--select",
    "dtype=bf16",
    "--select",
    "op=linear",
    "--select",
    "device=cpu",
)
FEW += ("--select", "family=integers,zeros", "--lanes", ENGINE, "--executor", "inline")
CELL = "preset:intx_weight_only,dtype:bf16,family:integers"


def parity(*arguments: str | Path) -> Result:
    """The command in this process, as the shell would start it."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="parity")


def told(*arguments: str | Path, code: int = 0) -> str:
    """stdout of a command that ends with this code."""
    done = parity(*arguments)
    assert done.exit_code == code, (done.exit_code, done.stdout, done.stderr)
    return done.stdout


def facts(*arguments: str | Path, code: int = 0) -> Any:
    """The one JSON object that a command prints."""
    return json.loads(told(*arguments, "--json", code=code))


def refused(*arguments: str | Path, code: int = 2) -> str:
    """stderr of a command that fails with this code and prints no traceback."""
    done = parity(*arguments)
    assert done.exit_code == code, (done.exit_code, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """./runs of each test is its own, and a command that sets the threads of torch does not do so for the next test."""
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory."""
    out = tmp_path_factory.mktemp("cli") / "finished"
    told("run", *FEW, "--out", out)
    return out


@pytest.fixture
def defect(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """QAT-convert stores one code that differs, until what this returns is called."""
    honest = EngineBackend.trace

    def broken(
        self: EngineBackend, lane: Lane, layer: nn.Module, x: Tensor, scheme: QuantScheme, steps: int = 0
    ) -> Trace:
        trace = honest(self, lane, layer, x, scheme, steps)
        if lane.flow is not Flow.QAT_CONVERT:
            return trace
        codes = trace["weight.codes"].tensor.clone()
        codes[2, 5] ^= 1
        return Trace(
            Stage(name=s.name, tensor=codes, computed=s.computed) if s.name == "weight.codes" else s for s in trace
        )

    monkeypatch.setattr(EngineBackend, "trace", broken)
    return lambda: monkeypatch.setattr(EngineBackend, "trace", honest)


# --- run ----------------------------------------------------------------------------------------------------------


def test_run_ends_with_edges_verdict_and_page() -> None:
    out = told("run", *FEW)
    (directory,) = Path("runs").iterdir()
    edges, _, last = out.rstrip().rpartition("\n\n")
    assert last.splitlines()[0] == "0 new divergences"
    assert last.splitlines()[-1] == str(directory / "report.html")
    assert (directory / "report.html").stat().st_size > 10_000
    header, *rows = edges.splitlines()
    assert header.split() == ["edge", "planned", "identical"]
    assert [row.split()[0] for row in rows] == [
        "engine:ptq~engine:qat_convert",
        "engine:ptq~engine:qat_prepare",
        "engine:qat_prepare~engine:qat_convert",
    ]
    assert len({tuple(row.split()[1:]) for row in rows}) == 1


def test_json_of_a_run_has_the_numbers_of_its_records() -> None:
    said = facts("run", *FEW)
    run = load_run(Path(said["run"]))
    assert said["code"] == 0
    assert said["planned"] == sum(said["verdicts"].values()) == len(run.edges) == sum(run.manifest.edges.values())
    assert {edge: row["planned"] for edge, row in said["edges"].items()} == run.manifest.edges
    assert said["new_divergences"] == []
    assert Path(said["report"]).exists()


def test_a_new_divergence_exits_1_a_row_excuses_it_and_is_stale_without_it(defect: Callable[[], None]) -> None:
    Path("none.toml").write_text("")
    said = facts("run", *FEW, "--ledger", "none.toml", "--out", "new", code=1)
    assert said["sentence"].endswith(" new divergences")
    assert {d["first_stage"] for d in said["new_divergences"]} == {"weight.codes"}
    text = told("report", "new")
    assert said["sentence"] in text

    lines = told("run", *FEW, "--ledger", "none.toml", code=1)
    assert "weight.codes[2, 5] is " in lines
    assert " in engine:ptq, but " in lines
    assert f"parity replay {said['new_divergences'][0]['cell']}\n" in lines

    row = (
        '[[row]]\nid = "{0}"\nedge = "{1}"\nfirst_stage = "weight.codes"\ncause = ""\nwhere = {{}}\n'
        'ulp_class = "any"\ncount_class = "any"\nreason = "planted"\nowner = "suites"\nlink = ""\n'
        "date = 2026-01-01\nexpires = 2999-01-01\n"
    )
    edges = sorted({d["edge"] for d in said["new_divergences"]})
    Path("rows.toml").write_text("".join(row.format(f"row-{i}", edge) for i, edge in enumerate(edges)))
    assert facts("run", *FEW, "--ledger", "rows.toml", "--out", "known")["sentence"].startswith("0 new divergences; ")

    defect()
    stale = facts("run", *FEW, "--ledger", "rows.toml", "--out", "stale", code=4)
    assert any("row-0" in sentence for sentence in stale["sentences"])


def test_plan_says_what_would_run_and_runs_nothing() -> None:
    said = facts("run", "--plan", *FEW)
    select = {"preset": ("intx_weight_only",), "dtype": ("bf16",), "op": ("linear",), "device": ("cpu",)}
    cells = plan("premerge", select={**select, "family": ("integers", "zeros")}).cells
    assert said["cells"] == len(cells)
    assert said["edges"] == dict.fromkeys(said["edges"], len(cells))
    assert sum(part["cells"] for part in said["parts"]) == len(cells)
    assert f"premerge: {len(cells)} cells" in told("run", "--plan", *FEW)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--select", "dtyp=bf16"), "there is no axis 'dtyp'; the axes are preset, "),
        (("--select", "dtype=fp8"), "axis dtype has no value 'fp8'; its values are fp32, bf16, fp16"),
        (("--select", "dtype"), "--select 'dtype' is not AXIS=V1,V2"),
        (("--tier", "weekly"), "there is no tier 'weekly'; the tiers are premerge, nightly"),
        (("--shard", "2"), "--shard '2' is not I/N"),
        (("--shard", "3/2"), "there is no shard 3/2"),
        (("--lanes", "engine"), "no declared edge joins two of the lanes engine in any planned cell"),
        (("--lanes", "engine:qat"), "'engine:qat' names the flow 'qat'"),
        (("--executor", "threads"), "executor is 'threads'"),
        (("--ledger", "absent.toml"), "the ledger absent.toml cannot be read: No such file or directory."),
        (("--activations", "a.safetensors"), "name the file of the layers with --weights"),
        (("--resume",), "runs holds no run; `parity run` makes one."),
        (("--workers", "0"), "Invalid value for '--workers'"),
        (("--colour",), "No such option: --colour"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage_is_a_sentence_and_exit_code_2(arguments: tuple[str, ...], said: str) -> None:
    assert said in refused("run", *arguments)
    assert not Path("runs").exists()


def test_a_required_device_that_is_missing_is_incomplete() -> None:
    assert "mps is required" in refused("run", *FEW, "--require-device", "mps", code=3)


def test_a_full_disk_is_told_and_what_was_finished_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Path.write_bytes

    def full(self: Path, data: Any) -> int:
        if "edges-" in self.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return honest(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    said = refused("run", *FEW, "--out", "full", code=3)
    assert "the disk is full" in said
    assert "--resume" in said
    assert load_run(Path("full")).lost == ()


def test_an_error_of_our_own_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("parity.doctor.doctor", broken)
    monkeypatch.delenv("PARITY_TRACEBACK", raising=False)
    said = refused("doctor", code=3)
    assert (
        said == "parity: an error of parity's own, RuntimeError: a bug. PARITY_TRACEBACK=1 shows where it was raised.\n"
    )


def test_an_occupied_directory_is_not_overwritten(finished: Path) -> None:
    assert "already holds a run" in refused("run", *FEW, "--out", finished)


# --- report, diff -------------------------------------------------------------------------------------------------


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


def test_diff_of_equal_runs_is_0_and_of_moved_bits_1(finished: Path, request: pytest.FixtureRequest) -> None:
    told("run", *FEW, "--out", "again")
    assert told("diff", finished, "again").startswith("0 of ")
    request.getfixturevalue("defect")
    Path("none.toml").write_text("")
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


@pytest.mark.usefixtures("defect")
def test_replay_shows_where_lanes_part_and_what_moved(finished: Path) -> None:
    cell = next(iter(load_run(finished).lanes)).cell
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


# --- list, doctor -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["axes", "cells", "lanes", "edges", "backends", "presets", "stages"])
def test_lists_say_the_same_in_text_and_json(kind: str) -> None:
    few = ("--select", "preset=int4_weight_only", "--select", "op=embedding")
    rows = facts("list", kind, *few)["rows"]
    header, *lines = told("list", kind, *few).splitlines()
    assert header.split()[0] in rows[0]
    assert len(lines) == len(rows)
    for row, line in zip(rows, lines, strict=True):
        assert all(value in line for value in row.values())


def test_list_of_cells_is_the_plan_up_to_the_limit() -> None:
    said = facts("list", "cells", "--select", "dtype=bf16", "--limit", "3")
    cells = plan("premerge", select={"dtype": ("bf16",)}).cells
    assert [row["cell"] for row in said["rows"]] == [cell.id for cell in cells[:3]]
    assert said["more"] == len(cells) - 3
    assert told("list", "cells", "--limit", "0").splitlines()[-1].startswith("... and ")


def test_list_of_lanes_says_what_cannot_run_here() -> None:
    lanes = {row["lane"]: row["here"] for row in facts("list", "lanes")["rows"]}
    assert lanes["engine:ptq"] == "runs here"
    assert lanes["engine:ptq:mps"] == "no mps device"


def test_list_of_something_else_is_refused() -> None:
    assert "there is no list of 'rows'; there are lists of axes, cells, " in refused("list", "rows")


def test_doctor_is_content_and_names_what_is_missing() -> None:
    said = facts("doctor")
    assert said["sound"]
    values = {(fact["topic"], fact["name"]): fact["value"] for fact in said["facts"]}
    assert values["versions", "torch"] == torch.__version__
    assert values["packages", "quant"] == "ours"
    assert values["devices", "mps"] == "no mps device"
    assert values["setting", "flush_to_zero"] == "False"
    assert values["backends", "engine"].startswith("runs here")
    text = told("doctor")
    assert all(fact["value"] in text for fact in said["facts"])


def test_doctor_exits_2_where_subnormals_are_flushed() -> None:
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormals")
    try:
        text = told("doctor", code=2)
    finally:
        torch.set_flush_denormal(False)
    assert "Problem: float32 arithmetic makes zero of subnormals" in text
