"""bit_difference on CUDA in one pass: a run of equal words costs its two reads and one reduction."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.bit_difference import BINS

_RUN = 32768  # elements of one program, which looks at them one by one only where their words are not all equal
_TILE = 4096


def counts(a: Tensor, b: Tensor, infinity: int) -> Tensor:
    """int64 [BINS + 2] on the device: the bins but the first, the greatest distance, and n less the first index.

    `a`, `b`: flat int16 or int32; zeros stand for what there is none of. Nothing waits for the device here.
    """
    n = a.numel()
    found = torch.zeros(BINS + 2, dtype=torch.int64, device=a.device)
    if n:
        packed = a.element_size() == 2 and n % 2 == 0 and a.data_ptr() % 4 == 0 and b.data_ptr() % 4 == 0
        words = (a.view(torch.int32), b.view(torch.int32)) if packed else (a, b)
        run = _RUN // 2 if packed else _RUN
        _difference[(triton.cdiv(n, _RUN),)](
            *words, a, b, found, n, words[0].numel(), infinity, WORDS=run, RUN=_RUN, TILE=_TILE, BINS=BINS, num_warps=8
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
    highest = distance ^ (distance & (distance >> 1))
    exponent = highest.to(tl.float32).to(tl.int32, bitcast=True) >> 23
    return tl.where(distance == 0, 0, exponent - 126)


@triton.jit(do_not_specialize=["n", "n_words"])
def _difference(
    words_a_ptr,
    words_b_ptr,
    a_ptr,
    b_ptr,
    found_ptr,
    n,
    n_words,
    infinity,
    WORDS: tl.constexpr,
    RUN: tl.constexpr,
    TILE: tl.constexpr,
    BINS: tl.constexpr,
):
    MAGNITUDE: tl.constexpr = 0x7FFF if a_ptr.dtype.element_ty == tl.int16 else 0x7FFFFFFF
    program = tl.program_id(0).to(tl.int64)
    words_a_ptr += program * WORDS
    words_b_ptr += program * WORDS
    offset = tl.arange(0, TILE)
    unequal = tl.zeros((TILE,), words_a_ptr.dtype.element_ty)
    if (program + 1) * WORDS <= n_words:
        for i in tl.static_range(WORDS // TILE):
            unequal |= tl.load(words_a_ptr + i * TILE + offset) ^ tl.load(words_b_ptr + i * TILE + offset)
    else:
        left = (n_words - program * WORDS).to(tl.int32)
        for i in tl.static_range(WORDS // TILE):
            there = i * TILE + offset < left
            word_a = tl.load(words_a_ptr + i * TILE + offset, mask=there, other=0)
            unequal |= word_a ^ tl.load(words_b_ptr + i * TILE + offset, mask=there, other=0)
    if tl.max((unequal != 0).to(tl.int32), 0) > 0:
        a_ptr += program * RUN
        b_ptr += program * RUN
        rest = tl.minimum(n - program * RUN, RUN).to(tl.int32)
        bins = tl.zeros((64,), tl.int32)
        farthest = tl.zeros((TILE,), tl.uint32)
        first = tl.full((TILE,), RUN, tl.int32)
        for j in range(RUN // TILE):
            place = j * TILE + offset
            a = tl.load(a_ptr + place, mask=place < rest, other=0)
            b = tl.load(b_ptr + place, mask=place < rest, other=0)
            nan_a, nan_b = (a.to(tl.int32) & MAGNITUDE) > infinity, (b.to(tl.int32) & MAGNITUDE) > infinity
            line_a, line_b = _line(a, MAGNITUDE), _line(b, MAGNITUDE)
            above, below = tl.maximum(line_a, line_b), tl.minimum(line_a, line_b)
            steps = above.to(tl.uint32, bitcast=True) - below.to(tl.uint32, bitcast=True)
            steps = tl.where(nan_a & nan_b, 0, steps)
            apart = nan_a != nan_b
            bins += tl.histogram(tl.where(apart, BINS - 1, _bin(steps)).to(tl.int32), 64)
            farthest = tl.maximum(farthest, tl.where(apart, 0, steps))
            first = tl.minimum(first, tl.where(apart | (steps != 0), place, RUN))
        k = tl.arange(0, 64)
        tl.atomic_add(found_ptr + k, bins.to(tl.int64), mask=(k > 0) & (bins > 0), sem="relaxed")
        tl.atomic_max(found_ptr + BINS, tl.max(farthest.to(tl.int64), 0), sem="relaxed")
        nearest = tl.min(first, 0)
        if nearest < RUN:
            tl.atomic_max(found_ptr + BINS + 1, n - program * RUN - nearest, sem="relaxed")
