"""exact_product against sums of rationals rounded once, on rows made to defeat every shortcut."""

from collections.abc import Callable
from fractions import Fraction
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from kernels import Product, exact_product
from suites.bit_patterns import DEVICES, unhurried
from suites.rationals import rounded, same_bits

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
dtypes = st.sampled_from(DTYPES)


def uniform(random: Random, k: int) -> list[float]:
    return [random.uniform(-1, 1) for _ in range(k)]


def narrow_codes(random: Random, k: int) -> list[float]:
    return [random.randint(-8, 7) * 0.125 for _ in range(k)]


def all_exponents(random: Random, k: int) -> list[float]:
    return [random.choice([-1, 1]) * random.uniform(1, 2) * 2.0 ** random.randint(-149, 126) for _ in range(k)]


def outliers_that_cancel(random: Random, k: int) -> list[float]:
    row = uniform(random, k)
    row[0], row[-1] = 2.0**60, -(2.0**60)
    return row


def subnormals(random: Random, k: int) -> list[float]:
    return [random.randint(-200, 200) * 2.0**-149 for _ in range(k)]


def zeros(random: Random, k: int) -> list[float]:
    return [random.choice([0.0, -0.0]) for _ in range(k)]


RECIPES: list[Callable[[Random, int], list[float]]] = [
    uniform,
    narrow_codes,
    all_exponents,
    outliers_that_cancel,
    subnormals,
    zeros,
]


def rows(seed: int, recipes: list[int], k: int, dtype: torch.dtype) -> Tensor:
    random = Random(seed)
    values = torch.tensor([RECIPES[r](random, k) for r in recipes], dtype=torch.float64).to(dtype)
    return torch.where(values.isfinite(), values, 1.0)  # 2^60 and most exponents are beyond float16


def oracle(x: Tensor, w: Tensor, bias: Tensor | None, out: torch.dtype, bias_in_accumulator: bool = True) -> Tensor:
    """The definition for 2-d operands, in rationals."""
    rows_x, rows_w = ([[Fraction(v) for v in row] for row in t.tolist()] for t in (x, w))
    addends = [Fraction(0)] * len(rows_w) if bias is None else [Fraction(v) for v in bias.tolist()]

    def output(row: list[Fraction], column: list[Fraction], addend: Fraction) -> float:
        total = sum((p * q for p, q in zip(row, column, strict=True)), Fraction(0))
        if bias_in_accumulator:
            return rounded(total + addend, out)
        first = rounded(total, out)
        return first if abs(first) == torch.inf else rounded(Fraction(first) + addend, out)

    values = [[output(row, *pair) for pair in zip(rows_w, addends, strict=True)] for row in rows_x]
    return torch.tensor(values, dtype=torch.float64).to(out)


recipe_lists = st.lists(st.integers(0, len(RECIPES) - 1), min_size=1, max_size=4)


@unhurried
@given(
    seed=st.integers(0, 2**32),
    recipes=st.tuples(recipe_lists, recipe_lists),
    k=st.sampled_from([1, 2, 3, 17, 64]),
    operands=st.tuples(dtypes, dtypes, dtypes),
    out=dtypes,
    with_bias=st.sampled_from([None, True, False]),
)
def test_every_output_is_the_exact_sum_rounded_once(
    seed: int,
    recipes: tuple[list[int], list[int]],
    k: int,
    operands: tuple[torch.dtype, torch.dtype, torch.dtype],
    out: torch.dtype,
    with_bias: bool | None,
) -> None:
    x, w = rows(seed, recipes[0], k, operands[0]), rows(seed + 1, recipes[1], k, operands[1])
    bias = None if with_bias is None else rows(seed + 2, [0], len(recipes[1]), operands[2])[0]
    product = exact_product(x, w, bias, out, with_bias is not False)
    assert same_bits(product.value, oracle(x, w, bias, out, with_bias is not False))
    assert product.certified + product.resummed == product.value.numel()
    assert product.nonfinite == 0
    assert product.resummed == 0 or product.slices != (1, 1)


