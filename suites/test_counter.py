"""The counter generator: published words, prefixes, single rounding against exact fractions, golden bit patterns."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from parity.bits import storage, ulp_distance
from parity.counter import normal_like, seed_of, uniform, words
from parity.formats import FLOATS, FloatFormat
from suites.bit_patterns import unhurried

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
seeds = st.integers(0, 2**64 - 1)
word_lists = st.lists(st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, -1, 1 << 62]), min_size=4, max_size=4)


def patterns_of(row: torch.Tensor) -> list[int]:
    """The stored bits as unsigned integers."""
    return [int(word) % 2 ** (8 * row.element_size()) for word in storage(row)]


@pytest.mark.parametrize(
    ("seed", "published"),
    [
        # The sequence of seed 1234567 in the public test of SplitMix64 ports (Rosetta Code, "Splitmix64").
        (
            1234567,
            [
                6457827717110365317,
                3203168211198807973,
                9817491932198370423,
                4593380528125082431,
                16408922859458223821,
            ],
        ),
        # Vigna's splitmix64.c from state 0; the first word seeds xoshiro in many libraries.
        (0, [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]),
    ],
)
def test_words_are_splitmix64_as_published(seed: int, published: list[int]) -> None:
    assert patterns_of(words(seed, len(published))[0]) == published


@unhurried
@given(seed=seeds, n=st.integers(0, 40))
def test_words_equal_the_same_sum_in_unbounded_integers(seed: int, n: int) -> None:
    expected = []
    for i in range(n):
        z = (seed + (i + 1) * 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        expected.append(z ^ z >> 31)
    assert patterns_of(words(seed, n)[0]) == expected


@unhurried
@given(many=st.lists(seeds, min_size=1, max_size=5), n=st.integers(0, 20), more=st.integers(0, 20))
def test_a_word_depends_on_its_seed_and_its_place_alone(many: list[int], n: int, more: int) -> None:
    together = words(many, n + more)
    assert together.shape == (len(many), n + more)
    for row, seed in zip(together, many, strict=True):
        assert row[:n].equal(words(seed, n)[0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_are_the_same_alone_and_stacked(dtype: torch.dtype) -> None:
    stacked = normal_like(words([3, 5], 40), dtype)
    assert stacked.shape == (2, 10)
    assert ulp_distance(stacked[1, :6], normal_like(words(5, 24), dtype)[0]).count_nonzero() == 0


def rounded(exact: Fraction, form: FloatFormat) -> Fraction:
    """exact to nearest even in the format, from its definition: a whole number of the spacing at exact's magnitude."""
    if exact == 0:
        return exact
    exponent = max(
        Fraction(abs(exact)).numerator.bit_length() - Fraction(abs(exact)).denominator.bit_length(), -form.bias
    )
    if abs(exact) < Fraction(2) ** exponent:
        exponent -= 1
    spacing = Fraction(2) ** (max(exponent, 1 - form.bias) - form.mantissa_bits)
    return round(exact / spacing) * spacing


@pytest.mark.parametrize("dtype", DTYPES)
@unhurried
@given(four=word_lists)
def test_a_normal_is_its_exact_sum_rounded_once(dtype: torch.dtype, four: list[int]) -> None:
    fields = [word % 2**64 >> at & 0xFFFF for word in four[:3] for at in (0, 16, 32, 48)]
    exact = Fraction((sum(fields) - 393210) * 2**33 + (four[3] % 2**64 >> 31) - 2**32, 2**49)
    value = normal_like(torch.tensor(four), dtype)
    assert value.dtype == dtype
    assert Fraction(value.item()) == rounded(exact, FLOATS[str(dtype).removeprefix("torch.")])


