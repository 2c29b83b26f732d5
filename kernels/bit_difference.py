"""bit_difference(a, b): how many elements differ in their bits, by how many representable steps, and which is first.

The policy is parity's default: -0.0 and +0.0 are neighbours one step apart, every NaN is the same element, and a NaN is
incomparable with anything else. Bin 0 of the histogram counts equal elements, bin k distances from 2^(k-1) up to 2^k,
the last bin the incomparable.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.availability import missing_triton

BINS = 34
_STORAGE = {2: torch.int16, 4: torch.int32}
_INFINITY = {torch.float32: 0x7F800000, torch.bfloat16: 0x7F80, torch.float16: 0x7C00}


@dataclass(frozen=True, slots=True, kw_only=True)
class BitDifference:
    """Counts of two tensors held together; `first` is the flat index, None when nothing differs."""

    n_different: int
    max_ulp: int | None  # None when all that differ are incomparable
    histogram: tuple[int, ...]
    first: int | None


def bit_difference(a: Tensor, b: Tensor) -> BitDifference:
    """Compare two contiguous tensors of one shape, device and dtype: float32, bfloat16 or float16.

    On CUDA with Triton it is one pass over memory. Raises ValueError for other operands.
    """
    same = a.shape == b.shape and a.device == b.device and a.dtype == b.dtype
    if not (same and a.dtype in _INFINITY and a.is_contiguous() and b.is_contiguous()):
        raise ValueError(
            f"a is {a.dtype} {tuple(a.shape)} on {a.device} and b is {b.dtype} {tuple(b.shape)} on {b.device}; bits "
            "are compared for two contiguous tensors of one shape, device and dtype float32, bfloat16 or float16"
        )
    bits_a, bits_b = (t.view(_STORAGE[t.element_size()]).flatten() for t in (a, b))
    if a.is_cuda and missing_triton() is None:
        from kernels.bit_difference_triton import counts
    else:
        counts = _counts
    *bins, farthest, from_end = counts(bits_a, bits_b, _INFINITY[a.dtype]).tolist()
    n_different = sum(bins[1:])
    return BitDifference(
        n_different=n_different,
        max_ulp=None if n_different and not farthest else farthest,
        histogram=(a.numel() - n_different, *bins[1:]),
        first=a.numel() - from_end if n_different else None,
    )


def _counts(a: Tensor, b: Tensor, infinity: int) -> Tensor:
    """int64 [BINS + 2]: the bins, the greatest distance, n less the first index (0: none); of flat int16 or int32."""
    magnitude = torch.iinfo(a.dtype).max
    wide_a, wide_b = a.long(), b.long()
    nan_a, nan_b = (wide_a & magnitude) > infinity, (wide_b & magnitude) > infinity
    line_a, line_b = (torch.where(t < 0, -1 - (t & magnitude), t) for t in (wide_a, wide_b))
    distance = (line_a - line_b).abs()
    distance = torch.where(nan_a | nan_b, torch.where(nan_a & nan_b, 0, -1), distance)
    bounds = 2 ** torch.arange(BINS - 2, dtype=torch.int64, device=a.device)
    bins = torch.bucketize(distance, bounds, right=True).masked_fill(distance < 0, BINS - 1)
    found = (distance != 0).nonzero().flatten()
    ends = distance.new_zeros(2)
    if len(found):
        ends = torch.stack([distance.max().clamp(min=0), a.numel() - found[0]])
    return torch.cat([torch.bincount(bins, minlength=BINS), ends])