def test_what_two_equal_outliers_leave_behind() -> None:
    product = exact_product(torch.tensor([[2.0**60, 1, -(2.0**60)]]), torch.ones(1, 3), None, torch.float32)
    assert product.value.item() == 1.0
    assert (product.certified, product.resummed) == (0, 1)


@pytest.mark.parametrize("out", DTYPES, ids=str)
@pytest.mark.parametrize("smallest", [-(2.0**-140), 0.0, 2.0**-140])
def test_the_smallest_product_breaks_a_tie(out: torch.dtype, smallest: float) -> None:
    eps = torch.finfo(out).eps
    tie = torch.tensor([[1.0, eps / 2, 2.0**-70, -(2.0**-70), smallest], [1 + eps, eps / 2, 0.0, 0.0, smallest]])
    down, up = [1.0, 1 + eps], [1 + eps, 1 + 2 * eps]
    expected = {-(2.0**-140): down, 0.0: [1.0, 1 + 2 * eps], 2.0**-140: up}[smallest]
    product = exact_product(tie, torch.ones(1, 5), None, out)
    assert product.value.flatten().tolist() == expected
    in_the_bias = exact_product(tie[:, :4], torch.ones(1, 4), torch.tensor([smallest]), out)
    assert in_the_bias.value.flatten().tolist() == expected


def test_a_zero_sum_is_positive_and_an_underflow_keeps_its_sign() -> None:
    x = torch.tensor([[-0.0, -0.0], [1.0, -1.0], [-(2.0**-100), 0.0], [0.0, 0.0]])
    w = torch.tensor([[2.0**-100, 2.0**-100]])
    for bias in (None, torch.tensor([-0.0])):
        value = exact_product(x, w, bias, torch.float32).value
        assert same_bits(value, torch.tensor([[0.0], [0.0], [-0.0], [0.0]]))
    beside_nan = exact_product(torch.tensor([[-0.0], [torch.nan]]), torch.ones(2, 1), None, torch.float32).value
    assert same_bits(beside_nan, torch.tensor([[0.0, 0.0], [torch.nan, torch.nan]]))


def test_a_bias_after_the_output_cast_is_a_second_rounding() -> None:
    x, w, bias = torch.tensor([[1.0, 2.0**-9]]), torch.ones(1, 2), torch.tensor([2.0**-8])
    inside, after = (exact_product(x, w, bias, torch.bfloat16, flag).value.item() for flag in (True, False))
    assert (inside, after) == (1 + 2.0**-7, 1.0)


