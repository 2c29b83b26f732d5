"""`--parity-report DIR` and `--cell ID` in anybody's tests: every comparison is reported, a failure is six facts."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from parity.listening import heard, listening
from parity.manifest import RunStatus
from parity.store import load_run
from parity.verdicts import Verdict

pytest_plugins = ["pytester"]

THEIRS = """
    import pytest, torch, parity
    from dataclasses import replace
    from quant.presets import intx_weight_only

    SCHEME = intx_weight_only(bits=4, group_size=32)

    def test_same():
        parity.assert_identical("engine:ptq", "engine:qat_convert", SCHEME)
        parity.assert_identical("engine:ptq", "engine:qat_prepare", SCHEME)

    def test_other():
        parity.assert_identical("engine:ptq", "engine.torchao:ptq", SCHEME)

    def test_silent():
        pass
"""


@pytest.fixture
def theirs(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project of somebody else, with two tests that compare lanes."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    pytester.makepyfile(test_theirs=THEIRS)
    if "parity.pytest_plugin" not in {point.value for point in entry_points(group="pytest11")}:
        pytester.makeconftest('pytest_plugins = ["parity.pytest_plugin"]')
    return pytester


def test_every_comparison_of_a_session_is_in_its_report_and_cells_stand_beside_the_tests(
    theirs: pytest.Pytester,
) -> None:
    """One session in a process of its own: torchao cannot be imported a second time in this one."""
    cells = ("--cell", "device:mps", "--cell", "dtyp:bf16")
    result = theirs.runpytest_subprocess("-p", "no:xdist", "--parity-report", "found", *cells)
    result.assert_outcomes(passed=3, failed=2)
    result.stdout.fnmatch_lines(
        [
            "E *engine:ptq~engine.torchao:ptq is diverged, not identical, on linear 32x64 bfloat16, directed inputs*",
            "E *first stage: weight.*elements differ*",
            "E *first index: (*",
            "E *weight.*(0x*) in engine:ptq, but *(0x*) in engine.torchao:ptq*",
            "E *cause: weight.* first; explained by *",
            'E *rerun: parity.compare("engine:ptq", "engine.torchao:ptq"*',
            "*there is no axis 'dtyp'*",
            "*parity report: found/report.html*",
        ]
    )
    run = load_run(theirs.path / "found")
    assert run.manifest.status is RunStatus.COMPLETE
    assert [(record.cell, record.verdict) for record in run.edges] == [
        ("test_theirs.py::test_same", Verdict.IDENTICAL),
        ("test_theirs.py::test_same #2", Verdict.IDENTICAL),
        ("test_theirs.py::test_other", Verdict.DIVERGED),
    ]
    assert len(run.lanes) == 6
    assert "1 new divergence" in (theirs.path / "found" / "report.html").read_text()
    again = theirs.runpytest_inprocess("-p", "no:xdist", "--parity-report", "found")
    again.stderr.fnmatch_lines(["*a run is there already; name another directory*"])


@pytest.mark.nightly
def test_workers_hand_over_what_they_heard(theirs: pytest.Pytester) -> None:
    result = theirs.runpytest_subprocess("-n", "2", "--parity-report", "found")
    result.assert_outcomes(passed=2, failed=1)
    assert sorted(record.cell for record in load_run(theirs.path / "found").edges) == [
        "test_theirs.py::test_other",
        "test_theirs.py::test_same",
        "test_theirs.py::test_same #2",
    ]


def test_who_does_not_listen_hears_nothing() -> None:
    one, other = object(), object()
    assert heard(one) is one  # type: ignore[arg-type, comparison-overlap]  # it is passed on, whatever it is
    with listening() as outer:
        heard(one)  # type: ignore[arg-type]  # the same
        with listening() as inner:
            heard(other)  # type: ignore[arg-type]  # the same
    assert (outer, inner) == ([one], [other])


def test_the_plugin_alone_imports_nothing_heavy() -> None:
    code = "import sys, parity.pytest_plugin; print(sorted({'torch', 'pyarrow', 'numpy'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "[]"
