"""narrow(x, d) = R_d(x): one rounding to nearest, ties to even, whatever the width of x.

Two conversions are not one rounding when left to torch:

* float64 -> bfloat16 | float16 passes through float32 and rounds twice; here all but 16 bits are first rounded to odd,
  and what is left passes through float32 unrounded.
* float32 -> 16 bit inside a compiled kernel is dropped when a widening follows, since a compiler keeps 16-bit values in
  float32 registers; there the rounding is integer arithmetic on the bits, which no compiler may drop, and the cast that
  follows it is exact.

A 16-bit `x` that a compiled kernel has just computed is such an unrounded register: compute in float32, then narrow.
"""

import torch
from torch import Tensor

from kernels.round_to_odd import round_to_odd

_SIGN = -(2**31)  # bit 31 as an int32
_INFINITY = 0x7F800000  # float32 bits


def narrow(x: Tensor, dtype: torch.dtype) -> Tensor:
    """narrow(x, d) = R_d(x), rounded once to nearest even; overflow becomes infinity, subnormals and -0 are kept.

    `x`: float64, float32, bfloat16 or float16 of any shape; `dtype`: any of the four, wider ones being exact. The
    payload of a NaN is not promised. Raises ValueError for any other dtype.
    """
    for role, given in (("x", x.dtype), ("dtype", dtype)):
        if given not in _FLOATS:
            raise ValueError(f"{role} is {given}, but narrow rounds between float64, float32, bfloat16 and float16.")
    if x.dtype is dtype:
        return x
    if dtype in _SIXTEEN_BITS:
        if x.dtype is torch.float64:
            x = round_to_odd(x, _KEPT_BITS)
        if torch.compiler.is_compiling():
            x = _rounded_by_bits(x.to(torch.float32), dtype)
    return x.to(dtype)


def _rounded_by_bits(x: Tensor, dtype: torch.dtype) -> Tensor:
    """The float32 `x` rounded to the values of bfloat16 or float16, still in float32, by integer arithmetic alone."""
    bits = x.view(torch.int32)
    if dtype is torch.bfloat16:
        rounded = _drop(bits, 16)  # the sign rides along; a NaN may lose it, and is replaced
    else:
        magnitude = bits & 0x7FFFFFFF
        rounded = _drop(magnitude, 13)
        rounded = torch.where(rounded >= _FLOAT16_BEYOND, _INFINITY, rounded)
        rounded = torch.where(magnitude < _FLOAT16_NORMAL, _float16_subnormal(magnitude), rounded) | (bits & _SIGN)
    return torch.where(x == x, rounded.view(torch.float32), torch.nan)


def _drop(pattern: Tensor, n: int) -> Tensor:
    """A pattern rounded to a multiple of 2^n, ties to even; a carry into the exponent field is the next binade."""
    odd = (pattern >> n) & 1
    rounded: Tensor = (pattern + (2 ** (n - 1) - 1) + odd) & -(2**n)
    return rounded


def _float16_subnormal(magnitude: Tensor) -> Tensor:
    """Bits of |x| < 2^-14 rounded to a multiple of 2^-24, float16's smallest step, ties to even."""
    exponent = magnitude >> 23
    significand = (magnitude & 0x7FFFFF) | 0x800000  # |x| = significand * 2^(exponent - 150)
    # steps = significand * 2^(exponent - 126). From 25 bits on every significand is below half a step, so larger shifts
    # change nothing; below 2^-14 the shift is at least 14 (the lower clamp only keeps the unused lanes defined).
    shift = (126 - exponent).clamp(1, 25)
    odd = (significand >> shift) & 1
    steps = (significand + (1 << (shift - 1)) - 1 + odd) >> shift
    return (steps.to(torch.float32) * 2.0**-24).view(torch.int32)  # exact: at most 2^10 steps


_SIXTEEN_BITS = (torch.bfloat16, torch.float16)
_FLOATS = (torch.float64, torch.float32, *_SIXTEEN_BITS)
# At least two more than float16's 11. At most 16, so that float32 holds them all down to 2^-134, half of
# bfloat16's smallest step: there a value just above the tie must stay above it.
_KEPT_BITS = 16
_FLOAT16_NORMAL = 0x38800000  # bits of 2^-14
_FLOAT16_BEYOND = 0x47800000  # bits of 2^16, the first power of two that float16 lacks
