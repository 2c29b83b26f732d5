"""sequential_product and code_product: one order and its roundings, and integers that stay integers."""

from fractions import Fraction
from itertools import product as every_pair
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from kernels import code_product, sequential_product
from suites.bit_patterns import TRITON_DEVICES, of_bits, unhurried
from suites.rationals import rounded, same_bits


def operands(seed: int, k: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    random = Random(seed)

    def draw(n: int) -> Tensor:
        return torch.tensor([random.uniform(-2, 2) * 2.0 ** random.randint(-9, 3) for _ in range(n)]).to(dtype)

    return draw(3 * k).view(3, k), draw(4 * k).view(4, k), draw(4)


@unhurried
@given(
    seed=st.integers(0, 2**32),
    k=st.sampled_from([1, 2, 33]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
    accumulate_dtype=st.sampled_from([torch.float32, torch.float16]),
    fused=st.booleans(),
    out=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_every_step_is_rounded_as_declared(
    seed: int, k: int, dtype: torch.dtype, accumulate_dtype: torch.dtype, fused: bool, out: torch.dtype
) -> None:
    x, w, bias = operands(seed, k, dtype)

    def round_(exact: Fraction) -> Fraction:
        return Fraction(rounded(exact, accumulate_dtype))

    expected = torch.empty(3, 4, dtype=torch.float64)
    for m, n in every_pair(range(3), range(4)):
        acc = Fraction(0)
        for p, q in zip(x[m].tolist(), w[n].tolist(), strict=True):
            term = Fraction(p) * Fraction(q)
            acc = round_(acc + (term if fused else round_(term)))
        expected[m, n] = rounded(round_(acc + Fraction(bias[n].item())), out)
    actual = sequential_product(x, w, accumulate_dtype=accumulate_dtype, fused=fused, bias=bias, out_dtype=out)
    assert same_bits(actual, expected.to(out))
    together = sequential_product(
        torch.stack([x, 2 * x]), w, accumulate_dtype=accumulate_dtype, fused=fused, bias=bias, out_dtype=out
    )
    assert same_bits(together[0], actual)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, where the interpreter meets infinities
@pytest.mark.parametrize("device", TRITON_DEVICES)
@pytest.mark.parametrize("fused", [False, True], ids=["apart", "fused"])
@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_tritons_accumulator_has_the_bits_of_the_plain_one(name: str, fused: bool, device: str) -> None:
    if device == "cpu" and fused and name != "float16":
        pytest.skip("the interpreter's fma rounds twice, which products of two float16 do not show")
    from kernels.sequential_product_triton import sums

    dtype, generator, random = getattr(torch, name), torch.Generator().manual_seed(1), Random(name)
    for m, n, k in ((1, 1, 1), (3, 33, 17), (40, 5, 64), (2, 3, 0)):
        x, w = (torch.randn(shape, generator=generator).to(dtype) for shape in ((2, m, k), (n, k)))
        x[1, 0] = of_bits([random.getrandbits(x.element_size() * 8) for _ in range(k)], name)
        x[0, 0], w[0] = torch.finfo(dtype).tiny, -torch.finfo(dtype).tiny  # fused, these sum to -0 in float32
        expected = sequential_product(x, w, accumulate_dtype=torch.float32, fused=fused, out_dtype=torch.float32)
        assert same_bits(sums(x.to(device), w.to(device), fused).cpu(), expected)


def test_order_and_fusion_matter_here() -> None:
    x = torch.tensor([[2.0**24, 1.0, 1.0], [1.0, 1.0, 2.0**24]])
    ones = torch.ones(1, 3)
    sums = sequential_product(x, ones, accumulate_dtype=torch.float32, fused=True, out_dtype=torch.float32)
    assert sums.flatten().tolist() == [2.0**24, 2.0**24 + 2]
    near_one = torch.tensor([[1.0, 1 + 2.0**-12]])
    minus = torch.tensor([[-(1 + 2.0**-11), 1 + 2.0**-12]])
    fused, apart = (
        sequential_product(near_one, minus, accumulate_dtype=torch.float32, fused=f, out_dtype=torch.float32).item()
        for f in (True, False)
    )
    assert (fused, apart) == (2.0**-24, 0.0)


def test_a_float16_accumulator_overflows_to_infinity() -> None:
    x = torch.full((1, 3), 200.0)
    total = sequential_product(x, x, accumulate_dtype=torch.float16, fused=False, out_dtype=torch.float32)
    assert total.item() == torch.inf


def test_other_accumulators_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^accumulate_dtype is torch\.bfloat16, but an accumulator is float32 or float16"
    ):
        sequential_product(
            torch.ones(1, 1), torch.ones(1, 1), accumulate_dtype=torch.bfloat16, fused=True, out_dtype=torch.float32
        )


@unhurried
@given(seed=st.integers(0, 2**32), k=st.sampled_from([1, 7, 300]), signed=st.booleans())
def test_codes_multiply_as_integers(seed: int, k: int, signed: bool) -> None:
    random = Random(seed)
    x, w = ([[random.randint(-128, 127) + 128 * (not signed) for _ in range(k)] for _ in range(3)] for _ in range(2))
    dtype = torch.int8 if signed else torch.uint8
    expected = [[sum(p * q for p, q in zip(row, column, strict=True)) for column in w] for row in x]
    actual = code_product(torch.tensor(x, dtype=dtype), torch.tensor(w, dtype=dtype))
    assert actual.dtype is torch.int32
    assert actual.tolist() == expected
    assert code_product(torch.tensor(x, dtype=torch.int16), torch.tensor([w])).tolist() == [expected]


def test_a_float32_carrier_would_lose_the_last_code() -> None:
    x = torch.full((1, 2**12 + 1), 255, dtype=torch.uint8)
    x[0, -1] = 1
    assert code_product(x, x).item() == 2**12 * 255**2 + 1


def test_sums_beyond_int32_and_operands_that_are_no_codes_are_refused() -> None:
    long = torch.full((1, 2**20), 256, dtype=torch.int16)
    assert code_product(long, torch.zeros_like(long)).item() == 0
    with pytest.raises(
        ValueError, match=r"^A sum of code products reaches 68719476736, but int32 ends at 2147483647\.$"
    ):
        code_product(long, -long)
    huge = torch.full((1, 4), 2**30)
    with pytest.raises(ValueError, match=r"^K \* max\|x\| \* max\|w\| is 4611686018427387904, beyond 2\^53"):
        code_product(huge, huge)
    with pytest.raises(ValueError, match=r"^w is torch\.float32, but codes are integers"):
        code_product(long, torch.ones(1, 2**20))