@pytest.mark.parametrize("dtype", DTYPES)
@unhurried
@given(word=st.integers(-(2**63), 2**63 - 1), shift=st.integers(0, 52))
def test_a_uniform_is_its_top_bits_rounded_once(dtype: torch.dtype, word: int, shift: int) -> None:
    small = word % 2**64 >> shift  # small words reach float16's subnormals
    exact = Fraction(small >> 11, 2**53)
    value = uniform(torch.tensor(small - 2**64 if small >> 63 else small), dtype).item()
    assert 0 <= value <= 1
    assert Fraction(value) == rounded(exact, FLOATS[str(dtype).removeprefix("torch.")])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_value_that_two_roundings_would_move(dtype: torch.dtype) -> None:
    """Just above a tie of the narrow format, by less than float32 can see: float32 first would make it the tie."""
    last = torch.finfo(dtype).eps / 2  # one ulp below 1
    top = 2**52 + int(last / 2 * 2**53) + 1  # 1/2 + half an ulp of [1/2, 1) + 2^-53
    assert uniform(torch.tensor(top << 11 if top < 2**52 else (top << 11) - 2**64), dtype).item() == 0.5 + last


def test_normals_look_normal() -> None:
    """Mean, variance, kurtosis and tails of 200,000 values, within five standard errors; no two rows correlate."""
    x = normal_like(words([seed_of(f"case:{i}", "weight") for i in range(50)], 16_000), torch.float64)
    n = x.numel()
    assert abs(x.mean()) < 5 / n**0.5
    assert abs(x.var() - 1) < 5 * (2 / n) ** 0.5
    assert abs((x**4).mean() - 2.9) < 5 * (96 / n) ** 0.5  # Irwin-Hall of 12 has kurtosis 3 - 6 / 60
    assert x.abs().max() <= 6
    correlation = torch.corrcoef(x) - torch.eye(50)
    assert correlation.abs().max() < 6 / x.shape[1] ** 0.5


def test_golden_values() -> None:
    """Every directed and random input of every old record was made of these."""
    assert seed_of("default", "weight") == 1099806399128760506
    assert seed_of("dtype:bf16,bits:4", "input") == 4937547594798083156
    row = words(seed_of("default", "weight"), 16)[0]
    assert patterns_of(row[:3]) == [0x170024EC0520AC38, 0xCF80FFE4BEEB2145, 0xC91493C4F49B853D]
    assert patterns_of(normal_like(row, torch.float64)) == [
        0x3FDCE36220BC8100,
        0x3FBD7248EA15FB00,
        0x400084424493C190,
        0xBFEBA0983360B7E0,
    ]
    assert patterns_of(normal_like(row, torch.float32)) == [0x3EE71B11, 0x3DEB9247, 0x40042212, 0xBF5D04C2]
    assert patterns_of(normal_like(row, torch.float16)) == [0x3739, 0x2F5D, 0x4021, 0xBAE8]
    assert patterns_of(normal_like(row, torch.bfloat16)) == [0x3EE7, 0x3DEC, 0x4004, 0xBF5D]
    assert patterns_of(uniform(row[:4], torch.bfloat16)) == [0x3DB8, 0x3F50, 0x3F49, 0x3D08]
    assert patterns_of(uniform(row[:4], torch.float64)) == [
        0x3FB70024EC0520A8,
        0x3FE9F01FFC97DD64,
        0x3FE92292789E9370,
        0x3FA105E408E1D4F0,
    ]


def test_seeds_tell_cells_and_roles_apart_and_fit_int64() -> None:
    ids = ["default", "dtype:bf16", "dtype:fp16"]
    drawn = {seed_of(cell, role) for cell in ids for role in ("weight", "input", "bias")}
    assert len(drawn) == 9
    assert all(0 <= seed < 2**63 for seed in drawn)


def test_nothing_asked_for_is_nothing() -> None:
    assert words([], 4).shape == (0, 4)
    assert normal_like(words(7, 0), torch.float32).shape == (1, 0)


def test_refusals_are_sentences() -> None:
    with pytest.raises(ValueError, match="words needs n >= 0, but n is -1"):
        words(0, -1)
    with pytest.raises(ValueError, match=r"made of 4 words on the last axis, but it is torch.Size\(\[1, 6\]\)"):
        normal_like(words(0, 6), torch.float32)
    with pytest.raises(ValueError, match=r"float16 and bfloat16, not in torch.int8"):
        uniform(words(0, 4), torch.int8)
