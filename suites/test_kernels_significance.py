"""The premises of exact_product's proof: spans that are true, slices that add up and keep within their width."""

from fractions import Fraction
from random import Random

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from kernels.significance import cut, exact_bits, sliced, spans
from suites.bit_patterns import unhurried

spreads = st.sampled_from([0, 3, 20, 60, 140])


def drawn(seed: int, spread: int) -> tuple[Tensor, Tensor]:
    """(rows, max|row|): values of 1 to 24 significant bits over `spread` binades either side of 1, zeros among them."""
    random = Random(seed)

    def value() -> float:
        bits = random.choice([1, random.randint(1, 24), 24])
        significand = random.getrandbits(bits) | 1 << (bits - 1)
        return random.choice([-1, 0, 1, 1]) * significand * 2.0 ** (random.randint(-spread, spread) - bits)

    rows = torch.tensor([[value() for _ in range(6)] for _ in range(8)], dtype=torch.float64)
    rows[:, 0] = torch.where((rows == 0).all(-1), 1.0, rows[:, 0])
    return rows, rows.abs().amax(-1, keepdim=True)


def span(row: list[Fraction]) -> tuple[Fraction, int]:
    """(top, bits) by the definition: try powers of two until they hold."""
    top = Fraction(2) ** 150
    while top / 2 > max(map(abs, row)):
        top /= 2
    bits = 0
    while any((v * 2**bits / top).denominator > 1 for v in row):
        bits += 1
    return top, bits


@unhurried
@given(seed=st.integers(0, 2**32), spread=spreads)
def test_spans_are_true(seed: int, spread: int) -> None:
    rows, largest = drawn(seed, spread)
    top, bits = spans(rows, largest)
    expected = [span([Fraction(v) for v in row]) for row in rows.tolist()]
    assert list(zip(map(Fraction, top.flatten().tolist()), bits.flatten().tolist(), strict=True)) == expected


@unhurried
@given(seed=st.integers(0, 2**32), spread=spreads, k=st.integers(1, 2**20), other=st.integers(1, 280))
def test_slices_add_up_and_keep_within_their_width(seed: int, spread: int, k: int, other: int) -> None:
    rows, largest = drawn(seed, spread)
    top, bits = spans(rows, largest)
    width, (count, _) = cut(int(bits.max()), other, k)
    parts = [part.tolist() for part in sliced(rows, top, width, count)]
    assert len(parts) == count
    for m, row in enumerate(rows.tolist()):
        assert [sum(Fraction(part[m][i]) for part in parts) for i in range(len(row))] == list(map(Fraction, row))
        for i, part in enumerate(parts):
            unit = Fraction(top[m].item()) / 2 ** (width + i * (width + 1))
            assert all((Fraction(v) / unit).denominator == 1 and abs(Fraction(v)) <= 2**width * unit for v in part[m])


@given(bits=st.tuples(st.integers(0, 300), st.integers(0, 300)), k=st.integers(1, 2**24))
def test_sums_over_k_and_over_slices_of_one_unit_stay_within_53_bits(bits: tuple[int, int], k: int) -> None:
    width, counts = cut(*bits, k)
    if counts == (1, 1) and sum(bits) <= exact_bits(k):
        assert k * 2 ** sum(bits) <= 2**53
    else:
        assert k * min(counts) * 2 ** (2 * width) <= 2**53
        assert width > 0
    assert k * 2 ** exact_bits(k) <= 2**53 < k * 2 ** (exact_bits(k) + 1) * 2
