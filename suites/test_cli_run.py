"""`parity run`: how it ends, what it prints, and a sentence for whatever goes wrong."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from parity.matrix import plan
from parity.store import load_run
from suites.cli_runs import ENGINE, FEW, facts, own_folder, planted_defect, refused, told

ROW = """
[[row]]
id = "{0}"
edge = "{1}"
first_stage = "weight.codes"
cause = ""
where = {{}}
ulp_class = "any"
count_class = "any"
reason = "planted"
owner = "suites"
link = ""
date = 2026-01-01
expires = 2999-01-01
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> Iterator[None]:
    with own_folder(tmp_path):
        yield


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


def test_a_new_divergence_exits_1_and_a_ledger_row_excuses_it() -> None:
    Path("none.toml").write_text("")
    with planted_defect():
        said = facts("run", *FEW, "--ledger", "none.toml", "--out", "new", code=1)
        assert said["sentence"].endswith(" new divergences")
        assert {d["first_stage"] for d in said["new_divergences"]} == {"weight.codes"}

        lines = told("run", *FEW, "--ledger", "none.toml", code=1)
        assert said["sentence"] in lines
        assert "weight.codes[2, 5] is " in lines
        assert " in engine:ptq, but " in lines
        assert f"parity replay {said['new_divergences'][0]['cell']}\n" in lines

        edges = sorted({d["edge"] for d in said["new_divergences"]})
        Path("rows.toml").write_text("".join(ROW.format(f"row-{i}", edge) for i, edge in enumerate(edges)))
        known = facts("run", *FEW, "--ledger", "rows.toml", "--out", "known")
    assert known["verdicts"]["known"] == said["verdicts"]["diverged"] > 0
    assert sum(known["known"].values()) == known["verdicts"]["known"]
    assert [*known["known"]] == ["row-0", "row-1"]
    assert known["sentence"].startswith("0 new divergences; ")


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


def test_an_occupied_directory_is_not_overwritten() -> None:
    told("run", *FEW, "--out", "taken")
    assert "already holds a run" in refused("run", *FEW, "--out", "taken")


# --- layers from files --------------------------------------------------------------------------------------------

LAYERS = ("--select", "dtype=bf16", "--select", "preset=intx_weight_only", "--lanes", ENGINE, "--executor", "inline")


def weights_file(name: str, **changed: Tensor) -> str:
    tensors = {"fc.weight": torch.arange(512.0).reshape(8, 64) / 7, "fc.bias": torch.ones(8)}
    save_file({**tensors, **changed}, name)
    return name


def test_layers_of_a_file_are_run_planned_and_replayed() -> None:
    file = weights_file("model.safetensors")
    said = facts("run", "--weights", file, *LAYERS)
    assert Path(said["run"]).name.endswith("-weights")
    assert said["verdicts"]["identical"] == said["planned"] == 3
    assert facts("run", "--plan", "--weights", file, *LAYERS)["cells"] == 1
    (cell,) = {lane.cell for lane in load_run(Path(said["run"])).lanes}
    again = facts("replay", cell, "--weights", file, "--run", said["run"], "--lanes", ENGINE)
    assert (again["held"]["moved"], len(again["held"]["same"])) == ([], 3)


def test_weights_that_are_not_finite_are_named_and_make_the_run_incomplete() -> None:
    bad = torch.ones(4, 64)
    bad[1, 2] = torch.nan
    file = weights_file("model.safetensors", **{"bad.weight": bad})
    said = facts("run", "--weights", file, *LAYERS, code=3)
    assert said["verdicts"]["identical"] == 3
    (sentence,) = [sentence for sentence in said["sentences"] if "bad is skipped" in sentence]
    assert "1 of the 256 values of bad.weight are not finite, the first is nan at [1, 2]" in sentence


def test_files_that_are_no_safetensors_are_refused() -> None:
    Path("model.pt").write_bytes(b"PK\x03\x04")
    Path("model.safetensors").write_bytes(b"not tensors")
    assert "model.pt ends in .pt, as pickled tensors do" in refused("run", "--weights", "model.pt", *LAYERS)
    assert "model.safetensors is no safetensors file" in refused("run", "--weights", "model.safetensors", *LAYERS)
    assert "absent.safetensors could not be read" in refused("run", "--weights", "absent.safetensors", *LAYERS)
