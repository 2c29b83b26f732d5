"""The oracle against itself: fractions and error-free float64 give the same bits on thousands of cases."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from parity import oracle
from parity.bits import bits
from parity.oracle import Form, OracleTrace
from quant import TensorScheme
from suites.oracle_cases import COMBINATIONS, DTYPES, SCHEMES, directed, flipped, flips, lenient, scheme


def same_bits(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(bits(a), bits(b))


def both(x: Tensor, tried: TensorScheme, *, fake: bool) -> list[OracleTrace | str]:
    """The trace of either form, or the sentence with which it refuses."""
    found: list[OracleTrace | str] = []
    for form in (Form.RATIONAL, Form.BULK):
        try:
            found.append(oracle.trace(x, tried, fake=fake, output_dtype=x.dtype, form=form))
        except ValueError as error:
            found.append(str(error))
    return found


def differs(x: Tensor, tried: TensorScheme, *, fake: bool) -> str:
    """The first stage in which the forms differ; "" if none does."""
    rational, bulk = both(x, tried, fake=fake)
    if isinstance(rational, str) or isinstance(bulk, str):
        return "" if rational == bulk else f"{rational} | {bulk}"
    for stage in ("scale", "zero_point", "codes", "dequantized"):
        a, b = rational.stage(stage), bulk.stage(stage)
        if (a is None) != (b is None) or (a is not None and b is not None and not same_bits(a, b)):
            return stage
    if not torch.equal(rational.near_tie, bulk.near_tie):
        return "near_tie"
    # Bulk promises 40 bits of the distance; bits decide wherever it is used, in near_tie.
    close = torch.isclose(rational.tie_distance, bulk.tie_distance, rtol=2.0**-40, atol=0, equal_nan=True)
    return "" if bool(close.all()) else "tie_distance"


EVERY_FLIP = [pytest.param(*flip, id="-".join(flip)) for flip in flips()]


@pytest.mark.parametrize(("name", "field", "value"), EVERY_FLIP)
def test_every_value_of_every_decision(name: str, field: str, value: str) -> None:
    """A few groups of every third scheme, by the flip's name."""
    _forms_agree(name, field, value, every=3)


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize(("name", "field", "value"), EVERY_FLIP)
def test_every_value_of_every_decision_in_every_scheme(name: str, field: str, value: str) -> None:
    _forms_agree(name, field, value, every=1)


def _forms_agree(name: str, field: str, value: str, *, every: int) -> None:
    """A few groups of schemes; the fills and the dtypes take turns, so that the flips share them out."""
    rules, turn = flipped(name, field, value), sum(map(ord, field + value))
    for i, of in [*enumerate(SCHEMES)][turn % every :: every]:
        dtype, scale_dtype = COMBINATIONS[(turn + 5 * i) % len(COMBINATIONS)]
        tried, aim = scheme(of, rules, scale_dtype), scheme(of, lenient(name), scale_dtype)
        if tried is None or aim is None:
            continue
        x = directed(aim, dtype, seed=turn)[(turn + i) % 4 :: 4]
        assert not differs(x, tried, fake=bool(i % 2)), f"{of}, {dtype}, scale {scale_dtype}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("of", SCHEMES)
@pytest.mark.parametrize("name", ["engine", "torchao"])
def test_named_sets(name: str, of: str, dtype: torch.dtype) -> None:
    tried = scheme(of, lenient(name), torch.bfloat16)
    assert tried is not None
    x = directed(tried, dtype, seed=3)
    assert not differs(torch.cat([x[::2], -x[1::2], x[:1] * 0.0]), tried, fake=False)


@pytest.mark.parametrize("rule", ["scale_times_reciprocal", "identity", "scale_over_scale"])
def test_gradients(rule: str) -> None:
    for of in ("asymmetric8", "symmetric4"):
        tried = scheme(of, lenient("torchao").with_values(gradient_product=rule), torch.float16)
        assert tried is not None
        x = directed(tried, torch.float32)
        grad = x.roll(1).nan_to_num()
        found = [oracle.gradient(x, grad, tried, form=form) for form in (Form.RATIONAL, Form.BULK)]
        assert found[0] is not None
        assert found[1] is not None
        assert same_bits(found[0], found[1])


def test_large_tensors_take_the_bulk_form_by_themselves() -> None:
    """A million elements in seconds; fractions would take minutes."""
    tried = scheme("asymmetric8", lenient("engine"), torch.float32)
    assert tried is not None
    x = directed(tried, torch.float32, finite=True).repeat(2000, 1)
    found = oracle.trace(x, tried, fake=False, output_dtype=x.dtype)
    assert found.codes.shape == x.shape
    assert torch.equal(found.codes[: len(x) // 2000], found.codes[-len(x) // 2000 :])
