"""What parity adds to pytest: `--cell ID` runs one cell; a chunk that took its worker with it is tried once more."""

from __future__ import annotations

from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--cell ID`, repeatable: run these cells of the matrix instead of the tier's chunks."""
    group = parser.getgroup("parity")
    group.addoption("--cell", action="append", default=[], metavar="ID", help="run this cell of the matrix alone")


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str, report: pytest.TestReport, sched: Any) -> None:
    """Under xdist: an item whose worker died is queued once more; the suite then runs its cells one by one."""
    retried: set[str] = sched.config.stash.setdefault(_STASH, set())
    if crashitem not in retried and "test_chunk" in crashitem:
        retried.add(crashitem)
        sched.mark_test_pending(crashitem)


_STASH: pytest.StashKey[set[str]] = pytest.StashKey()
