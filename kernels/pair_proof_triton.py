"""How many (x, s) of 16-bit inputs and scales two roundings of x / s to a code tell apart, on CUDA.

Nothing is stored but a count and the first pair: every input is held against every scale in registers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import torch
import triton
import triton.language as tl
from torch import Tensor


class Quotient(IntEnum):
    """How x / s is computed in float32 from 16-bit operands, and to what it is rounded."""

    DIVIDE = 0  # R32(x / s)
    RECIPROCAL_FLOAT32 = 1  # R32(x * R32(1 / s))
    RECIPROCAL_INPUT = 2  # R32(x * R16(1 / s))
    RECIPROCAL_CHAIN = 3  # R16(x * R16(1 / s))
    DIVIDE_INPUT = 4  # R16(x / s)


class Rounding(IntEnum):
    """How the quotient becomes an integer."""

    HALF_EVEN = 0
    HALF_AWAY = 1
    TRUNCATE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRule:
    """One way to a code: clamp(round(quotient) + z), or clamp(round(quotient + z)) with the zero point added first."""

    quotient: Quotient = Quotient.DIVIDE
    rounding: Rounding = Rounding.HALF_EVEN
    adds_first: bool = False


def count_pairs(
    inputs: Tensor,
    scales: Tensor,
    a: CodeRule,
    b: CodeRule,
    *,
    zero_point: int,
    qmin: int,
    qmax: int,
    nan_code: float = 0.0,
) -> tuple[int, tuple[int, int] | None]:
    """(how many pairs get different codes, (index of the input, index of the scale) of one of them or None).

    `inputs`, `scales`: contiguous, of one 16-bit dtype, on CUDA. A NaN becomes `nan_code`, which may lie
    outside the grid: then a NaN is a code of its own.
    """
    count = torch.zeros((), dtype=torch.int64, device=inputs.device)
    first = torch.full((), torch.iinfo(torch.int64).max, dtype=torch.int64, device=inputs.device)
    tile, steps = 1024, 64
    grid = (triton.cdiv(inputs.numel(), tile), triton.cdiv(scales.numel(), steps))
    _count[grid](
        inputs,
        scales,
        count,
        first,
        inputs.numel(),
        scales.numel(),
        zero_point,
        qmin,
        qmax,
        nan_code,
        QUOTIENT_A=int(a.quotient),
        QUOTIENT_B=int(b.quotient),
        ROUNDING_A=int(a.rounding),
        ROUNDING_B=int(b.rounding),
        FIRST_A=a.adds_first,
        FIRST_B=b.adds_first,
        TILE=tile,
        STEPS=steps,
        num_warps=4,
        enable_fp_fusion=False,
    )
    n = int(count)
    return n, divmod(int(first), scales.numel()) if n else None


@triton.jit
def _quotient(x, s, HOW: tl.constexpr, DTYPE: tl.constexpr):
    if HOW == 0:
        return tl.div_rn(x, s)
    if HOW == 4:
        return tl.div_rn(x, s).to(DTYPE).to(tl.float32)
    inverse = tl.div_rn(tl.full(s.shape, 1.0, tl.float32), s)
    if HOW == 1:
        return x * inverse
    product = x * inverse.to(DTYPE).to(tl.float32)
    return product if HOW == 2 else product.to(DTYPE).to(tl.float32)


@triton.jit
def _whole(t, HOW: tl.constexpr):
    """t as an integer, by HOW; beyond 2^22 in magnitude it is cut there, where every grid has ended."""
    t = tl.minimum(tl.maximum(t, -4194304.0), 4194304.0)
    if HOW == 0:
        return (t + 12582912.0) - 12582912.0
    whole = t.to(tl.int32).to(tl.float32)
    if HOW == 2:
        return whole
    return tl.where(tl.abs(t - whole) >= 0.5, whole + tl.where(t < 0, -1.0, 1.0), whole)


@triton.jit
def _code(t, z, qmin, qmax, nan_code, HOW: tl.constexpr, ADDS_FIRST: tl.constexpr):
    if ADDS_FIRST:
        code = _whole(t + z, HOW)
    else:
        code = _whole(t, HOW) + z
    code = tl.minimum(tl.maximum(code, qmin), qmax)
    return tl.where(t == t, code, nan_code)


@triton.jit
def _count(
    inputs_ptr,
    scales_ptr,
    count_ptr,
    first_ptr,
    n_inputs,
    n_scales,
    zero_point,
    qmin,
    qmax,
    nan_code,
    QUOTIENT_A: tl.constexpr,
    QUOTIENT_B: tl.constexpr,
    ROUNDING_A: tl.constexpr,
    ROUNDING_B: tl.constexpr,
    FIRST_A: tl.constexpr,
    FIRST_B: tl.constexpr,
    TILE: tl.constexpr,
    STEPS: tl.constexpr,
):
    DTYPE: tl.constexpr = inputs_ptr.dtype.element_ty
    place = tl.program_id(0) * TILE + tl.arange(0, TILE)
    there = place < n_inputs
    x = tl.load(inputs_ptr + place, mask=there, other=0.0).to(tl.float32)
    z, low, high = zero_point * 1.0, qmin * 1.0, qmax * 1.0
    different = tl.zeros((TILE,), tl.int32)
    last = tl.full((TILE,), -1, tl.int32)
    start = tl.program_id(1) * STEPS
    for i in range(start, min(start + STEPS, n_scales)):
        s = tl.load(scales_ptr + i).to(tl.float32) + tl.zeros((TILE,), tl.float32)
        a = _code(_quotient(x, s, QUOTIENT_A, DTYPE), z, low, high, nan_code, ROUNDING_A, FIRST_A)
        b = _code(_quotient(x, s, QUOTIENT_B, DTYPE), z, low, high, nan_code, ROUNDING_B, FIRST_B)
        unequal = (a != b) & there
        different += unequal.to(tl.int32)
        last = tl.where(unequal, i, last)
    total = tl.sum(different, 0)
    if total > 0:
        tl.atomic_add(count_ptr, total.to(tl.int64), sem="relaxed")
        witness = place.to(tl.int64) * n_scales + last
        tl.atomic_min(first_ptr, tl.min(tl.where(last >= 0, witness, 9223372036854775807), 0), sem="relaxed")
