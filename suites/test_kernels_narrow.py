"""narrow rounds once: around every value and every midpoint of both 16-bit formats, by either of its two ways."""

import math
from fractions import Fraction

import pytest
import torch

from kernels.narrow import E4M3, narrow, next_above
from suites.rationals import SIXTEEN_BITS, neighbourhoods, same_bits


@pytest.mark.parametrize("dtype", SIXTEEN_BITS, ids=str)
@pytest.mark.parametrize("wide", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("compiling", [False, True])
def test_every_value_and_midpoint_rounds_to_nearest_even(
    dtype: torch.dtype, wide: torch.dtype, compiling: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: compiling)  # the integer arithmetic, run eagerly
    inputs, answers = neighbourhoods(dtype, wide)
    assert same_bits(narrow(inputs, dtype), answers)


def test_torch_alone_rounds_float64_twice() -> None:
    just_above_a_tie = torch.tensor(1 + 2.0**-8 + 2.0**-40, dtype=torch.float64)
    assert narrow(just_above_a_tie, torch.bfloat16) == 1 + 2.0**-7
    assert just_above_a_tie.to(torch.bfloat16) == 1.0  # the day this fails, narrow can lose its detour


@pytest.mark.parametrize("dtype", [*SIXTEEN_BITS, torch.float32], ids=str)
@pytest.mark.parametrize("wide", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("compiling", [False, True])
def test_what_is_not_finite_stays_so_and_what_is_too_large_becomes_infinite(
    dtype: torch.dtype, wide: torch.dtype, compiling: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: compiling)
    patterns = [0x7FC00000, 0x7F800001, 0x7FFFFFFF, -1, -0x7FFFFF, 0x7FFFE000]
    nans = torch.tensor(patterns, dtype=torch.int32).view(torch.float32).to(wide)
    assert narrow(nans, dtype).isnan().all()
    infinities = torch.tensor([torch.inf, -torch.inf], dtype=wide)
    assert same_bits(narrow(infinities, dtype), infinities.to(dtype))
    if dtype is not wide:
        largest = torch.finfo(wide).max
        assert same_bits(narrow(torch.tensor([largest, -largest], dtype=wide), dtype), infinities.to(dtype))


def test_widening_is_exact_and_the_same_dtype_is_the_same_tensor() -> None:
    x = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(torch.float16)
    assert narrow(x, torch.float16) is x
    assert same_bits(narrow(narrow(x, torch.float64), torch.float16), x)


# The positive numbers of float8_e4m3fn by its definition: four bits of significand, steps of 2^-9 below 2^-6.
EIGHT_BITS = [Fraction(m, 2**9) for m in range(8)] + [
    Fraction(8 + m, 8) * Fraction(2) ** e for e in range(-6, 9) for m in range(8)
]
EIGHT_BITS = EIGHT_BITS[:-1]  # what would be 480 is NaN


@pytest.mark.parametrize("wide", [torch.float32, torch.float64], ids=str)
def test_eight_bits_round_to_nearest_even_and_end_at_448(wide: torch.dtype) -> None:
    values = torch.tensor([float(value) for value in EIGHT_BITS], dtype=wide)
    middles = (values[1:] + values[:-1]) / 2
    up, down = torch.tensor(torch.inf, dtype=wide), torch.tensor(-torch.inf, dtype=wide)
    last = len(EIGHT_BITS) - 1
    lower = torch.arange(last, dtype=torch.int8)
    for inputs, patterns in (
        (values, torch.arange(last + 1, dtype=torch.int8)),
        (middles, lower + lower % 2),
        (middles.nextafter(up), lower + 1),
        (middles.nextafter(down), lower),
        (torch.tensor([448.1, 464.0, 480.0, 1e30, torch.inf], dtype=wide), torch.full((5,), last, dtype=torch.int8)),
    ):
        assert torch.equal(narrow(inputs, E4M3).view(torch.int8), patterns)
        assert torch.equal(narrow(-inputs, E4M3).view(torch.int8), patterns - 128)
    assert [Fraction(value) for value in narrow(values, E4M3).float().tolist()] == EIGHT_BITS
    assert narrow(torch.tensor(torch.nan, dtype=wide), E4M3).isnan()


def test_above_a_number_of_eight_bits_is_its_neighbour() -> None:
    every = torch.arange(-128, 128, dtype=torch.int8).view(E4M3)
    numbers = sorted({*EIGHT_BITS, *(-value for value in EIGHT_BITS)})
    for number, above in zip(every.float().tolist(), next_above(every).float().tolist(), strict=True):
        if math.isnan(number):
            assert math.isnan(above)
        else:
            at = numbers.index(Fraction(number))
            assert Fraction(above) == numbers[min(at + 1, len(numbers) - 1)]


def test_other_dtypes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^x is torch\.int32, but narrow rounds between float64, float32"):
        narrow(torch.zeros(1, dtype=torch.int32), torch.float16)
    with pytest.raises(ValueError, match=r"^dtype is torch\.int8, but"):
        narrow(torch.zeros(1), torch.int8)