@pytest.mark.parametrize("out", DTYPES, ids=str)
def test_infinities_and_nan_touch_their_own_outputs_only(out: torch.dtype) -> None:
    inf, nan = torch.inf, torch.nan
    x = torch.tensor([[2.0**60, 1, -(2.0**60)], [inf, 1.0, 1.0], [inf, -inf, 1.0], [nan, 0.0, 0.0], [1.0, 1.0, 0.0]])
    w = torch.tensor([[1.0, 1, 1], [-1.0, 0, 1], [0.0, 0, 0], [inf, 1.0, 1.0]])
    product = exact_product(x, w, None, out)
    big = exact_product(torch.tensor([[2.0**60, 1, -(2.0**60)]]), w[:3], None, out).value[0].tolist()
    expected = [[*big, inf], [inf, -inf, nan, inf], [nan, nan, nan, nan], [nan] * 4, [2.0, -1.0, 0.0, inf]]
    assert same_bits(product.value, torch.tensor(expected, dtype=torch.float64).to(out))
    assert product.nonfinite == 14
    words = product.value[product.value.isnan()].view(torch.int32 if out is torch.float32 else torch.int16)
    assert set(words.tolist()) == {int(torch.tensor(nan, dtype=out).view(words.dtype))}
    bias = torch.tensor([nan, inf, 0.0, 0.0])
    with_bias = exact_product(x[:1], w, bias, out)
    assert same_bits(with_bias.value, torch.tensor([[nan, inf, big[2], inf]], dtype=torch.float64).to(out))
    assert with_bias.nonfinite == 3
    overflow = torch.full((1, 1), torch.finfo(torch.float32).max)
    against = exact_product(overflow, overflow, torch.tensor([-inf]), torch.float32, bias_in_accumulator=False)
    assert against.value.view(torch.int32).item() == torch.tensor(nan).view(torch.int32).item()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_stacking_threads_order_and_device_move_no_bit(dtype: torch.dtype, device: str) -> None:
    cases = [
        (rows(i, [i % 6, 0, (i + 3) % 6, 1], 48, dtype), rows(99 + i, [0, (i + 1) % 6, 1], 48, dtype))
        for i in range(12)
    ]
    biases = [rows(500 + i, [0], 3, dtype)[0] for i in range(12)]
    alone = [exact_product(x, w, b, dtype).value for (x, w), b in zip(cases, biases, strict=True)]
    x, w, bias = torch.stack([c[0] for c in cases]), torch.stack([c[1] for c in cases]), torch.stack(biases)
    stacked = exact_product(x, w, bias, dtype).value
    assert same_bits(stacked, torch.stack(alone))
    elsewhere = exact_product(x.to(device), w.to(device), bias.to(device), dtype).value
    assert same_bits(elsewhere.cpu(), stacked)
    halves = [exact_product(x[part], w[part], bias[part], dtype).value for part in (slice(0, 5), slice(5, 12))]
    assert same_bits(torch.cat(halves), stacked)
    nested = exact_product(x.unflatten(0, (3, 4)), w.unflatten(0, (3, 4)), bias.unflatten(0, (3, 4)), dtype).value
    assert same_bits(nested.flatten(0, 1), stacked)
    order = torch.tensor(Random(5).sample(range(48), 48))
    assert same_bits(exact_product(x[..., order], w[..., order], bias, dtype).value, stacked)
    permuted = exact_product(x[:, [2, 0, 3, 1]], w[:, [1, 2, 0]], bias[:, [1, 2, 0]], dtype).value
    assert same_bits(permuted, stacked[:, [2, 0, 3, 1]][..., [1, 2, 0]])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3 - min(threads, 2))
        assert same_bits(exact_product(x, w, bias, dtype).value, stacked)
    finally:
        torch.set_num_threads(threads)


def test_a_shared_weight_broadcasts_over_stacked_inputs() -> None:
    x, w = rows(1, [0, 2, 3, 4, 0, 1], 20, torch.float32).unflatten(0, (3, 2)), rows(2, [0, 3], 20, torch.float32)
    together = exact_product(x, w, None, torch.float32).value
    assert same_bits(together, torch.stack([exact_product(one, w, None, torch.float32).value for one in x]))


@pytest.mark.parametrize("k", [64, 1024])
def test_partial_sums_that_grow_large_and_cancel_late(k: int) -> None:
    """The second half of each sum takes back the first but for an ulp or two; a tiny last value forces slices."""
    random = Random(k)
    x = torch.tensor([[random.uniform(0.5, 1) for _ in range(k)] for _ in range(3)])
    w = torch.tensor([[random.uniform(0.5, 1) for _ in range(k)] for _ in range(3)])
    nearly_w = w.clone()
    nearly_w[:, ::7] = nearly_w[:, ::7].nextafter(torch.tensor(1.0))
    tiny = torch.full((3, 1), 2.0**-60)
    x, w = torch.cat([x, -x, tiny], -1), torch.cat([w, nearly_w, tiny], -1)
    product = exact_product(x, w, None, torch.float32)
    assert same_bits(product.value, oracle(x, w, None, torch.float32))
    assert product.resummed == 9


