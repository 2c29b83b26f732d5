"""round_to_tf32 against its definition in rationals: the nearest value of 11 significant bits, ties to even."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given

from kernels.tf32 import round_to_tf32
from suites.bit_patterns import of_bits, patterns, unhurried

LEAST_STEP = Fraction(1, 2**136)  # fp32's 2^-149, thirteen bits coarser: below 2^-126 the grid gets no finer
LARGEST = (2 - Fraction(1, 2**10)) * 2**127


def definition(x: float) -> float:
    """x rounded to the nearest multiple of its step, an even multiple at a tie; infinite beyond the largest."""
    if not math.isfinite(x) or x == 0:
        return x
    exact = Fraction(x)
    exponent = math.frexp(x)[1] - 1
    step = max(Fraction(2) ** (exponent - 10), LEAST_STEP)
    nearest = round(exact / step) * step
    if abs(nearest) > LARGEST:
        return math.copysign(math.inf, x)
    return math.copysign(float(abs(nearest)), x)


@unhurried
@given(pattern=patterns(32))
def test_is_the_nearest_value_of_eleven_bits(pattern: int) -> None:
    x = of_bits([pattern], "float32")
    rounded = round_to_tf32(x)
    expected = torch.tensor([definition(x.item())])
    assert rounded.dtype is torch.float32
    if x.isnan():
        assert rounded.isnan()
    else:
        assert rounded.view(torch.int32).item() == expected.view(torch.int32).item()


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("kept", [1.0, 1.0 + 2**-10, 1.5, 2 - 2**-10, 2.0**-126, 3 * 2.0**-136, 2.0**127])
def test_ties_go_to_the_even_neighbour(kept: float, sign: float) -> None:
    """Half a step above a value of 11 bits, and one fp32 ulp to either side of that."""
    step = max(2.0 ** (math.frexp(kept)[1] - 11), 2.0**-136)
    ulp = max(2.0 ** (math.frexp(kept)[1] - 24), 2.0**-149)
    even = (Fraction(kept) / Fraction(step)) % 2 == 0
    x = torch.tensor([kept + step / 2 - ulp, kept + step / 2, kept + step / 2 + ulp], dtype=torch.float64) * sign
    assert (x.float().double() == x).all()  # the three inputs are fp32 values
    tie = kept if even else kept + step
    assert round_to_tf32(x.float()).tolist() == [sign * kept, sign * tie, sign * (kept + step)]


def test_values_of_eleven_bits_are_kept() -> None:
    bits = torch.arange(0, 2**18, 37, dtype=torch.int64) << 13
    x = bits.to(torch.int32).view(torch.float32)
    assert torch.equal(round_to_tf32(x).view(torch.int32), x.view(torch.int32))


def test_overflow_infinities_and_signed_zeros() -> None:
    top = torch.finfo(torch.float32).max
    x = torch.tensor([top, -top, torch.inf, -torch.inf, 0.0, -0.0])
    assert round_to_tf32(x).tolist() == [math.inf, -math.inf, math.inf, -math.inf, 0.0, 0.0]
    assert round_to_tf32(x).signbit().tolist() == [False, True, False, True, False, True]


def test_strided_input_of_any_shape() -> None:
    x = torch.linspace(-3, 3, 24).reshape(4, 6)
    assert torch.equal(round_to_tf32(x.t()), round_to_tf32(x).t())
    assert round_to_tf32(torch.tensor(1 + 2.0**-20)).item() == 1.0


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16, torch.int32], ids=str)
def test_other_dtypes_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=rf"^x is {dtype}, but TF32 is a cut of float32\."):
        round_to_tf32(torch.ones(2, dtype=dtype))
