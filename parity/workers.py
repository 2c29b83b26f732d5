"""Chunks in worker processes: a worker that dies or hangs costs one chunk, which is then run again cell by cell.

So a segfault ends as one CRASHED cell with its name, a hang as one TIMEOUT, and the run goes on.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Generic, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Died(Generic[Task]):
    """What a worker left undone: `reason` says by which signal or exit status, or after how many seconds."""

    task: Task
    reason: str
    timed_out: bool


class WorkError(RuntimeError):
    """The work itself raised, which is a mistake of whoever wrote it and no finding: str() holds its traceback."""


@dataclass(frozen=True, slots=True)
class _Raised:
    traceback: str


@dataclass(slots=True)
class _Worker(Generic[Task]):
    process: SpawnProcess
    connection: Connection
    task: Task | None = None
    since: float = 0.0


def run_tasks(
    work: Callable[[Task], Result], tasks: Iterable[Task], *, workers: int, timeout: float
) -> Iterator[Result | Died[Task]]:
    """work(task) for every task, in the order in which they finish; a task whose worker died is yielded as Died.

    Tasks are taken from the iterable only when a worker is free, so it may stop early; no task is None. `work` must be
    importable by a fresh process (it is pickled). Leaving the iterator early ends the workers. Raises WorkError when
    `work` raises.
    """
    waiting = iter(tasks)
    pool = [_start(work) for _ in range(workers)]
    try:
        while True:
            for worker in pool:
                if worker.task is None:
                    worker.task, worker.since = next(waiting, None), time.monotonic()
                    if worker.task is not None:
                        worker.connection.send(worker.task)
            busy = [worker for worker in pool if worker.task is not None]
            if not busy:
                return
            wait([worker.connection for worker in busy], timeout=1.0)
            for worker in busy:
                assert worker.task is not None
                died = _died(worker, timeout)
                if died is None and not worker.connection.poll():
                    continue
                if died is None:
                    try:
                        result: Result | _Raised = worker.connection.recv()
                    except (EOFError, OSError):
                        died = Died(worker.task, _exit_reason(worker.process), timed_out=False)
                    else:
                        if isinstance(result, _Raised):
                            raise WorkError(result.traceback)
                        worker.task = None
                        yield result
                        continue
                pool[pool.index(worker)] = _start(work)
                _stop(worker)
                yield died
    finally:
        for worker in pool:
            _stop(worker)


def _died(worker: _Worker[Task], timeout: float) -> Died[Task] | None:
    assert worker.task is not None
    if worker.connection.poll():
        return None
    if not worker.process.is_alive():
        return Died(worker.task, _exit_reason(worker.process), timed_out=False)
    if time.monotonic() - worker.since > timeout:
        return Died(worker.task, f"no answer within {timeout:g} s", timed_out=True)
    return None


def _exit_reason(process: SpawnProcess) -> str:
    process.join(5.0)
    code = process.exitcode
    if code is not None and code < 0:
        return f"the worker was ended by {signal.Signals(-code).name}"
    return f"the worker ended with exit status {code}"


def _start(work: Callable[[Any], Any]) -> _Worker[Any]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, work), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _stop(worker: _Worker[Any]) -> None:
    worker.connection.close()
    if worker.process.is_alive():
        worker.process.terminate()
    worker.process.join(5.0)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()


def _serve(connection: Connection, work: Callable[[Any], Any]) -> None:
    """A worker's life: one task after another until the pipe closes; Ctrl-C is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            task = connection.recv()
        except (EOFError, OSError):
            return
        try:
            result = work(task)
        except Exception:  # told to the parent, which stops: the next task would fail alike
            result = _Raised(traceback.format_exc())
        connection.send(result)


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


__all__: Sequence[str] = ("Died", "run_tasks", "usable_cores")
