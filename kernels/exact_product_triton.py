"""The certificate of exact_product on CUDA: float64 sums rounded, and the count of those their error bound leaves open.

One pass where plain torch makes some thirty; the bits are those of kernels.narrow at both ends of the interval.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.affine_triton import _float64_to_odd_16

_TILE = 1024


def widened(rows: Tensor) -> tuple[Tensor, Tensor]:
    """(rows in float64, sums of squares [..., 1]) of contiguous [..., K] float32, bfloat16 or float16."""
    wide = torch.empty_like(rows, dtype=torch.float64)
    squares = rows.new_empty((*rows.shape[:-1], 1), dtype=torch.float64)
    if squares.numel():
        _widen[(squares.numel(),)](rows, wide, squares, rows.shape[-1], TILE=2048, num_warps=4)
    return wide, squares


def certified_rounding(
    total: Tensor, squares_x: Tensor, squares_w: Tensor, addend: Tensor | None, relative: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor, int]:
    """(R_dtype(total + e), mask of what is proven, how many are not).

    e[m, n] = (sqrt(squares_x[m] * squares_w[n]) + |addend[n]|) * relative; `relative` may be rounded to float32.
    `total`: contiguous float64 [..., M, N]; the others are broadcast to total's leading dimensions, and contiguous.
    """
    m, n = total.shape[-2:]
    value = torch.empty_like(total, dtype=dtype)
    proven = torch.empty_like(total, dtype=torch.bool)
    left = torch.zeros((), dtype=torch.int32, device=total.device)
    if total.numel():
        _round[(triton.cdiv(total.numel(), _TILE),)](
            total,
            squares_x,
            squares_w,
            squares_w if addend is None else addend,
            value,
            proven,
            left,
            total.numel(),
            m,
            n,
            relative,
            HAS_ADDEND=addend is not None,
            TILE=_TILE,
            enable_fp_fusion=False,
        )
    return value, proven, int(left)


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
    proven_ptr,
    left_ptr,
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
    error *= relative.to(tl.float64)
    value, other_end = _narrow(total + error, DTYPE), _narrow(total - error, DTYPE)
    wide, wide_other = value.to(tl.float32), other_end.to(tl.float32)
    same_sign = (wide.to(tl.int32, bitcast=True) ^ wide_other.to(tl.int32, bitcast=True)) >= 0
    proven = (wide == wide_other) & same_sign
    tl.store(value_ptr + place, value, mask=there)
    tl.store(proven_ptr + place, proven, mask=there)
    tl.atomic_add(left_ptr, tl.sum((there & (proven == 0)).to(tl.int32), 0), sem="relaxed")
