"""Rows of x to scale, zero point, codes, their bytes and the values read back, in one pass over memory, on CUDA.

What is fused is the computation without a rounding that a compiler could move: range, scale, zero point and quotient in
float32, correctly rounded divisions, ties to even, the zero point added after rounding, (q - z) * s in float32, and
(q - mid) * s + z rounded once. The plain-torch reference is quant's path under such rules; the bits are its bits.

Subnormals are kept, additions are not contracted with products, and a minimum of a NaN is a NaN.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.affine_grid import MAX_GROUP, AffineGrid, AffineRows, Nibbles

_ELEMENTS = 4096  # of one program, in whole rows


def affine_rows(
    x: Tensor, grid: AffineGrid, *, codes: bool, values: bool, inside: bool = False, packed: Nibbles | None = None
) -> AffineRows:
    """Quantize each row of `x` [rows, group] by its own range; what is not asked for is neither computed nor stored.

    `x`: contiguous float32, bfloat16 or float16 on CUDA; `group` up to MAX_GROUP, and even where sixteen codes are
    `packed`. Values are in x's dtype. Raises ValueError for other inputs.
    """
    if not (x.is_cuda and x.dim() == 2 and x.is_contiguous() and 0 < x.shape[1] <= MAX_GROUP):
        raise ValueError(
            f"x is {x.dtype} {tuple(x.shape)} on {x.device}; rows are contiguous, on CUDA and up to {MAX_GROUP} long"
        )
    rows, group = x.shape
    if packed is not None and (group % 2 or grid.qmax - grid.qmin != 15):
        raise ValueError(
            f"rows are {group} long and codes {grid.qmin} to {grid.qmax}; bytes hold pairs of sixteen codes each"
        )
    scale = torch.empty(rows, dtype=grid.scale_dtype, device=x.device)
    zero_point = None if grid.zero_point_dtype is None else scale.new_empty(rows, dtype=grid.zero_point_dtype)
    code_values = torch.empty_like(x, dtype=grid.code_dtype) if codes else None
    read_back = torch.empty_like(x) if values else None
    mask = torch.empty_like(x, dtype=torch.bool) if inside else None
    code_bytes = None if packed is None else torch.empty(rows, group // 2, dtype=torch.uint8, device=x.device)
    padded = triton.next_power_of_2(group)
    block = max(1, _ELEMENTS // padded)
    _affine[(triton.cdiv(rows, block),)](
        x,
        scale,
        scale if zero_point is None else zero_point,
        x if code_values is None else code_values,
        x if read_back is None else read_back,
        x if mask is None else mask,
        x if code_bytes is None else code_bytes,
        rows,
        grid.divisor,
        grid.eps,
        GROUP=group,
        PADDED=padded,
        BLOCK=block,
        FORM=int(grid.form),
        QMIN=grid.qmin,
        QMAX=grid.qmax,
        INCLUDES_ZERO=grid.includes_zero,
        HAS_ZERO_POINT=zero_point is not None,
        CONSTANT=grid.constant_zero_point,
        CODES=codes,
        VALUES=values,
        INSIDE=inside,
        PACKED=0 if packed is None else int(packed),
        num_warps=4 if padded <= 4096 else 8,
        enable_fp_fusion=False,
    )
    return AffineRows(
        scale=scale, zero_point=zero_point, codes=code_values, values=read_back, inside=mask, packed=code_bytes
    )


@triton.jit
def _least(a, b):
    return tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _greatest(a, b):
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _half_even(t):
    """The nearest integer of |t| < 2^22, ties to even; a zero is +0."""
    return (t + 12582912.0) - 12582912.0


@triton.jit
def _float64_to_odd_16(high):
    """float64 cut to 16 significant bits, the last one set if anything was dropped, as float32, which is exact."""
    fields = high.to(tl.int64, bitcast=True)
    dropped: tl.constexpr = (1 << 37) - 1
    odd = (fields | ((fields & dropped) + dropped)) & ~dropped
    return odd.to(tl.float64, bitcast=True).to(tl.float32)


@triton.jit
def _add_to_odd(a, b):
    """odd_53(a + b) of float64, whatever is infinite or NaN left as it is."""
    s = a + b
    b_part = s - a
    e = (a - (s - b_part)) + (b - b_part)
    fields = s.to(tl.int64, bitcast=True)
    inexact = (tl.abs(e) > 0.0).to(tl.int64)
    beyond = (fields ^ e.to(tl.int64, bitcast=True)) >> 63
    return ((fields + beyond * inexact) | inexact).to(tl.float64, bitcast=True)


@triton.jit
def _placed(q, s, z, MID: tl.constexpr, DTYPE: tl.constexpr):
    """(q - MID) * s + z with one rounding, to DTYPE: the product is exact in float64, the sum is rounded to odd."""
    exact = _add_to_odd((q - MID).to(tl.float64) * s.to(tl.float64), z.to(tl.float64))
    if DTYPE == tl.float32:
        return exact.to(tl.float32)
    return _float64_to_odd_16(exact).to(DTYPE)


@triton.jit
def _stored_zero_point(z, DTYPE: tl.constexpr):
    """z in its dtype; a NaN is the least int32 (int64), whose low bits narrower integers keep."""
    if DTYPE.is_floating():
        return z.to(DTYPE)
    if DTYPE == tl.int64:
        return tl.where(z == z, z, -9223372036854775808.0).to(tl.int64)
    return tl.where(z == z, z, -2147483648.0).to(tl.int32).to(DTYPE)


@triton.jit
def _affine(
    x_ptr,
    scale_ptr,
    zero_point_ptr,
    codes_ptr,
    values_ptr,
    inside_ptr,
    packed_ptr,
    n_rows,
    divisor,
    eps,
    GROUP: tl.constexpr,
    PADDED: tl.constexpr,
    BLOCK: tl.constexpr,
    FORM: tl.constexpr,
    QMIN: tl.constexpr,
    QMAX: tl.constexpr,
    INCLUDES_ZERO: tl.constexpr,
    HAS_ZERO_POINT: tl.constexpr,
    CONSTANT: tl.constexpr,
    CODES: tl.constexpr,
    VALUES: tl.constexpr,
    INSIDE: tl.constexpr,
    PACKED: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    column = tl.arange(0, PADDED)
    there = (row < n_rows)[:, None] & (column < GROUP)[None, :]
    place = row[:, None] * GROUP + column[None, :]
    stored = tl.load(x_ptr + place, mask=there, other=0.0)
    x = stored.to(tl.float32)

    if PADDED == GROUP:
        low, high = tl.reduce(x, 1, _least), tl.reduce(x, 1, _greatest)
    else:
        held = (column < GROUP)[None, :]
        low = tl.reduce(tl.where(held, x, float("inf")), 1, _least)
        high = tl.reduce(tl.where(held, x, float("-inf")), 1, _greatest)
    if INCLUDES_ZERO:
        low, high = _least(low, 0.0), _greatest(high, 0.0)
    low, high = low + 0.0, high + 0.0

    if FORM == 0:
        s = tl.div_rn(_greatest(-low, high) + 0.0, divisor + tl.zeros_like(low))
    elif FORM == 1:
        from_low = tl.div_rn(low, tl.full(low.shape, QMIN, tl.float32))
        from_high = tl.div_rn(high, tl.full(low.shape, QMAX, tl.float32))
        s = tl.where(from_low > from_high, from_low, from_high)
    else:
        s = tl.div_rn(high - low, divisor + tl.zeros_like(low))
    s = _greatest(s, eps + tl.zeros_like(s))
    narrow_s = s.to(scale_ptr.dtype.element_ty)
    tl.store(scale_ptr + row, narrow_s, mask=row < n_rows)
    s = narrow_s.to(tl.float32)

    MID: tl.constexpr = (QMIN + QMAX + 1) / 2
    z = tl.zeros_like(s)
    if HAS_ZERO_POINT:
        if FORM == 3:
            z = low + s * MID
        elif FORM == 2:
            d = tl.div_rn(low, s)
            z = QMIN - _half_even(tl.minimum(tl.maximum(d, -1048576.0), 1048576.0))
            z = tl.minimum(tl.maximum(z, QMIN * 1.0), QMAX * 1.0)
            z = tl.where(d == d, z, d)
        else:
            z = tl.full(s.shape, CONSTANT, tl.float32)
        narrow_z = _stored_zero_point(z, zero_point_ptr.dtype.element_ty)
        tl.store(zero_point_ptr + row, narrow_z, mask=row < n_rows)
        z = narrow_z.to(tl.float32)

    s, z = s[:, None], z[:, None]
    if FORM == 3:
        t = tl.div_rn(x - (z - s * MID), s + tl.zeros_like(x))
    else:
        t = tl.div_rn(x, s + tl.zeros_like(x))
    q = _half_even(tl.minimum(tl.maximum(t, -2097152.0), 2097152.0))
    if FORM == 2 or (FORM < 2 and CONSTANT != 0):
        q = q + z
    number = (t == t) & (z == z)
    if INSIDE:
        tl.store(inside_ptr + place, (q >= QMIN) & (q <= QMAX) & number, mask=there)
    q = tl.minimum(tl.maximum(q, QMIN * 1.0), QMAX * 1.0)
    q = tl.where(number, q, 0.0)
    if CODES:
        tl.store(codes_ptr + place, q.to(tl.int32).to(codes_ptr.dtype.element_ty), mask=there)
    if PACKED != 0:
        raised = tl.reshape((q - QMIN).to(tl.int32), (BLOCK, PADDED // 2, 2))
        first, second = tl.split(raised)
        code_byte = first | (second << 4) if PACKED == 1 else (first << 4) | second
        pair = tl.arange(0, PADDED // 2)
        held_pairs = (row < n_rows)[:, None] & (pair < GROUP // 2)[None, :]
        tl.store(packed_ptr + row[:, None] * (GROUP // 2) + pair[None, :], code_byte.to(tl.uint8), mask=held_pairs)
    if VALUES:
        if FORM == 3:
            values = _placed(q, s, z, MID, values_ptr.dtype.element_ty)
        elif FORM == 2 or (FORM < 2 and CONSTANT != 0):
            values = ((q - z) * s).to(values_ptr.dtype.element_ty)
        else:
            values = (q * s).to(values_ptr.dtype.element_ty)
        tl.store(values_ptr + place, values, mask=there)
