"""Bits, the ulp line and its distances, against Python's struct and exact integers: an opinion that needs no torch."""

import math
import struct
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from parity.bits import (
    INCOMPARABLE,
    SATURATED,
    BitPolicy,
    NanBits,
    SignedZero,
    bits,
    bits_text,
    dtype_name,
    is_nan,
    line,
    storage,
    ulp_distance,
)
from parity.formats import FLOATS, INTEGERS, IntegerFormat
from suites.bit_patterns import DEVICES, of_bits, patterns, unhurried

ZEROS_EQUAL = BitPolicy(signed_zero=SignedZero.EQUAL)
PAYLOADS = BitPolicy(nan=NanBits.PAYLOAD)


def struct_value(pattern: int, name: str) -> float:
    """The number of a pattern by Python's own decoder; bfloat16 is the upper half of a float32."""
    code, size, shift = {"float16": ("e", 2, 0), "bfloat16": ("f", 4, 16), "float32": ("f", 4, 0)}.get(
        name, ("d", 8, 0)
    )
    (value,) = struct.unpack(f"<{code}", (pattern << shift).to_bytes(size, "little"))
    return float(value)


@pytest.mark.parametrize("name", FLOATS)
def test_the_table_of_formats_agrees_with_finfo(name: str) -> None:
    form, facts = FLOATS[name], torch.finfo(getattr(torch, name))
    assert form.width == facts.bits
    assert 2.0**-form.mantissa_bits == facts.eps
    assert 2.0 ** (1 - form.bias) == facts.smallest_normal
    assert form.value(form.largest - form.has_infinity) == facts.max
    assert math.isnan(form.value(form.canonical_nan))


@pytest.mark.parametrize("name", INTEGERS)
def test_the_table_of_integers_agrees_with_torch(name: str) -> None:
    form, dtype = INTEGERS[name], getattr(torch, name)
    assert form.width == 8 * torch.empty(0, dtype=dtype).element_size()
    if dtype is not torch.bool:
        assert form.signed == (torch.iinfo(dtype).min < 0)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_every_16_bit_pattern_stands_for_the_number_struct_reads(name: str) -> None:
    for pattern in range(1 << 16):
        ours, theirs = FLOATS[name].value(pattern), struct_value(pattern, name)
        assert (math.isnan(ours) and math.isnan(theirs)) or ours.hex() == theirs.hex(), hex(pattern)


@pytest.mark.parametrize("name", ["float32", "float64"])
@unhurried
@given(data=st.data())
def test_wide_patterns_stand_for_the_number_struct_reads(name: str, data: st.DataObject) -> None:
    pattern = data.draw(patterns(FLOATS[name].width))
    ours, theirs = FLOATS[name].value(pattern), struct_value(pattern, name)
    assert (math.isnan(ours) and math.isnan(theirs)) or ours.hex() == theirs.hex()


@pytest.mark.parametrize("name", ["float8_e5m2", "float8_e4m3fn"])
def test_every_8_bit_pattern_stands_for_the_number_torch_reads(name: str) -> None:
    x = of_bits(list(range(256)), name)
    for pattern, theirs in enumerate(x.to(torch.float64).tolist()):
        ours = FLOATS[name].value(pattern)
        assert (math.isnan(ours) and math.isnan(theirs)) or ours.hex() == theirs.hex(), hex(pattern)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float8_e5m2", "float8_e4m3fn"])
@pytest.mark.parametrize("policy", [BitPolicy(), ZEROS_EQUAL])
def test_the_line_counts_every_value_of_a_narrow_format_in_order(name: str, policy: BitPolicy) -> None:
    """Sorted by value, with -0.0 before 0.0, neighbours are one step apart; zeros that are EQUAL are none apart."""
    form = FLOATS[name]
    numbers = [p for p in range(1 << form.width) if not math.isnan(form.value(p))]
    ordered = sorted(numbers, key=lambda p: (form.value(p), not p >> (form.width - 1)))
    steps = line(of_bits(ordered, name), policy).tolist()
    zeros = ordered.index(1 << (form.width - 1)), ordered.index(0)
    assert zeros[1] == zeros[0] + 1
    for at, (below, above) in enumerate(pairwise(steps)):
        assert above - below == (0 if at == zeros[0] and policy is ZEROS_EQUAL else 1)
    assert steps[zeros[1]] == 0


