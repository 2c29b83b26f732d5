"""bit_difference(a, b, line): how many elements differ, by how many steps, which is first, and which part farthest.

Bin 0 of the histogram counts equal elements, bin k distances from 2^(k-1) up to 2^k, the last bin the incomparable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from kernels.availability import missing_triton
from kernels.bit_line import INCOMPARABLE, SATURATED, BitLine, distances

BINS = 65
"""Bin 0, 63 bins of doubling width that hold every distance below 2^63, and the bin of incomparable elements."""

WORST = 8


class Place(NamedTuple):
    """A flat index, and the distance there: INCOMPARABLE, or in steps."""

    at: int
    distance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BitDifference:
    """What parts two tensors. `worst` lists the incomparable first, then by distance, then by index."""

    n_different: int
    max_ulp: int | None  # None when all that differ are incomparable
    histogram: tuple[int, ...]
    first: Place | None
    worst: tuple[Place, ...]


def bit_difference(a: Tensor, b: Tensor, line: BitLine) -> BitDifference:
    """Compare two tensors of one shape and device by the bits they store, signed integers of line.width bits.

    Floats of 16 and 32 bits on CUDA are counted in one pass over memory. Raises ValueError for other operands.
    """
    same = a.shape == b.shape and a.device == b.device and a.dtype == b.dtype
    if not same or a.is_floating_point() or a.element_size() * 8 != line.width:
        raise ValueError(
            f"a is {a.dtype} {tuple(a.shape)} on {a.device} and b is {b.dtype} {tuple(b.shape)} on {b.device}; bits "
            f"are compared for two tensors of {line.width}-bit integers, of one shape and on one device"
        )
    a, b = a.reshape(-1), b.reshape(-1)
    if not (a.is_cuda and line.largest is not None and line.width in (16, 32) and missing_triton() is None):
        if torch.equal(a, b):
            return _equal((a.numel(), *[0] * (BINS - 1)))
        return differences(distances(a, b, line))
    from kernels.bit_difference_triton import counts

    *reached, incomparable, farthest, from_end = counts(a.contiguous(), b.contiguous(), line).tolist()
    n_different = reached[0] + incomparable
    bins = [here - above for here, above in zip(reached, (*reached[1:], 0), strict=True)]
    histogram = (a.numel() - n_different, *bins, *[0] * (BINS - 2 - len(bins)), incomparable)
    if not n_different:
        return _equal(histogram)
    at = (a != b).nonzero().reshape(-1)
    at, found = _unequal(at, distances(a[at], b[at], line))
    return BitDifference(
        n_different=n_different,
        max_ulp=farthest if reached[0] else None,
        histogram=histogram,
        first=Place(a.numel() - from_end, int(found[0])),
        worst=_worst(at, found),
    )


def differences(distance: Tensor) -> BitDifference:
    """The same of elements whose distances, a flat int64, are known."""
    bounds = 2 ** torch.arange(63, dtype=torch.int64, device=distance.device)
    bins = torch.bucketize(distance, bounds, right=True).masked_fill(distance == INCOMPARABLE, BINS - 1)
    histogram = tuple(torch.bincount(bins, minlength=BINS).tolist())
    at = distance.nonzero().reshape(-1)
    if at.numel() == 0:
        return _equal(histogram)
    found = distance[at]
    farthest = int(found.max())
    return BitDifference(
        n_different=at.numel(),
        max_ulp=None if farthest == INCOMPARABLE else farthest,
        histogram=histogram,
        first=Place(int(at[0]), int(found[0])),
        worst=_worst(at, found),
    )


def _equal(histogram: tuple[int, ...]) -> BitDifference:
    return BitDifference(n_different=0, max_ulp=0, histogram=histogram, first=None, worst=())


def _unequal(at: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
    """Without the elements that differ in their bits and are the same."""
    kept = distance != 0
    return at[kept], distance[kept]


def _worst(at: Tensor, found: Tensor) -> tuple[Place, ...]:
    """The farthest of the places `at`, which differ by the distances `found`."""
    rank = found.clamp(max=SATURATED - 1).masked_fill(found == INCOMPARABLE, SATURATED)
    order = rank.sort(descending=True, stable=True).indices[:WORST]
    return tuple(map(Place, at[order].tolist(), found[order].tolist()))
