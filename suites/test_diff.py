"""Differences of stages and traces: each mistake a comparator could make has a test that it would fail."""

import math
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from parity.bits import BitPolicy, NanBits, SignedZero
from parity.diff import HISTOGRAM_BINS, diff_stage, diff_traces, equal_cases, sqnr_db
from parity.formats import FLOATS
from parity.record import ABSENT, Element, StageDiff
from parity.trace import Stage, Trace
from suites.bit_patterns import DEVICES, of_bits, patterns, unhurried

ZEROS_EQUAL = BitPolicy(signed_zero=SignedZero.EQUAL)
PAYLOADS = BitPolicy(nan=NanBits.PAYLOAD)


def slow_distance(p: int, q: int, name: str) -> int | None:
    """Distance of two float patterns under the default policy in unbounded integers; None where NaN meets another."""
    form = FLOATS[name]
    nans = math.isnan(form.value(p)) + math.isnan(form.value(q))
    if nans:
        return 0 if nans == 2 else None
    i, j = (-1 - (x & form.magnitude_mask) if x >> (form.width - 1) else x for x in (p, q))
    return abs(i - j)


@unhurried
@given(data=st.data())
def test_every_field_agrees_with_a_comparison_element_by_element(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["float32", "float16", "bfloat16"]))
    view = data.draw(st.sampled_from(["whole", "transposed", "every other"]))
    width = FLOATS[name].width
    rows, columns = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    left = data.draw(st.lists(patterns(width), min_size=rows * columns, max_size=rows * columns))
    right = [data.draw(patterns(width) | st.just(p)) for p in left]
    a, b = of_bits(left, name).reshape(rows, columns), of_bits(right, name).reshape(rows, columns)
    if view == "transposed":  # the same elements, a's strides swapped
        a = a.T.contiguous().T
    if view == "every other":
        b = torch.stack([b, a], dim=-1)[..., 0]

    wanted = [
        Element(index=index, bits_a=p, bits_b=q, ulp=slow_distance(p, q, name))
        for index, p, q in zip(product(range(rows), range(columns)), left, right, strict=True)
    ]
    differing = [e for e in wanted if e.ulp != 0]
    comparable = [e.ulp for e in differing if e.ulp is not None]
    histogram = [0] * HISTOGRAM_BINS
    for e in wanted:
        histogram[-1 if e.ulp is None else e.ulp.bit_length()] += 1

    diff = diff_stage("output", a, b)
    assert (diff.n_total, diff.n_different) == (rows * columns, len(differing))
    assert diff.identical == (not differing)
    assert diff.first == (differing[0] if differing else None)
    assert diff.first_index == (differing[0].index if differing else None)
    far = sorted(differing, key=lambda e: -math.inf if e.ulp is None else -e.ulp)
    assert diff.worst == tuple(far[:8])
    assert diff.max_ulp == (max(comparable) if comparable else None if differing else 0)
    assert diff.histogram == tuple(histogram)
    assert equal_cases("output", a, b).tolist() == [
        all(e.ulp == 0 for e in wanted if e.index[0] == i) for i in range(rows)
    ]


def test_zeros_of_two_signs_differ_by_one_step_unless_the_policy_says_otherwise() -> None:
    a, b = torch.tensor([0.0, 1.0]), torch.tensor([-0.0, 1.0])
    diff = diff_stage("output", a, b)
    assert (diff.n_different, diff.max_ulp, diff.first_index, diff.sqnr_db) == (1, 1, (0,), None)
    assert diff_stage("output", a, b, ZEROS_EQUAL).identical
    assert equal_cases("output", a, b).tolist() == [False, True]
    assert equal_cases("output", a, b, ZEROS_EQUAL).tolist() == [True, True]


def test_nans_of_two_payloads_are_equal_unless_the_policy_says_otherwise() -> None:
    a, b = of_bits([0x7FC0, 0x3F80], "bfloat16"), of_bits([0xFFC1, 0x3F80], "bfloat16")
    assert diff_stage("output", a, b).identical
    diff = diff_stage("output", a, b, PAYLOADS)
    assert (diff.n_different, diff.max_ulp, diff.histogram[-1]) == (1, None, 1)
    assert diff.first == Element(index=(0,), bits_a=0x7FC0, bits_b=0xFFC1, ulp=None)


