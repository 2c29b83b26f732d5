"""divide against exact quotients rounded once; the reciprocal variants where they part from it."""

from fractions import Fraction
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from kernels import divide, divide_by_reciprocal, reciprocal
from suites.bit_patterns import unhurried
from suites.rationals import rounded, same_bits


def drawn(seed: int, dtype: torch.dtype, n: int = 64) -> Tensor:
    """Finite nonzero values of `dtype`, uniform over bit patterns, so that all exponents and subnormals occur."""
    random, width = Random(seed), torch.finfo(dtype).bits
    words = {16: torch.int16, 32: torch.int32, 64: torch.int64}[width]
    values = torch.tensor([random.getrandbits(width) - 2 ** (width - 1) for _ in range(n)], dtype=words).view(dtype)
    return torch.where(values.isfinite() & (values != 0), values, 1.0)


def quotients(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    exact = [Fraction(p) / Fraction(q) for p, q in zip(a.tolist(), b.tolist(), strict=True)]
    return torch.tensor([rounded(v, dtype) for v in exact], dtype=torch.float64).to(dtype)


@unhurried
@given(seed=st.integers(0, 2**32), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_a_quotient_is_rounded_once(seed: int, dtype: torch.dtype) -> None:
    a, b = drawn(seed, dtype), drawn(seed + 1, dtype)
    assert same_bits(divide(a, b), quotients(a, b, dtype))
    assert same_bits(reciprocal(b), quotients(torch.ones_like(b), b, dtype))


@unhurried
@given(seed=st.integers(0, 2**32))
def test_a_float32_quotient_by_way_of_float64_is_the_same(seed: int) -> None:
    a, b = drawn(seed, torch.float32), drawn(seed + 1, torch.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.compiler, "is_compiling", lambda: True)
        through = divide(a, b)
    assert same_bits(through, quotients(a, b, torch.float32))


@unhurried
@given(seed=st.integers(0, 2**32), dtype=st.sampled_from([torch.bfloat16, torch.float16]), compiling=st.booleans())
def test_a_16_bit_quotient_is_the_rounded_float32_quotient(seed: int, dtype: torch.dtype, compiling: bool) -> None:
    a, b = drawn(seed, dtype), drawn(seed + 1, dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.compiler, "is_compiling", lambda: compiling)
        assert same_bits(divide(a, b), quotients(a, b, torch.float32).to(dtype))


def test_a_number_divides_as_a_tensor_of_the_computing_dtype_does() -> None:
    a = drawn(7, torch.bfloat16)
    third = torch.tensor(0.3)  # float32: bfloat16 has no such value
    assert same_bits(divide(a, 0.3), (a.to(torch.float32) / third).to(torch.bfloat16))


def test_multiplying_by_the_reciprocal_is_two_roundings() -> None:
    a = drawn(3, torch.float32, 512)
    inverse = torch.tensor(rounded(Fraction(1, 15), torch.float32))
    exact = [Fraction(v) * Fraction(inverse.item()) for v in a.tolist()]
    assert same_bits(divide_by_reciprocal(a, 15.0), torch.tensor([rounded(v, torch.float32) for v in exact]))
    assert (divide_by_reciprocal(a, 15.0) != divide(a, 15.0)).any()
    assert same_bits(divide_by_reciprocal(a, 16.0), divide(a, 16.0))


def test_zeros_and_infinities_divide_as_ieee_says() -> None:
    a = torch.tensor([1.0, -1.0, 0.0, torch.inf, 0.0, -0.0])
    b = torch.tensor([0.0, 0.0, 0.0, torch.inf, -2.0, 2.0])
    nan, inf = torch.nan, torch.inf
    assert same_bits(divide(a, b), torch.tensor([inf, -inf, nan, nan, -0.0, -0.0]))


def test_two_dtypes_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^a is torch\.float32 and b is torch\.bfloat16, but divide works in one dtype"
    ):
        divide(torch.ones(1), torch.ones(1, dtype=torch.bfloat16))