@pytest.mark.parametrize("name", [*FLOATS, *INTEGERS])
@pytest.mark.parametrize("policy", [BitPolicy(), ZEROS_EQUAL, PAYLOADS])
@unhurried
@given(data=st.data())
def test_distance_is_the_exact_difference_of_positions(name: str, policy: BitPolicy, data: st.DataObject) -> None:
    """Against unbounded integers: position = value for an integer, else the magnitude with its sign."""
    form = FLOATS.get(name) or INTEGERS[name]
    drawn = data.draw(st.lists(st.tuples(patterns(form.width), patterns(form.width)), min_size=1, max_size=8))
    if name == "bool":
        drawn = [(p & 1, q & 1) for p, q in drawn]

    def position(p: int) -> int:
        if isinstance(form, IntegerFormat):
            return form.value(p)
        negative = p >> (form.width - 1)
        origin = -1 if policy.signed_zero is SignedZero.DISTINCT else 0
        return origin - (p & form.magnitude_mask) if negative else p

    def expected(p: int, q: int) -> int:
        nans = math.isnan(form.value(p)) + math.isnan(form.value(q))
        if nans == 2 and policy.nan is NanBits.ANY_EQUAL:
            return 0
        if nans:
            return 0 if p == q else INCOMPARABLE
        return min(abs(position(p) - position(q)), SATURATED)

    a, b = of_bits([p for p, _ in drawn], name), of_bits([q for _, q in drawn], name)
    distance = ulp_distance(a, b, policy)
    assert distance.dtype == torch.int64
    assert distance.tolist() == [expected(p, q) for p, q in drawn]
    assert ((bits(a, policy) == bits(b, policy)) == (distance == 0)).all()


def test_zeros_are_neighbours_or_one_element_by_policy() -> None:
    a, b = torch.tensor([0.0]), torch.tensor([-0.0])
    assert ulp_distance(a, b).tolist() == [1]
    assert ulp_distance(a, b, ZEROS_EQUAL).tolist() == [0]
    assert bits(b).tolist() == [-(2**31)]
    assert bits(b, ZEROS_EQUAL).tolist() == [0]


@pytest.mark.parametrize("name", FLOATS)
def test_nans_are_one_element_or_many_by_policy(name: str) -> None:
    form = FLOATS[name]
    quiet, other = form.canonical_nan, form.canonical_nan | 1 << (form.width - 1)
    x = of_bits([quiet, other, form.largest + 1, form.largest], name)
    assert is_nan(x).tolist() == [True, True, True, False]
    assert bits(x)[:3].tolist() == [quiet] * 3
    assert bits(x)[3] == form.largest
    assert bits(x, PAYLOADS).tolist() == storage(x).tolist()


def test_distances_of_64_bits_saturate_instead_of_wrapping() -> None:
    low, high = torch.tensor([-(2**63), -1, -(2**63)]), torch.tensor([2**63 - 1, 2**63 - 1, -1])
    assert ulp_distance(low, high).tolist() == [SATURATED, SATURATED, SATURATED]
    infinite = torch.tensor([-math.inf, math.inf], dtype=torch.float64)
    assert ulp_distance(infinite, infinite.flip(0)).tolist() == [SATURATED, SATURATED]