def test_a_nan_against_a_number_is_the_worst_element_but_has_no_distance() -> None:
    diff = diff_stage("output", torch.tensor([1.0, math.inf, 2.0]), torch.tensor([-1.0, math.nan, 2.0]))
    assert [e.index for e in diff.worst] == [(1,), (0,)]
    assert diff.worst[0].ulp is None
    assert diff.max_ulp == diff.worst[1].ulp == 2 * 0x3F800000 + 1
    assert diff.sqnr_db is None
    widest = torch.tensor([math.inf, math.nan], dtype=torch.float64)
    assert [e.index for e in diff_stage("output", widest, torch.full_like(widest, -math.inf)).worst] == [(1,), (0,)]


@pytest.mark.parametrize("shape", [(1,), (5,), (3, 1000), (2, 3, 4)])
def test_one_element_at_the_last_index_is_enough(shape: tuple[int, ...]) -> None:
    a = torch.ones(shape, dtype=torch.bfloat16)
    b = a.clone()
    b.view(torch.int16).reshape(-1)[-1] += 1
    diff = diff_stage("weight.dequantized", a, b)
    assert (diff.n_different, diff.max_ulp, diff.first_index) == (1, 1, tuple(n - 1 for n in shape))
    assert diff.worst == (Element(index=diff.first_index or (), bits_a=0x3F80, bits_b=0x3F81, ulp=1),)
    assert equal_cases("output", a, b).tolist() == [True] * (shape[0] - 1) + [False]


def test_a_scalar_has_the_empty_index() -> None:
    diff = diff_stage("weight.scale", torch.tensor(1.0), torch.tensor(1.5))
    assert (diff.first_index, diff.shape_a, diff.n_total, diff.n_different) == ((), (), 1, 1)


def test_worst_holds_eight_in_order_of_distance_then_index() -> None:
    a = torch.zeros(12, dtype=torch.int32)
    b = torch.tensor([1, 5, 2, 5, 0, 9, 1, 1, 1, 1, 1, 1], dtype=torch.int32)
    diff = diff_stage("weight.packed", a, b)
    assert [(e.index[0], e.ulp) for e in diff.worst] == [(5, 9), (1, 5), (3, 5), (2, 2), (0, 1), (6, 1), (7, 1), (8, 1)]
    assert diff.histogram[:5] == (1, 7, 1, 2, 1)
    assert sum(diff.histogram) == diff.n_total
    tied = diff_stage("weight.packed", torch.zeros(5000), torch.ones(5000))
    assert [e.index[0] for e in tied.worst] == list(range(8))


def test_views_of_equal_elements_are_identical_and_of_unequal_ones_are_not() -> None:
    x = torch.arange(12.0).reshape(3, 4)
    assert diff_stage("output", x.T, x.T.contiguous()).identical
    assert diff_stage("output", x[:1].expand(3, 4), x[:1].repeat(3, 1)).identical
    assert not diff_stage("output", x.T, x.reshape(4, 3)).identical
    assert diff_stage("output", x[:, 1], x.T[2]).n_different == 3


@pytest.mark.parametrize("name", ["weight.scale", "weight.packed", "weight.dequantized", "output", "grad.input"])
def test_another_dtype_is_a_difference_in_every_element_though_the_values_agree(name: str) -> None:
    diff = diff_stage(name, torch.ones(2, 3), torch.ones(2, 3, dtype=torch.bfloat16))
    assert not diff.identical
    assert (diff.n_total, diff.n_different, diff.max_ulp, diff.histogram) == (6, 6, None, ())
    assert (diff.dtype_a, diff.dtype_b) == ("float32", "bfloat16")
    assert equal_cases(name, torch.ones(2, 3), torch.ones(2, 3, dtype=torch.bfloat16)).tolist() == [False, False]


