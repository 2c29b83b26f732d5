"""What only a process of its own can show: what is imported, Ctrl-C, a pipe that closes, a terminal that is none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from parity.manifest import RunStatus
from parity.store import load_run

HOUSE = Path(__file__).resolve().parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(HOUSE), "OMP_NUM_THREADS": "1"}
MANY = ("--select", "preset=intx_weight_only", "--select", "dtype=bf16", "--select", "device=cpu")
MANY += ("--lanes", "engine:ptq,engine:qat_convert", "--executor", "inline", "--out", "run")


def started(cwd: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "parity", *arguments],
        cwd=cwd,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_heed_ctrl_c,
    )


def _heed_ctrl_c() -> None:
    """What a shell runs in its background ignores SIGINT, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def ended(cwd: Path, *arguments: str) -> tuple[int, str, str]:
    process = started(cwd, *arguments)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["replay", "--help"], ["list", "axes"], []])
def test_help_imports_nothing_heavy_and_shows_examples(tmp_path: Path, arguments: list[str]) -> None:
    """Importing torch, pandas, numpy or pyarrow raises here."""
    script = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('torch', 'pandas', 'numpy', 'pyarrow', 'torchao', 'quant')))\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "from parity.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=60
    )
    assert "Traceback" not in done.stderr
    if arguments == ["list", "axes"]:
        assert done.returncode == 0
        assert "fp32 bf16 fp16" in done.stdout
    else:
        assert "Examples:\n" in done.stdout + done.stderr
        assert "  parity r" in done.stdout + done.stderr


def test_wrong_usage_of_the_command_itself(tmp_path: Path) -> None:
    for arguments, said in (
        (["run", "--select", "dtype=fp8"], "parity: axis dtype has no value 'fp8'; its values are fp32, bf16, fp16\n"),
        (
            ["run", "--shard", "half"],
            "parity: --shard 'half' is not I/N; for example --shard 1/4, the first of four parts\n",
        ),
        (["report", "absent"], "parity: absent is no run directory: it has no manifest.json.\n"),
    ):
        assert ended(tmp_path, *arguments) == (2, "", said)


def test_ctrl_c_exits_130_leaves_readable_records_and_is_resumed(tmp_path: Path) -> None:
    process = started(tmp_path, "run", *MANY)
    records, deadline = tmp_path / "run" / "records", time.monotonic() + 60
    while not list(records.glob("edges-*")) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.startswith("parity: stopped by Ctrl-C. What was finished can be read in run; to go on: parity run ")
    assert err.rstrip().endswith("--out run --resume")
    run = load_run(tmp_path / "run")
    assert run.manifest.status is RunStatus.INTERRUPTED
    assert 0 < len(run.edges) < sum(run.manifest.edges.values())
    assert run.lost == ()

    code, out, err = ended(tmp_path, "run", *MANY, "--resume")
    assert (code, err) == (0, "")
    assert "0 new divergences" in out
    whole = load_run(tmp_path / "run")
    assert len(whole.edges) == sum(whole.manifest.edges.values())


def test_a_reader_that_goes_away_ends_the_output_quietly(tmp_path: Path) -> None:
    process = started(tmp_path, "list", "cells")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) == 0
