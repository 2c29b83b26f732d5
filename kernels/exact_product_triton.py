"""exact_product on CUDA: three kernels about one float64 product, none of which waits for the host.

1. Operands to float64, with the sum of squares of every row.
2. Sums rounded where their error bound proves the rounding; the places of the others are listed.
3. Those are summed again in fixed point: a product of two float32 numbers is an integer times 2^-350, so 20 limbs of 32
   bits hold the sum of 2^24 of them without rounding. The limbs are then added to odd, from the least, which leaves one
   rounding to make. The bits are those of the slices that kernels.exact_product cuts on other devices.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.affine_triton import _add_to_odd, _float64_to_odd_16

LIMBS = 20
_TILE = 1024
_PROGRAMS = 1024


def widened(rows: Tensor) -> tuple[Tensor, Tensor]:
    """(rows in float64, sums of squares [..., 1]) of contiguous [..., K] float32, bfloat16 or float16."""
    wide = torch.empty_like(rows, dtype=torch.float64)
    squares = rows.new_empty((*rows.shape[:-1], 1), dtype=torch.float64)
    if squares.numel():
        _widen[(squares.numel(),)](rows, wide, squares, rows.shape[-1], TILE=2048, num_warps=4)
    return wide, squares


def rounded(
    total: Tensor,
    x: Tensor,
    w: Tensor,
    squares_x: Tensor,
    squares_w: Tensor,
    addend: Tensor | None,
    relative: float,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """(R_dtype(x @ w.T + addend), int64 [..., 2]: outputs summed a second time, those that meet what is not finite).

    `total`: contiguous float64 [..., M, N], the plain sum; `x` [..., M, K], `w` [..., N, K] in float64, `squares_*`
    their sums of squares [..., 1] and `addend` [..., 1, N]: broadcast to total's leading dimensions, and contiguous.
    The error of `total` is at most (sqrt(squares_x * squares_w) + |addend|) * relative; `relative` may be rounded to
    float32.
    """
    m, n = total.shape[-2:]
    value = torch.empty_like(total, dtype=dtype)
    counts = torch.zeros((*total.shape[:-2], 2), dtype=torch.int64, device=total.device)
    if not total.numel():
        return value, counts
    listed = torch.zeros(1, dtype=torch.int64, device=total.device)
    places = torch.empty(total.numel(), dtype=torch.int64, device=total.device)
    bias = squares_w if addend is None else addend
    _round[(triton.cdiv(total.numel(), _TILE),)](
        total,
        squares_x,
        squares_w,
        bias,
        value,
        places,
        listed,
        counts,
        total.numel(),
        m,
        n,
        relative,
        HAS_ADDEND=addend is not None,
        TILE=_TILE,
        enable_fp_fusion=False,
    )
    _sum_again[(_PROGRAMS,)](
        total,
        x,
        w,
        bias,
        value,
        places,
        listed,
        counts,
        m,
        n,
        x.shape[-1],
        HAS_ADDEND=addend is not None,
        TILE=512,
        LIMBS=LIMBS,
        PROGRAMS=_PROGRAMS,
        enable_fp_fusion=False,
    )
    return value, counts


@triton.jit
def _widen(rows_ptr, wide_ptr, squares_ptr, k, TILE: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    squares = tl.zeros((TILE,), tl.float64)
    for start in range(0, k, TILE):
        column = start + tl.arange(0, TILE)
        value = tl.load(rows_ptr + row * k + column, mask=column < k, other=0.0).to(tl.float64)
        tl.store(wide_ptr + row * k + column, value, mask=column < k)
        squares += value * value
    tl.store(squares_ptr + row, tl.sum(squares, 0))


@triton.jit
def _narrow(t, DTYPE: tl.constexpr):
    if DTYPE == tl.float32:
        return t.to(tl.float32)
    return _float64_to_odd_16(t).to(DTYPE)


@triton.jit(do_not_specialize=["size", "m", "n"])
def _round(
    total_ptr,
    squares_x_ptr,
    squares_w_ptr,
    addend_ptr,
    value_ptr,
    places_ptr,
    listed_ptr,
    counts_ptr,
    size,
    m,
    n,
    relative,
    HAS_ADDEND: tl.constexpr,
    TILE: tl.constexpr,
):
    DTYPE: tl.constexpr = value_ptr.dtype.element_ty
    place = tl.program_id(0).to(tl.int64) * TILE + tl.arange(0, TILE)
    there = place < size
    row = place // n
    column = (row // m) * n + place % n
    total = tl.load(total_ptr + place, mask=there, other=0.0)
    squares_x = tl.load(squares_x_ptr + row, mask=there, other=0.0)
    squares_w = tl.load(squares_w_ptr + column, mask=there, other=0.0)
    error = tl.sqrt(squares_x * squares_w)
    if HAS_ADDEND:
        error += tl.abs(tl.load(addend_ptr + column, mask=there, other=0.0))
    error *= relative
    value, other_end = _narrow(total + error, DTYPE), _narrow(total - error, DTYPE)
    wide, wide_other = value.to(tl.float32), other_end.to(tl.float32)
    same_sign = (wide.to(tl.int32, bitcast=True) ^ wide_other.to(tl.int32, bitcast=True)) >= 0
    left = there & ((wide != wide_other) | (same_sign == 0))
    tl.store(value_ptr + place, value, mask=there)
    if tl.max(left.to(tl.int32), 0) > 0:
        one = tl.full((TILE,), 1, tl.int64)
        slot = tl.atomic_add(listed_ptr + tl.zeros((TILE,), tl.int32), one, mask=left, sem="relaxed")
        tl.atomic_add(counts_ptr + 2 * (row // m), one, mask=left, sem="relaxed")
        tl.store(places_ptr + slot, place, mask=left)


@triton.jit
def _chunks(value):
    """(limb, three signed chunks of 32 bits) of a float64 that is a multiple of 2^-352: its bits from that limb up."""
    fields = value.to(tl.int64, bitcast=True)
    exponent = (fields >> 52) & 0x7FF
    significand = tl.where(exponent == 0, 0, (fields & ((1 << 52) - 1)) | (1 << 52))
    position = tl.maximum(exponent - 723, 0)  # of the last bit, above 2^-352: 1075 - 352 = 723
    shift = position & 31
    sign = tl.where(fields < 0, -1, 1).to(tl.int64)
    low = (significand << shift) & 0xFFFFFFFF
    middle = (significand >> (32 - shift)) & 0xFFFFFFFF
    high = (significand >> 32) >> (32 - shift)
    return position >> 5, low * sign, middle * sign, high * sign


@triton.jit
def _of_limb(value, LIMB: tl.constexpr):
    """What `value` adds to one limb."""
    limb, low, middle, high = _chunks(value)
    added = tl.where(limb == LIMB, low, 0) + tl.where(limb == LIMB - 1, middle, 0)
    return added + tl.where(limb == LIMB - 2, high, 0)


@triton.jit(do_not_specialize=["m", "n", "k"])
def _sum_again(
    total_ptr,
    x_ptr,
    w_ptr,
    addend_ptr,
    value_ptr,
    places_ptr,
    listed_ptr,
    counts_ptr,
    m,
    n,
    k,
    HAS_ADDEND: tl.constexpr,
    TILE: tl.constexpr,
    LIMBS: tl.constexpr,
    PROGRAMS: tl.constexpr,
):
    DTYPE: tl.constexpr = value_ptr.dtype.element_ty
    program = tl.program_id(0)
    lane = tl.arange(0, 32)
    count = tl.load(listed_ptr).to(tl.int32)
    for i in range(program, count, PROGRAMS):
        place = tl.load(places_ptr + i)
        row = place // n
        column = (row // m) * n + place % n
        total = tl.load(total_ptr + place)
        if tl.abs(total) < float("inf"):
            carry = tl.zeros((), tl.int64)
            digits = tl.zeros((32,), tl.int64)
            for limb in tl.static_range(LIMBS):
                added = tl.zeros((TILE,), tl.int64)
                for start in range(0, k, TILE):
                    at = start + tl.arange(0, TILE)
                    x = tl.load(x_ptr + row * k + at, mask=at < k, other=0.0)
                    w = tl.load(w_ptr + column * k + at, mask=at < k, other=0.0)
                    added += _of_limb(x * w, limb)
                carry += tl.sum(added, 0)
                if HAS_ADDEND:
                    carry += _of_limb(tl.load(addend_ptr + column), limb)
                digits = tl.where(lane == limb, carry & 0xFFFFFFFF, digits)
                carry = carry >> 32
            # Two's complement: below the sign, carry is -1 for a negative sum and 0 for any other.
            exact = tl.zeros((), tl.float64)
            borrow = carry & 1
            for limb in tl.static_range(LIMBS):
                digit = tl.sum(tl.where(lane == limb, digits, 0), 0)
                digit = tl.where(carry < 0, 0xFFFFFFFF - digit + borrow, digit)
                borrow = tl.where(carry < 0, digit >> 32, 0)
                digit = digit & 0xFFFFFFFF
                exact = _add_to_odd(digit.to(tl.float64) * _power(limb * 32 - 352), exact)
            value = _narrow(tl.where(carry < 0, -exact, exact), DTYPE)
        else:
            value = _narrow(tl.where(total == total, total, float("nan")), DTYPE)
            tl.atomic_add(counts_ptr + 2 * (row // m) + 1, 1, sem="relaxed")
        tl.store(value_ptr + place, value)


@triton.jit
def _power(EXPONENT: tl.constexpr):
    """2^EXPONENT in float64, from its bits: a constant of Triton would first be a float32."""
    return tl.full((), (EXPONENT + 1023) << 52, tl.int64).to(tl.float64, bitcast=True)