@pytest.mark.parametrize("name", ["weight.scale", "weight.codes"])
def test_another_shape_is_a_difference_in_every_element_though_it_would_broadcast(name: str) -> None:
    diff = diff_stage(name, torch.ones(4, 1), torch.ones(4))
    assert (diff.identical, diff.n_total, diff.n_different, diff.max_ulp) == (False, 4, 4, None)
    assert diff_stage(name, torch.ones(4), torch.ones(1)).n_different == 4
    assert not diff_stage(name, torch.ones(0, 2), torch.ones(0)).identical
    assert equal_cases(name, torch.ones(4, 1), torch.ones(4)).tolist() == [False] * 4


@pytest.mark.parametrize("name", ["weight.codes", "input.zero_point"])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.int8, torch.int32),
        (torch.uint8, torch.int64),
        (torch.int8, torch.float32),
        (torch.bfloat16, torch.float64),
        (torch.float8_e5m2, torch.uint16),  # two dtypes for which torch has hardly any operation
    ],
)
def test_codes_are_compared_as_integers_whatever_holds_them(name: str, one: torch.dtype, other: torch.dtype) -> None:
    a, b = torch.tensor([0, 7, 96]).to(one), torch.tensor([0, 7, 96]).to(other)
    equal = diff_stage(name, a, b)
    assert equal.identical
    assert (equal.n_different, equal.max_ulp, equal.histogram[0]) == (0, 0, 3)
    assert equal.dtype_a != equal.dtype_b
    b = torch.tensor([0, 5, 96]).to(other)
    diff = diff_stage(name, a, b)
    assert (diff.n_different, diff.max_ulp, diff.first_index) == (1, 2, (1,))
    assert equal_cases(name, a, b).tolist() == [True, False, True]


def test_the_float_code_minus_zero_is_the_code_zero_and_steps_are_codes_not_ulps() -> None:
    diff = diff_stage("weight.codes", torch.tensor([-0.0, 3.0, math.nan]), torch.tensor([0.0, 1.0, math.nan]))
    assert (diff.n_different, diff.max_ulp) == (1, 2)
    assert diff.first == Element(index=(1,), bits_a=0x40400000, bits_b=0x3F800000, ulp=2)
    nan_code = diff_stage("weight.codes", torch.tensor([math.nan, 1.0]), torch.tensor([0, 1], dtype=torch.int8))
    assert (nan_code.n_different, nan_code.max_ulp, nan_code.histogram[-1]) == (1, None, 1)


def test_codes_and_zero_points_that_are_no_integers_are_compared_by_bits() -> None:
    half = torch.tensor([0.5, -0.0])
    assert diff_stage("weight.zero_point", half, torch.tensor([0.5, 0.0])).n_different == 1
    assert diff_stage("weight.zero_point", half, half.to(torch.bfloat16)).n_different == 2
    assert diff_stage("weight.codes", torch.tensor([math.inf]), torch.tensor([2**31 - 1])).max_ulp is None


def test_integers_beyond_int64_do_not_wrap_into_equality() -> None:
    high, low = torch.tensor([2**64 - 1], dtype=torch.uint64), torch.tensor([-1])
    assert diff_stage("weight.codes", high, low).n_different == 1
    assert diff_stage("weight.codes", torch.tensor([2.0**63]), torch.tensor([-(2**63)])).n_different == 1


@unhurried
@given(data=st.data())
def test_stacked_equality_is_that_of_each_case(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["weight.codes", "weight.scale"]))
    numbers = st.sampled_from([0.0, -0.0, 1.0, 2.0, 0.5, math.nan, math.inf])
    n = data.draw(st.integers(0, 4))
    left = data.draw(st.lists(numbers, min_size=2 * n, max_size=2 * n))
    right = [data.draw(numbers | st.just(x)) for x in left]
    a = torch.tensor(left, dtype=torch.float32).reshape(n, 2)
    b = torch.tensor(right, dtype=data.draw(st.sampled_from([torch.float32, torch.float64]))).reshape(n, 2)
    policy = data.draw(st.sampled_from([BitPolicy(), ZEROS_EQUAL]))
    assert equal_cases(name, a, b, policy).tolist() == [
        diff_stage(name, x, y, policy).identical for x, y in zip(a, b, strict=True)
    ]


