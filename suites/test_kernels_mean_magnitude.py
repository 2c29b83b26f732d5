"""mean_magnitude is the exact mean rounded once: against rationals, at ties, over the whole range, in any order."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import Tensor

from kernels.divide import divide_to_odd
from kernels.mean_magnitude import mean_magnitude
from parity.counter import normal_like, words
from suites.directed_groups import FLOATS
from suites.rationals import rounded, rounded_to_odd, same_bits


def expected(rows: Tensor, dtype: torch.dtype) -> Tensor:
    """The definition, row by row, in rationals."""
    means = [sum(map(Fraction, row)) / len(row) for row in rows.double().abs().tolist()]
    return torch.tensor([[rounded(mean, dtype)] for mean in means], dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("count", [1, 2, 3, 16, 48, 191])
def test_of_values_over_the_whole_range(dtype: torch.dtype, count: int) -> None:
    """Any bit pattern that is finite: the sums span up to 277 bits."""
    pattern = torch.int32 if dtype is torch.float32 else torch.int16
    rows = words(3, 12 * count).to(pattern).view(dtype).reshape(12, count)
    rows = torch.where(rows.isfinite(), rows, torch.ones((), dtype=dtype))
    for out in FLOATS:
        assert same_bits(mean_magnitude(rows, out), expected(rows, out))


def test_at_a_tie_and_a_hair_beside_it() -> None:
    """(1 + 2^-23 + 1) / 2 lies half-way between two fp32 values; 2^-149 more decides it, however far below it is."""
    step, hair = 2.0**-23, 2.0**-149
    rows = torch.tensor([[1 + step, 1.0, 0.0, 0.0], [1 + step, 1.0, hair, 0.0], [1 + 3 * step, 1.0, 0.0, 0.0]]).mul(2)
    assert mean_magnitude(rows, torch.float32).flatten().tolist() == [1.0, 1 + step, 1 + 2 * step]
    assert same_bits(mean_magnitude(rows, torch.float32), expected(rows, torch.float32))


def test_neither_order_nor_company_matters() -> None:
    rows = normal_like(words(5, 4 * 40 * 96), torch.float32)[: 40 * 96].reshape(40, 96)
    alone = torch.cat([mean_magnitude(row[None], torch.float32) for row in rows])
    assert same_bits(mean_magnitude(rows, torch.float32), alone)
    assert same_bits(mean_magnitude(-rows.flip(1), torch.float32), alone)


def test_what_is_not_finite() -> None:
    nan, inf = torch.nan, torch.inf
    rows = torch.tensor([[1.0, nan], [inf, nan], [-inf, 1.0], [0.0, -0.0], [3.4e38, 3.4e38]])
    found = mean_magnitude(rows, torch.float32)
    assert same_bits(found, torch.tensor([[nan], [nan], [inf], [0.0], [3.4e38]]))


def test_what_it_refuses() -> None:
    with pytest.raises(ValueError, match=r"^dtype is torch.float64, but an exact mean is rounded to float32, bfloat16"):
        mean_magnitude(torch.ones(1, 2), torch.float64)
    with pytest.raises(
        ValueError, match=r"^a row holds 67108865 values, but the exact mean is that of at most 2\*\*26"
    ):
        mean_magnitude(torch.ones(1, 1).expand(1, 2**26 + 1), torch.float32)


@pytest.mark.parametrize("n", [1, 3, 7, 48, 192, 2**26 - 5, 2**26])
def test_quotients_by_whole_numbers_are_rounded_to_odd(n: int) -> None:
    wide = words([9, 10], 64).double() * torch.tensor([[2.0**-300], [1.0]])
    a = torch.cat([wide.flatten(), torch.tensor([0.0, 1.0, 3.0, n], dtype=torch.float64)])
    exact = [rounded_to_odd(Fraction(value) / n, 53) for value in a.tolist()]
    assert same_bits(divide_to_odd(a, n), torch.tensor(exact, dtype=torch.float64))
