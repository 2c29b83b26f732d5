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
    """(rows in float64, sum of squares of each row) of contiguous [..., K] float32, bfloat16 or float16."""
    wide = torch.empty_like(rows, dtype=torch.float64)
    squares = rows.new_empty(rows.shape[:-1], dtype=torch.float64)
    if squares.numel():
        _widen[(squares.numel(),)](rows, wide, squares, rows.shape[-1], TILE=2048, num_warps=4)
    return wide, squares


def certified_rounding(
    total: Tensor, error_x: Tensor, error_w: Tensor, slack: Tensor | None, dtype: torch.dtype
) -> tuple[Tensor, Tensor, int]:
    """(R_dtype(total + e), mask of what is proven, how many are not), e[m, n] = error_x[m] * error_w[n] + slack[n].

    `total`: contiguous float64 [..., M, N]; the others are broadcast to total's leading dimensions, and contiguous.
    """
    m, n = total.shape[-2:]
    value = torch.empty_like(total, dtype=dtype)
    proven = torch.empty_like(total, dtype=torch.bool)
    left = torch.zeros((), dtype=torch.int32, device=total.device)
    _round[(triton.cdiv(total.numel(), _TILE),)](
        total,
        error_x,
        error_w,
        error_w if slack is None else slack,
        value,
        proven,
        left,
        total.numel(),
        m,
        n,
        HAS_SLACK=slack is not None,
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


@triton.jit
def _round(
    total_ptr,
    error_x_ptr,
    error_w_ptr,
    slack_ptr,
    value_ptr,
    proven_ptr,
    left_ptr,
    size,
    m,
    n,
    HAS_SLACK: tl.constexpr,
    TILE: tl.constexpr,
):
    DTYPE: tl.constexpr = value_ptr.dtype.element_ty
    place = tl.program_id(0).to(tl.int64) * TILE + tl.arange(0, TILE)
    there = place < size
    row = place // n
    column = (row // m) * n + place % n
    total = tl.load(total_ptr + place, mask=there, other=0.0)
    error = tl.load(error_x_ptr + row, mask=there, other=0.0) * tl.load(error_w_ptr + column, mask=there, other=0.0)
    if HAS_SLACK:
        error += tl.load(slack_ptr + column, mask=there, other=0.0)
    value, other_end = _narrow(total + error, DTYPE), _narrow(total - error, DTYPE)
    wide, wide_other = value.to(tl.float32), other_end.to(tl.float32)
    same_sign = (wide.to(tl.int32, bitcast=True) ^ wide_other.to(tl.int32, bitcast=True)) >= 0
    proven = (wide == wide_other) & same_sign
    tl.store(value_ptr + place, value, mask=there)
    tl.store(proven_ptr + place, proven, mask=there)
    tl.atomic_add(left_ptr, tl.sum((there & (proven == 0)).to(tl.int32), 0), sem="relaxed")