def test_empty_tensors_are_identical() -> None:
    diff = diff_stage("output", torch.ones(0, 3), torch.ones(0, 3))
    assert diff.identical
    assert (diff.n_total, diff.max_ulp, sum(diff.histogram)) == (0, 0, 0)
    assert equal_cases("output", torch.ones(2, 0), torch.ones(2, 0)).tolist() == [True, True]


@pytest.mark.parametrize(
    ("a", "b", "decibels"),
    [
        ([3.0, 4.0], [3.0, 4.5], 20.0),
        ([1e200, 1e-200], [1e200, 2e-200], 8000.0),  # squares overflow and vanish; the ratio does neither
        ([1.0, 2.0], [1.0, 2.0], None),
        ([0.0], [-0.0], None),
        ([0.0, 0.0], [0.0, 1.0], None),
        ([1.0, math.nan], [1.5, math.nan], None),
        ([1.0, math.inf], [1.5, math.inf], None),
        ([1.7e308], [-1.7e308], None),
        ([], [], None),
    ],
)
def test_sqnr_is_a_finite_number_or_none(a: list[float], b: list[float], decibels: float | None) -> None:
    found = sqnr_db(torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64))
    assert found == (None if decibels is None else pytest.approx(decibels, rel=1e-12))


def trace(**stages: torch.Tensor) -> Trace:
    """Trace of stages written with an underscore for the first dot."""
    return Trace(
        Stage(name=name.replace("_", ".", 1), tensor=tensor, computed=torch.float32) for name, tensor in stages.items()
    )


def test_traces_are_compared_stage_by_stage_in_order() -> None:
    scale, codes = torch.ones(2, 1), torch.ones(2, 4, dtype=torch.int8)
    a = trace(weight_scale=scale, weight_codes=codes, output=torch.ones(3))
    b = trace(weight_scale=scale.clone(), weight_codes=codes + 1, output=torch.ones(3))
    diffs = diff_traces(a, b)
    assert diffs.names == ("weight.scale", "weight.codes", "output")
    assert [d.n_different for d in diffs] == [0, 8, 0]
    assert diffs["weight.codes"].max_ulp == 1


def test_a_stage_on_one_side_only_is_a_difference_and_says_so() -> None:
    scale, zero_point = torch.ones(2), torch.zeros(2, dtype=torch.int32)
    with_it, without = trace(weight_scale=scale, weight_zero_point=zero_point), trace(weight_scale=scale)
    for diffs, dtypes in (
        (diff_traces(with_it, without), ("int32", ABSENT)),
        (diff_traces(without, with_it), (ABSENT, "int32")),
    ):
        missing: StageDiff = diffs["weight.zero_point"]
        assert missing.one_sided
        assert not missing.identical
        assert (missing.dtype_a, missing.dtype_b) == dtypes
        assert (missing.n_total, missing.n_different, missing.max_ulp) == (2, 2, None)
    with pytest.raises(ValueError, match=r"neither side has a stage weight\.codes"):
        diff_stage("weight.codes", None, None)


def test_stacks_of_unlike_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"as many cases, but output is torch\.Size\(\[2\]\) and torch\.Size\(\[3\]\)"):
        equal_cases("output", torch.ones(2), torch.ones(3))


@pytest.mark.parametrize("device", DEVICES)
def test_the_device_leaves_no_mark(device: str) -> None:
    a = torch.tensor([[1.0, -0.0], [math.nan, 5.0]])
    b = torch.tensor([[1.0, 0.0], [2.0, 5.5]])
    on_cpu = diff_stage("output", a, b)
    assert diff_stage("output", a.to(device), b.to(device)) == on_cpu
    assert diff_stage("output", a, b.to(device)) == on_cpu
    assert equal_cases("output", a.to(device), b).tolist() == [False, False]
