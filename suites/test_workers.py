"""Workers that answer, die and hang: what each costs."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from parity.workers import Died, WorkError, run_tasks


def work(task: str) -> str:
    if task == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if task == "exit":
        os._exit(7)
    if task == "raise":
        raise KeyError(task)
    if task == "hang":
        time.sleep(60)
    return task.upper()


def test_a_worker_that_dies_or_hangs_costs_its_task_and_no_other() -> None:
    tasks = ["a", "segfault", "b", "exit", "c", "hang", "d"]
    done = list(run_tasks(work, tasks, workers=2, timeout=8.0))
    dead = {d.task: d for d in done if isinstance(d, Died)}
    assert sorted(d for d in done if isinstance(d, str)) == ["A", "B", "C", "D"]
    assert dead.keys() == {"segfault", "exit", "hang"}
    assert "SIGSEGV" in dead["segfault"].reason
    assert "exit status 7" in dead["exit"].reason
    assert "8 s" in dead["hang"].reason
    assert [name for name, d in dead.items() if d.timed_out] == ["hang"]


def test_tasks_are_taken_only_as_workers_become_free() -> None:
    taken: list[str] = []

    def tasks() -> Iterator[str]:
        for name in "abc":
            taken.append(name)
            yield name

    results = run_tasks(work, tasks(), workers=1, timeout=60.0)
    assert next(results) == "A"
    assert taken == ["a"]
    results.close()  # type: ignore[attr-defined]  # a generator


def test_an_exception_of_the_work_stops_everything_with_its_traceback() -> None:
    with pytest.raises(WorkError, match="KeyError: 'raise'"):
        list(run_tasks(work, ["a", "raise", "b"], workers=1, timeout=60.0))