@pytest.mark.parametrize("device", DEVICES)
def test_a_layer_of_real_size_agrees_with_rationals_where_sampled(device: str) -> None:
    random = Random(11)
    x, w = (torch.tensor([uniform(random, 1536) for _ in range(n)]) for n in (64, 384))
    product = exact_product(x.to(device), w.to(device), None, torch.float32)
    sampled = oracle(x[::21], w[::97], None, torch.float32)
    assert same_bits(product.value.cpu()[::21, ::97], sampled)
    assert product.certified > 0.99 * product.value.numel()


@pytest.mark.parametrize("k", [8, 64, 1024])
@pytest.mark.parametrize("out", DTYPES, ids=str)
def test_the_certificate_is_given_up_to_its_bound_and_never_beyond_it(k: int, out: torch.dtype) -> None:
    """Sums near a tie of the output, each with partial sums of about 2: what is nearer than rounding may move is cut.

    The last row's sum is the tie itself, of few bits: one float64 product is exact, and its rows say so.
    """
    tie, bound = 1 + torch.finfo(out).eps / 2, 2.0 * 2.0**-53 * k

    def product(distance: float) -> Product:
        x = torch.zeros(1, k)
        x[0, 0], x[0, 1], x[0, 2] = 1.0, tie - 1.0, distance
        return exact_product(x, torch.ones(1, k), None, out)

    for sign in (-1, 1):
        near, far = product(sign * bound / 2**10), product(sign * bound * 2**10)
        assert (near.certified, near.resummed) == (0, 1)
        assert (far.certified, far.resummed) == (1, 0)
        assert near.value.item() == far.value.item() == (1.0 if sign < 0 else 1.0 + torch.finfo(out).eps)
    on_it = product(0.0)
    assert (on_it.certified, on_it.resummed, on_it.value.item()) == (1, 0, 1.0)


def test_only_what_is_left_open_is_cut() -> None:
    """Of a layer's outputs one is a tie that 2^-140 decides; the others keep the bits and the certificate they had."""
    random = Random(3)
    x, w = (torch.tensor([uniform(random, 32) for _ in range(n)]) for n in (24, 40))
    alone = exact_product(x, w, None, torch.float32)
    x[7], w[31] = 0.0, 1.0
    x[7, :3] = torch.tensor([1.0, 2.0**-24, 2.0**-140])
    product = exact_product(x, w, None, torch.float32)
    assert (alone.resummed, product.resummed) == (0, 1)
    assert product.value[7, 31].item() == 1 + 2.0**-23
    untouched = torch.ones(24, 40, dtype=torch.bool)
    untouched[7], untouched[:, 31] = False, False
    assert same_bits(product.value[untouched], alone.value[untouched])


def test_empty_operands_give_zeros_or_nothing() -> None:
    assert same_bits(
        exact_product(torch.ones(2, 0), torch.ones(3, 0), None, torch.float16).value, torch.zeros(2, 3).half()
    )
    tie = torch.tensor([1 + 2.0**-11] * 3)  # half way between two float16
    assert same_bits(exact_product(torch.ones(2, 0), torch.ones(3, 0), tie, torch.float16).value[0], tie.half())
    unfit = rows(0, [2, 2, 2], 4, torch.float32)
    assert exact_product(torch.ones(0, 4), unfit, None, torch.float32).value.shape == (0, 3)


def test_other_dtypes_are_refused() -> None:
    one = torch.ones(1, 1)
    with pytest.raises(ValueError, match=r"^w is torch\.float64, but an exact product takes float32"):
        exact_product(one, one.to(torch.float64), None, torch.float32)
    with pytest.raises(ValueError, match=r"^bias is torch\.int32, but"):
        exact_product(one, one, torch.ones(1, dtype=torch.int32), torch.float32)
    with pytest.raises(ValueError, match=r"^out_dtype is torch\.float64, but an exact product is rounded to"):
        exact_product(one, one, None, torch.float64)
