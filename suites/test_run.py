"""Whole runs: the plan reconciled, digests reproducible, the ledger strict, interruptions survivable."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from parity import run as run_module_function
from parity.exit_codes import ExitCode
from parity.manifest import RunStatus
from parity.matrix import plan
from parity.recording import Progress
from parity.run import MissingDeviceError, RunResult, run
from parity.store import load_run
from parity.verdicts import Verdict

SMALL = {"preset": ["intx_weight_only"], "domain": ["int"], "device": ["cpu"], "dtype": ["bf16", "fp16"]}
ENGINE = ["engine:ptq", "engine:qat_prepare", "engine:qat_convert"]
DIVERGING = {"preset": ["int8_dynamic_intx_weight"], "op": ["linear"], "dtype": ["bf16"], "family": ["random"]}
PAIR = ["torchao:ptq", "torchao_8da4w:qat_convert"]
ROW = """
[[row]]
id = "test-8da4w"
edge = "torchao:ptq~torchao_8da4w:qat_convert"
first_stage = "input.scale"
cause = ""
where = {}
ulp_class = "any"
count_class = "any"
reason = "PTQ keeps the activation's scale in the model's dtype, the quantizer in fp32"
owner = "parity"
link = "https://github.com/pytorch/ao/pull/2861"
date = 2026-11-22
expires = 2099-01-01
"""


def digests(directory: Path) -> dict[tuple[str, str], tuple[str, ...]]:
    return {(r.cell, r.lane): (r.input_digest, *(s.digest for s in r.stages)) for r in load_run(directory).lanes}


def small(out: Path, **options: Any) -> RunResult:
    return run("premerge", select=SMALL, lanes=ENGINE, out=out, executor="inline", **options)


def test_the_public_name_is_the_function() -> None:
    assert run_module_function is run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "whole"
    result = small(out)
    assert result.code is ExitCode.PARITY
    assert len(result.sentences) == 1
    assert result.sentences[0].startswith("The selection")
    assert result.verdicts[Verdict.IDENTICAL] > 0
    assert not any(result.verdicts[verdict] for verdict in set(Verdict) - {Verdict.IDENTICAL, Verdict.UNSUPPORTED})
    return out


def test_shards_partition_the_run_and_give_its_digests(whole: Path, tmp_path: Path) -> None:
    parts = [small(tmp_path / str(i), shard=(i, 2)).directory for i in (1, 2)]
    merged = digests(parts[0]) | digests(parts[1])
    assert len(digests(parts[0])) + len(digests(parts[1])) == len(merged)
    assert merged == digests(whole)


def test_a_selection_gives_the_digests_of_the_whole(whole: Path, tmp_path: Path) -> None:
    part = digests(
        run("premerge", select=SMALL | {"dtype": ["bf16"]}, lanes=ENGINE, out=tmp_path, executor="inline").directory
    )
    assert part
    assert part.items() < digests(whole).items()


def test_worker_processes_give_the_digests_of_one_process(whole: Path, tmp_path: Path) -> None:
    result = run("premerge", select=SMALL, lanes=ENGINE, out=tmp_path, executor="processes", workers=2)
    assert result.code is ExitCode.PARITY
    assert digests(result.directory) == digests(whole)


def test_an_interrupted_run_is_readable_and_resumed_to_the_same_digests(whole: Path, tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.done_cells:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small(tmp_path, progress=interrupt)
    broken = load_run(tmp_path)
    assert broken.manifest.status is RunStatus.INTERRUPTED
    assert 0 < len(broken.lanes) <= len(load_run(whole).lanes)
    result = small(tmp_path, resume=True)
    assert result.code is ExitCode.PARITY
    assert digests(tmp_path) == digests(whole)


def test_a_spent_budget_cuts_only_what_is_not_protected_and_says_so(tmp_path: Path) -> None:
    select = {"preset": ["int4_weight_only"], "op": ["embedding"], "device": ["cpu"]}
    result = run("premerge", select=select, lanes=ENGINE, out=tmp_path, executor="inline", budget=0.0)
    assert result.code is ExitCode.PARITY
    assert "budget" in result.sentences[-1]
    manifest = load_run(tmp_path).manifest
    assert manifest.cut == result.sentences
    assert 0 < len(manifest.planned) < len(plan("premerge", select={a: tuple(v) for a, v in select.items()}).cells)


def test_a_lost_pair_is_red_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from parity.recording import Recorder

    honest: Callable[..., None] = Recorder.write

    def forgetful(self: Recorder, chunk: Any, found: Any) -> None:
        found.edges.pop()
        honest(self, chunk, found)

    monkeypatch.setattr(Recorder, "write", forgetful)
    result = small(tmp_path)
    assert result.code is ExitCode.INCOMPLETE
    assert "engine:qat_prepare~engine:qat_convert" in result.sentences[-1]


def pair(out: Path, ledger: Path, **select: list[str]) -> RunResult:
    return run("premerge", select={**DIVERGING, **select}, lanes=PAIR, out=out, executor="inline", ledger=ledger)


def test_the_ledger_excuses_what_it_describes_and_nothing_else(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.toml"
    ledger.write_text(ROW)
    known = pair(tmp_path / "known", ledger)
    assert known.code is ExitCode.PARITY
    assert known.verdicts[Verdict.KNOWN] > 0
    ledger.write_text("")
    new = pair(tmp_path / "new", ledger)
    assert new.code is ExitCode.DIVERGED
    assert new.verdicts[Verdict.DIVERGED] == known.verdicts[Verdict.KNOWN]


def test_a_row_that_describes_nothing_any_more_is_stale_in_a_whole_tier_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = tmp_path / "ledger.toml"
    ledger.write_text(ROW.replace("input.scale", "weight.codes"))
    fp32 = {"dtype": ["fp32"], "scale": ["model"], "domain": ["int"]}
    assert pair(tmp_path / "part", ledger, **fp32).code is ExitCode.PARITY
    few = plan("premerge", select={axis: tuple(values) for axis, values in {**DIVERGING, **fp32}.items()})
    monkeypatch.setattr(import_module("parity.run"), "plan", lambda tier, select, shard: few)
    result = run("premerge", out=tmp_path / "whole", executor="inline", ledger=ledger)
    assert result.code is ExitCode.LEDGER_STALE
    assert result.verdicts[Verdict.FIXED] > 0
    assert "test-8da4w" in result.sentences[-1]


def test_a_required_device_that_is_missing_is_an_error_not_a_green_run(tmp_path: Path) -> None:
    with pytest.raises(MissingDeviceError, match="xpu"):
        small(tmp_path, require_device="xpu")
    assert not (tmp_path / "manifest.json").exists()


def test_an_unknown_axis_value_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no value 'fp8'"):
        run("premerge", select={"dtype": ["fp8"]}, out=tmp_path / "x")
    assert not (tmp_path / "x").exists()