def test_a_subnormal_is_not_zero_even_where_the_processor_flushes_it() -> None:
    tiny, zero = of_bits([1, 0x8000_0001], "float32"), of_bits([0, 0x8000_0000], "float32")
    torch.set_flush_denormal(True)
    try:
        assert bits(tiny, ZEROS_EQUAL).tolist() == [1, 1 - 2**31]
        assert ulp_distance(tiny, zero).tolist() == [1, 1]
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", [*FLOATS, *INTEGERS])
def test_views_scalars_and_empty_tensors_have_the_bits_of_their_elements(name: str, device: str) -> None:
    width = (FLOATS.get(name) or INTEGERS[name]).width
    full = of_bits([i % 2 if name == "bool" else i * 37 % (1 << width - 1) for i in range(24)], name)
    full = full.reshape(4, 6).to(device)
    wanted = torch.tensor(storage(full).tolist())
    views = {
        "transposed": (full.T, wanted.T),
        "sliced": (full[1:, ::2], wanted[1:, ::2]),
        "expanded": (full[:1].expand(3, 6), wanted[:1].expand(3, 6)),
        "0-d": (full[2, 3], wanted[2, 3]),
        "empty": (full[:0], wanted[:0]),
    }
    for kind, (view, expected) in views.items():
        canonical = bits(view, PAYLOADS)
        assert canonical.shape == view.shape, kind
        assert canonical.cpu().to(torch.int64).equal(expected), kind
        assert ulp_distance(view, view.clone()).count_nonzero() == 0, kind
    rolled = torch.cat((full[-1:], full[:-1]))  # torch.roll lacks these dtypes on CUDA
    assert ulp_distance(full, rolled).count_nonzero() == (full.cpu() != rolled.cpu()).sum()


def test_bits_of_a_parameter_carry_no_gradient() -> None:
    assert not bits(torch.nn.Parameter(torch.ones(2))).requires_grad


@pytest.mark.parametrize(
    ("pattern", "dtype", "text"),
    [
        (0x3FC0, torch.bfloat16, "0x3fc0 = 1.5 (0x1.8p+0)"),
        (0x3C24, "float16", "0x3c24 = 1.03515625 (0x1.09p+0)"),
        (0x3DCCCCCD, "float32", "0x3dcccccd = 0.10000000149011612 (0x1.99999ap-4)"),
        (1 << 63, "float64", "0x8000000000000000 = -0.0 (-0x0p+0)"),
        (0x0001, "bfloat16", "0x0001 = 9.183549615799121e-41 (0x1p-133)"),
        (0x7FC1, "bfloat16", "0x7fc1 = nan"),
        (0xFC00, "float16", "0xfc00 = -inf"),
        (0x7E, "float8_e4m3fn", "0x7e = 448.0 (0x1.cp+8)"),
        (0xF8, torch.int8, "0xf8 = -8"),
        (0xF8, "uint8", "0xf8 = 248"),
    ],
)
def test_bits_text(pattern: int, dtype: torch.dtype | str, text: str) -> None:
    assert bits_text(pattern, dtype) == text


def test_refusals_are_sentences() -> None:
    with pytest.raises(ValueError, match=r"bits of bfloat16 must lie in \[0, 2\^16\), but they are -1"):
        bits_text(-1, "bfloat16")
    with pytest.raises(ValueError, match="no format is known for dtype 'complex64'; known are float64"):
        bits_text(0, torch.complex64)
    with pytest.raises(ValueError, match=r"bits can be compared for float64.* but the dtype is complex64"):
        bits(torch.zeros(1, dtype=torch.complex64))
    with pytest.raises(ValueError, match=r"one dtype and one shape, but a is float32 \[2\] and b is float16 \[2\]"):
        ulp_distance(torch.zeros(2), torch.zeros(2, dtype=torch.float16))
    with pytest.raises(ValueError, match=r"a is float32 \[2\] and b is float32 \[2, 1\]"):
        ulp_distance(torch.zeros(2), torch.zeros(2, 1))


def test_dtype_names_are_torchs_without_the_prefix() -> None:
    assert dtype_name(torch.bfloat16) == "bfloat16"
