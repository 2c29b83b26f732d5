"""narrow(x, d) = R_d(x): one rounding to nearest, ties to even, whatever the width of x.

Two conversions are not one rounding when left to torch:

* float64 -> bfloat16 | float16 passes through float32 and rounds twice; here all but 16 bits are first rounded to odd,
  and what is left passes through float32 unrounded.
* float32 -> 16 bit inside a compiled kernel is dropped when a widening follows, since a compiler keeps 16-bit values in
  float32 registers; there the rounding is integer arithmetic on the bits, which no compiler may drop, and the cast that
  follows it is exact.

A 16-bit `x` that a compiled kernel has just computed is such an unrounded register: compute in float32, then narrow.

float8_e4m3fn is a format to store in: 4 bits of significand, normal from 2^-6, steps of 2^-9 below, 448 the largest,
and no infinity. Torch's conversion of what lies beyond differs between versions and devices; here it saturates.
"""

import torch
from torch import Tensor

from kernels.round_to_odd import round_to_odd

_SIGN = -(2**31)  # bit 31 as an int32
_INFINITY = 0x7F800000  # float32 bits


def narrow(x: Tensor, dtype: torch.dtype) -> Tensor:
    """narrow(x, d) = R_d(x), rounded once to nearest even; overflow becomes infinity, subnormals and -0 are kept.

    `x`: float64, float32, bfloat16, float16 or float8_e4m3fn of any shape; `dtype`: any of these, wider ones being
    exact. Beyond 448 float8_e4m3fn is 448, of infinities too. The payload of a NaN is not promised. Raises ValueError
    for any other dtype.
    """
    for role, given in (("x", x.dtype), ("dtype", dtype)):
        if given not in _FLOATS:
            raise ValueError(
                f"{role} is {given}, but narrow rounds between float64, float32, bfloat16, float16 and float8_e4m3fn."
            )
    if x.dtype is dtype:
        return x
    if dtype in _NARROW:
        if x.dtype is torch.float64:
            x = round_to_odd(x, _KEPT_BITS)
        if dtype is E4M3 or torch.compiler.is_compiling():
            x = _rounded_by_bits(x.to(torch.float32), dtype)
    return x.to(dtype)


def next_above(t: Tensor) -> Tensor:
    """next_above(t) = the least number of t's dtype above t, which may be infinity; NaN stays.

    `t`: any of narrow's dtypes; in float8_e4m3fn, which has no infinity, 448 stays.
    """
    if t.dtype is not E4M3:
        return t.nextafter(torch.full_like(t, torch.inf))
    pattern = t.view(torch.int8)
    above = torch.where(pattern < 0, pattern - 1, (pattern + 1).clamp(max=_E4M3_LAST))
    above = torch.where(pattern == -128, 1, above)  # -0 is followed by what follows 0
    is_nan = pattern & _E4M3_NAN == _E4M3_NAN
    return torch.where(is_nan, pattern, above.to(torch.int8)).view(E4M3)


def _rounded_by_bits(x: Tensor, dtype: torch.dtype) -> Tensor:
    """The float32 `x` rounded to the values of a narrower dtype, still in float32, by integer arithmetic alone."""
    bits = x.view(torch.int32)
    if dtype is torch.bfloat16:
        rounded = _drop(bits, 16)  # the sign rides along; a NaN may lose it, and is replaced
    elif dtype is torch.float16:
        magnitude = bits & 0x7FFFFFFF
        rounded = _drop(magnitude, 13)
        rounded = torch.where(rounded >= _FLOAT16_BEYOND, _INFINITY, rounded)
        rounded = torch.where(magnitude < _FLOAT16_NORMAL, _subnormal(magnitude, -24), rounded) | (bits & _SIGN)
    else:
        magnitude = bits & 0x7FFFFFFF
        rounded = _drop(magnitude, 20).clamp(max=_E4M3_LARGEST)
        rounded = torch.where(magnitude < _E4M3_NORMAL, _subnormal(magnitude, -9), rounded) | (bits & _SIGN)
    return torch.where(x == x, rounded.view(torch.float32), torch.nan)


def _drop(pattern: Tensor, n: int) -> Tensor:
    """A pattern rounded to a multiple of 2^n, ties to even; a carry into the exponent field is the next binade."""
    odd = (pattern >> n) & 1
    rounded: Tensor = (pattern + (2 ** (n - 1) - 1) + odd) & -(2**n)
    return rounded


def _subnormal(magnitude: Tensor, step: int) -> Tensor:
    """Bits of an |x| below a format's least normal number, rounded to a multiple of 2^step, ties to even."""
    exponent = magnitude >> 23
    significand = (magnitude & 0x7FFFFF) | 0x800000  # |x| = significand * 2^(exponent - 150)
    # steps = significand * 2^(exponent - 150 - step). From 25 bits on every significand is below half a step, so larger
    # shifts change nothing; below the least normal number, 2^10 steps or 2^3, the shift is at least 14 (the lower clamp
    # only keeps the unused lanes defined).
    shift = (150 + step - exponent).clamp(1, 25)
    odd = (significand >> shift) & 1
    steps = (significand + (1 << (shift - 1)) - 1 + odd) >> shift
    return (steps.to(torch.float32) * 2.0**step).view(torch.int32)  # exact: at most 2^10 steps


E4M3 = torch.float8_e4m3fn
_NARROW = (torch.bfloat16, torch.float16, E4M3)
_FLOATS = (torch.float64, torch.float32, *_NARROW)
# At least two more than float16's 11. At most 16, so that float32 holds them all down to 2^-134, half of
# bfloat16's smallest step: there a value just above the tie must stay above it.
_KEPT_BITS = 16
_FLOAT16_NORMAL = 0x38800000  # bits of 2^-14
_FLOAT16_BEYOND = 0x47800000  # bits of 2^16, the first power of two that float16 lacks
_E4M3_NORMAL = 0x3C800000  # bits of 2^-6
_E4M3_LARGEST = 0x43E00000  # bits of 448
_E4M3_LAST, _E4M3_NAN = 0x7E, 0x7F  # patterns of its own: 448, and what is no number
