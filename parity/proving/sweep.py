"""tally = the sum over all slices of a claim, counted on several threads; what a counter misses is an error."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

from parity.proving.counter import Counter, Tally

Progress = Callable[[int, int], None]


def swept(counter: Counter, slices: range, workers: int | None = None, progress: Progress | None = None) -> Tally:
    """The tally of these slices; progress is told (slices done, slices in all).

    workers = threads; None is one for each processor that this process may use, and one on another device than the CPU.
    """
    parts = [slices[i : i + counter.grain] for i in range(0, len(slices), counter.grain)]
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if counter.device == "cpu" else 1
    total, done = Tally(), 0
    # Each thread runs its own operations, so an operation must not ask for more threads.
    with _single_threaded(), ThreadPoolExecutor(workers) as pool:
        pending = pool.map(counter.count, parts)
        try:
            for part, tally in zip(parts, pending, strict=True):
                total, done = total + tally, done + len(part)
                if progress is not None:
                    progress(done, len(slices))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return total


@contextmanager
def _single_threaded() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
