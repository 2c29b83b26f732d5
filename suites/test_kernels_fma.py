"""fma, and the roundings to odd it stands on, against exact rationals."""

from fractions import Fraction
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from kernels import fma
from kernels.round_to_odd import add_to_odd, round_to_odd, sum_to_odd
from suites.bit_patterns import unhurried
from suites.rationals import rounded, rounded_to_odd, same_bits


def fused(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    exact = [Fraction(p) * Fraction(q) + Fraction(r) for p, q, r in zip(*(t.tolist() for t in (a, b, c)), strict=True)]
    return torch.tensor([rounded(v, torch.float32) for v in exact])


def drawn(random: Random, span: int, n: int = 64) -> Tensor:
    """Finite float32 of random signs and significands, exponents at most `span` from 0; subnormals from 127 on."""
    low, high = max(0, 127 - span), min(254, 127 + span)
    fields = [random.randint(low, high) << 23 | random.getrandbits(23) for _ in range(n)]
    signs = torch.tensor([random.choice([-1.0, 1.0]) for _ in range(n)])
    return torch.tensor(fields, dtype=torch.int32).view(torch.float32) * signs


@unhurried
@given(seed=st.integers(0, 2**32), span=st.sampled_from([0, 3, 30, 127]))
def test_random_operands(seed: int, span: int) -> None:
    random = Random(seed)
    a, b, c = (drawn(random, span) for _ in range(3))
    assert same_bits(fma(a, b, c), fused(a, b, c))


@unhurried
@given(seed=st.integers(0, 2**32), ulps=st.integers(-2, 2))
def test_cancellation_leaves_the_low_half_of_the_product(seed: int, ulps: int) -> None:
    random = Random(seed)
    a, b = drawn(random, 30), drawn(random, 30)
    c = (-(a * b).view(torch.int32).add(ulps).view(torch.float32)).contiguous()
    assert same_bits(fma(a, b, c), fused(a, b, c))


@unhurried
@given(seed=st.integers(0, 2**32), below=st.integers(25, 149), sign=st.sampled_from([-1, 0, 1]))
def test_a_tie_is_broken_by_what_lies_far_below_it(seed: int, below: int, sign: int) -> None:
    # The product ends exactly on a tie of float32, and c decides: (2^12 + 1)^2 = 2^24 + 2^13 + 1 has 25 bits.
    ties = torch.tensor([[2.0**12 + 1, 2.0**12 + 1], [2.0**12 + 1, -(2.0**12) - 1], [2.0**12 + 3, 2.0**12 + 1]])
    tiny = torch.full((3,), sign * 2.0**-below)
    assert same_bits(fma(ties[:, 0], ties[:, 1], tiny), fused(ties[:, 0], ties[:, 1], tiny))
    # The product is half an ulp of c, or misses that by 2^-24 of itself.
    c = drawn(Random(seed), 0)
    half_ulp = sign * c.sign() * 2.0**-24
    for factor, other in ((1.0, 1.0), (1 - 2.0**-12, 1 + 2.0**-12), (1 + 2.0**-12, 1 + 2.0**-12)):
        a, b = half_ulp * factor, torch.full_like(c, other)
        assert same_bits(fma(a, b, c), fused(a, b, c))


def test_zeros_infinities_and_overflow() -> None:
    inf, nan, largest, smallest = torch.inf, torch.nan, torch.finfo(torch.float32).max, 2.0**-149
    table = [
        (1.0, -1.0, 1.0, 0.0),
        (0.0, -1.0, -0.0, -0.0),
        (0.0, 1.0, -0.0, 0.0),
        (smallest, smallest, 0.0, 0.0),
        (smallest, -smallest, 0.0, -0.0),
        (smallest, 0.5, 0.0, 0.0),
        (smallest, 0.5, smallest, 2 * smallest),
        (smallest, 0.75, 0.0, smallest),
        (largest, 2.0, -largest, largest),
        (largest, 2.0, 0.0, inf),
        (largest, 1.0, 2.0**102, largest),
        (largest, 1.0, 2.0**103, inf),
        (inf, 1.0, 1.0, inf),
        (inf, 1.0, -inf, nan),
        (inf, 0.0, 1.0, nan),
        (1.0, 1.0, -inf, -inf),
        (nan, 1.0, 1.0, nan),
    ]
    a, b, c, expected = (torch.tensor(column) for column in zip(*table, strict=True))
    assert same_bits(fma(a, b, c), expected)


def test_other_dtypes_are_refused() -> None:
    one = torch.ones(1)
    with pytest.raises(ValueError, match=r"^b is torch\.float16, but fma takes float32 only"):
        fma(one, one.to(torch.float16), one)


def wide(random: Random, spread: int, n: int = 32) -> Tensor:
    """float64 of 1 to 53 significant bits and exponents spread over `spread` binades, a zero now and then."""
    odd = [(random.getrandbits(random.randint(1, 53)) | 1) * 2.0 ** random.randint(-spread, 0) for _ in range(n)]
    return torch.tensor([random.choice([-v, v, v, -v, 0.0]) for v in odd], dtype=torch.float64)


@unhurried
@given(seed=st.integers(0, 2**32), bits=st.integers(2, 52))
def test_a_cut_value_is_odd(seed: int, bits: int) -> None:
    x = wide(Random(seed), 100)
    assert round_to_odd(x, bits).tolist() == [rounded_to_odd(Fraction(v), bits) for v in x.tolist()]


@unhurried
@given(seed=st.integers(0, 2**32), spread=st.sampled_from([0, 20, 53, 60, 110, 300]), terms=st.integers(1, 7))
def test_a_sum_is_rounded_once_and_to_odd(seed: int, spread: int, terms: int) -> None:
    random = Random(seed)
    parts = [wide(random, spread) for _ in range(terms)]
    if terms > 2 and random.getrandbits(1):  # cancellation down to what rounding would have lost
        parts[-1] = -(parts[0] + parts[1])
    exact = [sum(map(Fraction, column)) for column in zip(*(p.tolist() for p in parts), strict=True)]
    expected = [rounded_to_odd(Fraction(v), 53) for v in exact]
    assert sum_to_odd(parts).tolist() == expected
    assert sum_to_odd(parts[::-1]).tolist() == expected
    if terms == 2:
        assert add_to_odd(*parts).tolist() == expected
