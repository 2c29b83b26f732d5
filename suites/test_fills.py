"""Directed inputs reach the places they aim at: both ends of grids, ties, bounds, and scales that leave their dtype."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from parity.compare import compare
from parity.counter import words
from parity.fills import FAMILY_FILLS, Fill, Target, eps_edge, huge, integers, stored_ties, subnormal
from parity.inputs import filled
from parity.verdicts import Verdict
from quant import Mapping, PerGroup, QuantScheme, TensorScheme, ZeroPointDomain, choose_qparams, quantize
from quant.legality import INTEGER_DTYPES, SCALE_DTYPES
from quant.rule_sets import ENGINE, ENGINE_PRODUCT, TORCHAO

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
GROUPS, SIZE = 64, 32
EPS = 2.0**-14
GRIDS = {"int8": (-128, 127), "uint8": (0, 255)}


def scheme_of(grid: str, **values: Any) -> TensorScheme:
    """An asymmetric 8-bit scheme with these values."""
    qmin, qmax = GRIDS[grid]
    own: dict[str, Any] = {"scale_dtype": torch.float32, "zero_point_dtype": torch.int32, "eps": EPS, "rules": ENGINE}
    own |= {"bits": 8, "granularity": PerGroup(SIZE), "mapping": Mapping.ASYMMETRIC}
    return TensorScheme(qmin=qmin, qmax=qmax, **(own | values))


def drawn(fill: Fill, scheme: TensorScheme, dtype: torch.dtype) -> torch.Tensor:
    """[GROUPS, SIZE] of one fill."""
    target = Target(dtype=dtype, scheme=scheme.resolved(dtype))
    return fill(words(11, GROUPS * SIZE).reshape(GROUPS, SIZE), target).to(dtype)


# --- codes minus zero points --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("grid", GRIDS)
def test_codes_minus_zero_points_reach_both_ends(grid: str, dtype: torch.dtype) -> None:
    """From qmin - qmax to qmax - qmin, with odd and even zero points and exact ties beside them."""
    scheme = scheme_of(grid)
    x = drawn(integers, scheme, dtype)
    quantized = quantize(x, choose_qparams(x, scheme))
    scale, zero_point = quantized.qparams.scale, quantized.qparams.zero_point
    assert zero_point is not None
    distance = quantized.codes.to(torch.int32) - zero_point
    assert (int(distance.min()), int(distance.max())) == (-255, 255)
    assert {0, 1} == {*(zero_point % 2).unique().tolist()}
    steps = x.double() / scale.double()
    assert ((steps - steps.floor() == 0.5).any(1) | (zero_point % 2 == 0).squeeze(1)).sum() > GROUPS // 2
    assert bool((torch.frexp(scale).mantissa == 0.5).all())


@pytest.mark.parametrize("zero_point_dtype", [*INTEGER_DTYPES, *DTYPES], ids=str)
@pytest.mark.parametrize("grid", GRIDS)
def test_every_dtype_of_a_zero_point_is_refused_or_three_flows_are_equal(
    grid: str, zero_point_dtype: torch.dtype
) -> None:
    """A dtype that does not hold the grid is refused by all; any other moves nothing between the flows."""
    held = torch.tensor(GRIDS[grid]).to(zero_point_dtype).tolist() == [*GRIDS[grid]]
    try:
        scheme = QuantScheme(weight=scheme_of(grid, zero_point_dtype=zero_point_dtype), product=ENGINE_PRODUCT)
        verdicts = {
            compare("engine:ptq", f"engine:{flow}", scheme, dtype=torch.bfloat16).verdict
            for flow in ("qat_prepare", "qat_convert")
        }
    except ValueError:
        verdicts = {Verdict.UNSUPPORTED}
    assert verdicts == {Verdict.IDENTICAL if held else Verdict.UNSUPPORTED}


# --- scales -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale_dtype", SCALE_DTYPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_scales_overflow_or_vanish_wherever_a_dtype_lets_them(dtype: torch.dtype, scale_dtype: torch.dtype) -> None:
    """Largest finite values over 255 steps, and smallest ones without a bound. Eight bits end at a number."""
    rules = TORCHAO.with_values(eps_target="none", qparam_dtype="float64")
    end = torch.inf
    if scale_dtype is torch.float8_e4m3fn:
        rules, end = rules.with_values(scale_overflow="saturate"), torch.finfo(scale_dtype).max
    scheme = scheme_of("int8", scale_dtype=scale_dtype, rules=rules)
    largest = choose_qparams(drawn(huge, scheme, dtype), scheme).scale
    assert bool((largest == end).any()) == (2 * torch.finfo(dtype).max / 255 > torch.finfo(scale_dtype).max)
    smallest = choose_qparams(drawn(subnormal, scheme, dtype), scheme).scale
    tiny = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps
    bound = torch.finfo(scale_dtype).smallest_normal * torch.finfo(scale_dtype).eps
    assert bool((smallest == 0).any()) == (64 * tiny / 255 < bound)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(
    "values",
    [
        {"mapping": Mapping.SYMMETRIC},
        {},
        {"preserve_zero": False},
        {"zero_point_domain": ZeroPointDomain.FLOAT, "zero_point_dtype": torch.float32, "preserve_zero": False},
    ],
    ids=["symmetric", "asymmetric", "range as it is", "float"],
)
def test_scales_lie_at_eps_above_it_and_below(values: dict[str, Any], grid: str, dtype: torch.dtype) -> None:
    """At eps itself too, so that a bound that moves by one step of any dtype moves a scale."""
    scheme = scheme_of(grid, **values)
    chosen = choose_qparams(drawn(eps_edge, scheme, dtype), replace(scheme, eps=EPS * 2.0**-8))
    ratio = chosen.scale.double() / EPS
    assert bool((ratio < 0.5).any())
    assert bool(((ratio > 0.9) & (ratio < 1)).any())
    assert bool((ratio == 1).any())
    assert bool(((ratio > 1) & (ratio < 1.1)).any())


# --- ties, and groups that do not fit -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_ties_have_neighbours_one_step_to_either_side(dtype: torch.dtype) -> None:
    scheme = scheme_of("int8", scale_dtype=dtype)
    x = drawn(stored_ties, scheme, dtype)
    scale = choose_qparams(x, scheme).scale
    quotient = x.double() / scale.double()
    off = quotient - quotient.floor() - 0.5
    step = torch.finfo(dtype).eps * quotient.abs()
    near = (off.abs() <= 2 * step) & (quotient.abs() < 0.5 / torch.finfo(dtype).eps)
    assert bool((near & (off > 0)).any())
    assert bool((near & (off < 0)).any())


@pytest.mark.parametrize("family", FAMILY_FILLS)
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_every_fill_fills_groups_of_any_size(family: str, size: int) -> None:
    """Sizes that fill no byte, no vector and no tile."""
    scheme = replace(scheme_of("int8"), granularity=PerGroup(size)).resolved(torch.bfloat16)
    x = filled([1], [family], [0], (16, size), [scheme], torch.bfloat16)
    assert x.shape == (1, 16, size)
