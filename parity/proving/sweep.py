"""tally = the sum over all slices of a claim, counted on several threads; what a counter misses is an error."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

import torch

from parity.proving.counter import Counter, Tally

Progress = Callable[[int, int], None]

_MALLOC_THRESHOLDS: Final = (-1, -3)  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h


def swept(counter: Counter, slices: range, workers: int | None = None, progress: Progress | None = None) -> Tally:
    """The tally of these slices; progress is told (slices done, slices in all).

    workers = threads; None is one for each processor that this process may use, and one on another device than the CPU.
    """
    parts = [slices[i : i + counter.grain] for i in range(0, len(slices), counter.grain)]
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if counter.device == "cpu" else 1
    total, done = Tally(), 0
    _keep_freed_memory()
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


def _keep_freed_memory() -> None:
    """Buffers that are freed are used again, and not given back to the system and asked for page by page.

    Of the time of a fake quantization two thirds went there. Nothing happens where the C library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter in _MALLOC_THRESHOLDS:
            mallopt(parameter, 2**30)


@contextmanager
def _single_threaded() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
