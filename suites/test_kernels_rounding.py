"""The rules of rounding to integers: a table of the places where they part, and every float16 value."""

from collections.abc import Callable
from fractions import Fraction
from math import copysign, floor, trunc

import pytest
import torch
from torch import Tensor

from kernels import flush, half_away, half_away_by_adding, half_even, half_up, truncate
from suites.rationals import rounded, same_bits

BELOW_HALF = 0.5 - 2.0**-25  # the float32 below 0.5; adding 0.5 rounds to 1
TABLE = [
    # x,          half_even, half_away, half_away_by_adding, half_up, truncate
    (0.5, 0.0, 1.0, 1.0, 1.0, 0.0),
    (1.5, 2.0, 2.0, 2.0, 2.0, 1.0),
    (2.5, 2.0, 3.0, 3.0, 3.0, 2.0),
    (-0.5, -0.0, -1.0, -1.0, 0.0, -0.0),
    (-1.5, -2.0, -2.0, -2.0, -1.0, -1.0),
    (-2.5, -2.0, -3.0, -3.0, -2.0, -2.0),
    (BELOW_HALF, 0.0, 0.0, 1.0, 1.0, 0.0),
    (-BELOW_HALF, -0.0, -0.0, -1.0, 0.0, -0.0),
    (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    (-0.0, -0.0, -0.0, -0.0, 0.0, -0.0),
    (2.0**23 + 1, 2.0**23 + 1, 2.0**23 + 1, 2.0**23 + 2, 2.0**23 + 2, 2.0**23 + 1),
    (torch.inf, torch.inf, torch.inf, torch.inf, torch.inf, torch.inf),
    (-torch.inf, -torch.inf, -torch.inf, -torch.inf, -torch.inf, -torch.inf),
    (torch.nan, torch.nan, torch.nan, torch.nan, torch.nan, torch.nan),
]
RULES = [half_even, half_away, half_away_by_adding, half_up, truncate]
HALF = Fraction(1, 2)


@pytest.mark.parametrize("compiling", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_the_places_where_rules_part(
    rule: Callable[[Tensor], Tensor], compiling: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: compiling)
    column = 1 + RULES.index(rule)
    assert same_bits(rule(torch.tensor([row[0] for row in TABLE])), torch.tensor([row[column] for row in TABLE]))


@pytest.mark.parametrize("compiling", [False, True])
def test_every_float16_value_by_every_rule(compiling: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: compiling)
    codes = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    x = codes.view(torch.float16)
    x = x[x.isfinite() & (x.abs() < 4096)]  # beyond, all values are integers

    def added(v: Fraction, half: Fraction) -> Fraction:
        return Fraction(rounded(v + half, torch.float16))

    definitions: dict[Callable[[Tensor], Tensor], Callable[[Fraction], int]] = {
        half_even: round,
        half_away: lambda v: trunc(v + (HALF if v > 0 else -HALF)),
        half_away_by_adding: lambda v: trunc(added(v, HALF if v > 0 else -HALF)),
        half_up: lambda v: floor(added(v, HALF)),
        truncate: trunc,
    }
    exact = [Fraction(v) for v in x.tolist()]
    for rule, definition in definitions.items():
        expected = [float(definition(v)) for v in exact]
        if rule is not half_up:  # a floor of a sum has lost the sign of zero: +0
            expected = [copysign(v, sign) for v, sign in zip(expected, x.tolist(), strict=True)]
        assert same_bits(rule(x), torch.tensor(expected, dtype=torch.float16)), rule.__name__


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_flush_clears_subnormals_and_nothing_else(dtype: torch.dtype) -> None:
    normal = torch.finfo(dtype).smallest_normal
    step = normal * torch.finfo(dtype).eps
    x = torch.tensor([step, -step, normal - step, -(normal - step), normal, -normal, 0.0, -0.0], dtype=torch.float64)
    kept = torch.tensor([1.0, torch.inf, -torch.inf, torch.nan], dtype=dtype)
    flushed = torch.tensor([0.0, -0.0, 0.0, -0.0, normal, -normal, 0.0, -0.0], dtype=torch.float64)
    assert same_bits(flush(torch.cat([x.to(dtype), kept])), torch.cat([flushed.to(dtype), kept]))
