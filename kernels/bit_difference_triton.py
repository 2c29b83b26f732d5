"""bit_difference on CUDA in one pass: a run of equal bits costs its two reads and one reduction."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.bit_difference import BINS

_TILE = 4096
_TILES = 8  # of one program, which looks closer only where their bits are not all equal
_FARTHEST, _FIRST = BINS, BINS + 1


def counts(a: Tensor, b: Tensor, infinity: int) -> Tensor:
    """int64 [BINS + 2] on the device: the bins but the first, the greatest distance or -1, the first index or n.

    `a`, `b`: flat int16 or int32. Nothing waits for the device here.
    """
    found = torch.zeros(BINS + 2, dtype=torch.int64, device=a.device)
    found[_FARTHEST] = -1
    found[_FIRST] = a.numel()
    if a.numel():
        grid = (triton.cdiv(a.numel(), _TILE * _TILES),)
        _difference[grid](
            a, b, found, a.numel(), infinity, TILE=_TILE, TILES=_TILES, FARTHEST=_FARTHEST, FIRST=_FIRST, num_warps=8
        )
    return found


@triton.jit
def _line(bits, MAGNITUDE: tl.constexpr):
    """Positions on the line of floats, in int32: neighbouring values are one apart, -0 at -1."""
    wide = bits.to(tl.int32)
    return tl.where(wide < 0, -1 - (wide & MAGNITUDE), wide)


@triton.jit
def _bin(distance):
    """The bits that an unsigned 32-bit distance takes: 0 for 0, k for 2^(k-1) up to 2^k."""
    # With the bit below each set bit cleared, rounding to float32 cannot reach the next power of two.
    exponent = (distance ^ (distance & (distance >> 1))).to(tl.float32).to(tl.int32, bitcast=True) >> 23
    return tl.where(distance == 0, 0, exponent - 126)


@triton.jit
def _difference(
    a_ptr,
    b_ptr,
    found_ptr,
    n,
    infinity,
    TILE: tl.constexpr,
    TILES: tl.constexpr,
    FARTHEST: tl.constexpr,
    FIRST: tl.constexpr,
):
    MAGNITUDE: tl.constexpr = 0x7FFF if a_ptr.dtype.element_ty == tl.int16 else 0x7FFFFFFF
    INCOMPARABLE: tl.constexpr = FARTHEST - 1
    start = tl.program_id(0).to(tl.int64) * (TILE * TILES)
    offset = tl.arange(0, TILE)
    unequal = tl.zeros((TILE,), a_ptr.dtype.element_ty)
    for i in tl.static_range(TILES):
        place = start + i * TILE + offset
        a = tl.load(a_ptr + place, mask=place < n, other=0)
        b = tl.load(b_ptr + place, mask=place < n, other=0)
        unequal |= a ^ b
    if tl.max((unequal != 0).to(tl.int32), 0) > 0:
        bins = tl.zeros((64,), tl.int32)
        farthest = tl.full((TILE,), -1, tl.int64)
        first = tl.full((TILE,), 0, tl.int64) + n
        for j in range(TILES):
            place = start + j * TILE + offset
            a = tl.load(a_ptr + place, mask=place < n, other=0)
            b = tl.load(b_ptr + place, mask=place < n, other=0)
            nan_a, nan_b = (a.to(tl.int32) & MAGNITUDE) > infinity, (b.to(tl.int32) & MAGNITUDE) > infinity
            line_a, line_b = _line(a, MAGNITUDE), _line(b, MAGNITUDE)
            steps = tl.maximum(line_a, line_b).to(tl.uint32, bitcast=True) - tl.minimum(line_a, line_b).to(
                tl.uint32, bitcast=True
            )
            steps = tl.where(nan_a & nan_b, 0, steps)
            apart = nan_a != nan_b
            bins += tl.histogram(tl.where(apart, INCOMPARABLE, _bin(steps)).to(tl.int32), 64)
            different = apart | (steps != 0)
            farthest = tl.maximum(farthest, tl.where(apart | (steps == 0), -1, steps.to(tl.int64)))
            first = tl.minimum(first, tl.where(different, place, n.to(tl.int64)))
        k = tl.arange(0, 64)
        tl.atomic_add(found_ptr + k, bins.to(tl.int64), mask=(k > 0) & (bins > 0), sem="relaxed")
        tl.atomic_max(found_ptr + FARTHEST, tl.max(farthest, 0), sem="relaxed")
        tl.atomic_min(found_ptr + FIRST, tl.min(first, 0), sem="relaxed")
