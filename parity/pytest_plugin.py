"""What parity adds to pytest, in anybody's project that has it installed: `--cell ID` and `--parity-report DIR`.

`--cell ID` runs one cell of the matrix, every declared edge of it, as an item beside the tests that were named; a suite
with a `chunk` of its own takes the cells instead. `--parity-report DIR` writes every comparison of the session, also of
tests that passed, as a run directory with its page. A chunk that took its xdist worker with it is tried once more.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from parity.session_report import SessionReport


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--cell ID`, repeatable, and `--parity-report DIR`."""
    group = parser.getgroup("parity")
    group.addoption("--cell", action="append", default=[], metavar="ID", help="run this cell of the matrix")
    group.addoption("--parity-report", metavar="DIR", help="write every comparison as a run directory with a page")


def pytest_configure(config: pytest.Config) -> None:
    """Start collecting, where a report is asked for. A directory that holds a run already is refused at once."""
    directory = config.getoption("--parity-report")
    if directory is None:
        return
    if (Path(directory) / "manifest.json").exists():
        raise pytest.UsageError(f"--parity-report {directory}: a run is there already; name another directory")
    from parity.session_report import SessionReport

    config.stash[_REPORT] = SessionReport()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Comparisons that a test makes are the report's, whether it passes or not."""
    report = item.config.stash.get(_REPORT, None)
    if report is None:
        return (yield)
    from parity.listening import listening

    with listening() as heard:
        try:
            return (yield)
        finally:
            report.add(item.nodeid, heard)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """One item a cell, unless a suite here takes the cells itself."""
    if not any("chunk" in getattr(item, "fixturenames", ()) for item in items):
        items.extend(CellItem.from_parent(session, name=cell) for cell in config.getoption("--cell"))


class CellItem(pytest.Item):
    """One cell of the matrix: every declared edge of it, with the ledger of this checkout."""

    def runtest(self) -> None:
        """Fails with the facts of every pair that is red."""
        from parity.replay import red_pairs

        told = red_pairs(self.name)
        if told:
            raise CellError("\n\n".join(told))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        """The facts alone: the stack is the plugin's own."""
        known = isinstance(excinfo.value, CellError | ValueError)
        return str(excinfo.value) if known else str(super().repr_failure(excinfo, style))

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, f"cell {self.name}"


class CellError(AssertionError):
    """A cell has red pairs; str() holds their facts."""


def pytest_sessionfinish(session: pytest.Session) -> None:
    """An xdist worker hands its records over; the process that has them all writes the report."""
    report = session.config.stash.get(_REPORT, None)
    if report is None:
        return
    worker: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if worker is not None:
        worker["parity_lanes"], worker["parity_edges"] = report.to_bytes()
        return
    page = report.write(Path(session.config.getoption("--parity-report")), ("pytest", *sys.argv[1:]))
    session.config.stash[_PAGE] = str(page)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """What a worker collected, or a sentence where it died before handing it over."""
    report = node.config.stash.get(_REPORT, None)
    if report is None:
        return
    handed = getattr(node, "workeroutput", {})
    if "parity_lanes" in handed:
        report.merge(handed["parity_lanes"], handed["parity_edges"])
    else:
        report.lost.append(f"worker {node.gateway.id} died ({error}), and its comparisons with it")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Where the report is."""
    page = terminalreporter.config.stash.get(_PAGE, None)
    if page is not None:
        terminalreporter.write_sep("-", f"parity report: {page}")


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str, report: pytest.TestReport, sched: Any) -> None:
    """Under xdist: an item whose worker died is queued once more; the suite then runs its cells one by one."""
    retried: set[str] = sched.config.stash.setdefault(_STASH, set())
    if crashitem not in retried and "test_chunk" in crashitem:
        retried.add(crashitem)
        sched.mark_test_pending(crashitem)


_STASH: pytest.StashKey[set[str]] = pytest.StashKey()
_REPORT: pytest.StashKey[SessionReport] = pytest.StashKey()
_PAGE: pytest.StashKey[str] = pytest.StashKey()
