"""Roundings written down from their definitions: the judges of the kernels, sharing nothing with them."""

import math
from fractions import Fraction

import torch
from torch import Tensor

SIXTEEN_BITS = [torch.bfloat16, torch.float16]


def rounded(exact: Fraction, dtype: torch.dtype) -> float:
    """The value of `dtype` nearest to `exact`, the even one at a tie; infinite beyond half a step above the largest.

    float8_e4m3fn has no infinity and ends at its largest. A zero result has the sign of `exact`, an exact zero is +0.
    """
    info = torch.finfo(dtype)
    beyond = info.max if dtype is torch.float8_e4m3fn else math.inf
    step = max(_binade(exact), Fraction(info.smallest_normal)) * Fraction(info.eps)
    nearest = round(exact / step) * step  # Python rounds a Fraction's halves to even
    size = float(abs(nearest)) if abs(nearest) <= Fraction(info.max) else beyond
    return -size if exact < 0 else size


def rounded_to_odd(exact: Fraction, bits: int) -> float:
    """`exact` itself if `bits` significant bits hold it, else the neighbour whose last one is odd (no subnormals)."""
    if exact == 0:
        return 0.0
    step = _binade(exact) * Fraction(2, 2**bits)
    below = math.floor(exact / step)
    return float((below if below * step == exact else below | 1) * step)


def neighbourhoods(dtype: torch.dtype, wide: torch.dtype) -> tuple[Tensor, Tensor]:
    """(inputs in `wide`, their roundings): each value of the 16-bit dtype, each midpoint, and one wide ulp either side.

    The answers come from the order of the codes, not from a conversion: below the midpoint the lower code, above it the
    upper one, on it the even one. The code after the largest finite value is infinity, at the next power of two.
    """
    infinity = int(torch.tensor(torch.inf, dtype=dtype).view(torch.int16))
    codes = torch.arange(infinity + 1, dtype=torch.int16)
    values = codes.view(dtype).to(torch.float64)
    values[-1] = 2 * values[-2] - values[-3]
    lower, upper = codes[:-1], codes[1:]
    middle = ((values[:-1] + values[1:]) / 2).to(wide)
    up, down = torch.tensor(torch.inf, dtype=wide), torch.tensor(-torch.inf, dtype=wide)
    low = values[:-1].to(wide)
    inputs = torch.stack([low, low.nextafter(up), middle.nextafter(down), middle, middle.nextafter(up)])
    answers = torch.stack([lower, lower, lower, torch.where(lower % 2 == 0, lower, upper), upper])
    return torch.stack([inputs, -inputs]), torch.stack([answers.view(dtype), -answers.view(dtype)])


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Equal dtype, shape and bits; any NaN equals any NaN."""
    if a.dtype is not b.dtype or a.shape != b.shape:
        return False
    words = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[a.element_size()]
    return bool(((a.contiguous().view(words) == b.contiguous().view(words)) | (a.isnan() & b.isnan())).all())


def _binade(exact: Fraction) -> Fraction:
    """The largest power of two that is at most |exact|; 0 has none and gets 0."""
    size = abs(exact)
    if size == 0:
        return Fraction(0)
    power = Fraction(2) ** (size.numerator.bit_length() - size.denominator.bit_length())
    return power if power <= size else power / 2
