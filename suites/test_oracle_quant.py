"""quant is what the oracle says it is, bit for bit: both named sets, and every other value of every decision."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from parity import oracle
from parity.diff import diff_stage
from quant import PerAxis, PerBlock, PerGroup, PerRow, PerTensor, PerToken, Rules, TensorScheme
from quant.fake import Operand, fake_operand, quantized_operand
from quant.rule_sets import RULE_SETS
from suites.oracle_cases import (
    COMBINATIONS,
    DTYPES,
    SCALE_DTYPES,
    SCHEMES,
    directed,
    flipped,
    flips,
    lenient,
    scheme,
)


def compared(x: Tensor, tensor_scheme: TensorScheme, *, fake: bool) -> str:
    """The first stage at which quant and the oracle differ, as a sentence; "" if none does."""
    leaf = x.clone().requires_grad_(fake)
    found, raised = _operand(leaf, tensor_scheme, fake)
    try:
        declared = oracle.trace(x, tensor_scheme, fake=fake, output_dtype=x.dtype, form=oracle.Form.BULK)
    except ValueError as error:
        return "" if raised else f"only the oracle raises: {error}"
    if found is None:
        return f"only quant raises: {raised}"
    stages = {
        "weight.scale": (declared.scale, found.qparams.effective_scale),
        "weight.zero_point": (declared.zero_point, found.qparams.zero_point),
        "weight.codes": (declared.codes, found.codes),
        "weight.dequantized": (declared.dequantized, found.dequantized.detach()),
    }
    if found.dequantized.requires_grad:
        grad = x.roll(3).nan_to_num(1.0, 2.0, -2.0).to(found.dequantized.dtype)
        (found_gradient,) = torch.autograd.grad(found.dequantized, leaf, grad)
        stages["grad.weight"] = (oracle.gradient(x, grad, tensor_scheme, form=oracle.Form.BULK), found_gradient)
    for stage, (wanted, got) in stages.items():
        if wanted is None and got is None:
            continue
        diff = diff_stage(stage, wanted, got)
        if not diff.identical:
            return f"{stage}: {diff.n_different} of {diff.n_total} differ, first {diff.first}; x is {x.dtype}"
    return ""


def _operand(x: Tensor, tensor_scheme: TensorScheme, fake: bool) -> tuple[Operand | None, str]:
    try:
        return (fake_operand if fake else quantized_operand)(x, tensor_scheme), ""
    except ValueError as error:
        return None, str(error)


def _disagreements(
    rules: Rules, base: Rules, combinations: dict[str, tuple[tuple[torch.dtype, torch.dtype], ...]]
) -> Iterator[str]:
    for turn, (name, chosen) in enumerate(combinations.items()):
        for i, (dtype, scale_dtype) in enumerate(chosen, turn):
            tried, aim = scheme(name, rules, scale_dtype), scheme(name, base, scale_dtype)
            if tried is None or aim is None:
                continue
            x = directed(aim, dtype, finite=rules.nan_code == "raise")
            said = compared(x, tried, fake=bool(i % 2))
            if said:
                yield f"{name}, scale {scale_dtype}: {said}"


def _turns(key: str) -> dict[str, tuple[tuple[torch.dtype, torch.dtype], ...]]:
    """One of the twelve pairs of dtypes a scheme, chosen by the flip's name, so that the flips share them out."""
    at = {name: hashlib.sha256(f"{key} {name}".encode()).digest()[0] for name in SCHEMES}
    return {name: (COMBINATIONS[i % 12],) for name, i in at.items()}


@pytest.mark.parametrize("fake", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("rules", RULE_SETS)
def test_named_sets(rules: str, name: str, dtype: torch.dtype, fake: bool) -> None:
    for scale_dtype in SCALE_DTYPES:
        tried = scheme(name, lenient(rules), scale_dtype)
        if tried is not None:
            assert not compared(directed(tried, dtype, seed=7), tried, fake=fake)


EVERY_FLIP = [pytest.param(*flip, id="-".join(flip)) for flip in flips()]


@pytest.mark.parametrize(("name", "field", "value"), EVERY_FLIP)
def test_every_value_of_every_decision(name: str, field: str, value: str) -> None:
    rules = flipped(name, field, value)
    assert not [*_disagreements(rules, lenient(name), _turns(f"{name} {field} {value}"))]


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize(("name", "field", "value"), EVERY_FLIP)
def test_every_value_of_every_decision_in_every_dtype(name: str, field: str, value: str) -> None:
    rules, everything = flipped(name, field, value), dict.fromkeys(SCHEMES, COMBINATIONS)
    assert not [*_disagreements(rules, lenient(name), everything)]


@pytest.mark.parametrize(
    "granularity",
    [PerTensor(), PerAxis(0), PerAxis(1), PerAxis(-1), PerToken(), PerRow(), PerGroup(4), PerBlock((1, 2, 8))],
)
def test_granularities(granularity: object) -> None:
    tried = scheme("asymmetric8", lenient("engine"), torch.float32)
    assert tried is not None
    x = directed(tried, torch.bfloat16, finite=True)[:12].reshape(3, 4, 16)
    assert not compared(x, replace(tried, granularity=granularity), fake=False)
    assert not compared(x.mT, replace(tried, granularity=PerAxis(0)), fake=True)


@pytest.mark.parametrize("eps", [1e-3, 2.0**-24, 3e38, 1 + 2.0**-8 + 2.0**-40])
@pytest.mark.parametrize("order", ["before_storage", "after_storage"])
@pytest.mark.parametrize("name", ["engine", "torchao"])
def test_eps_is_cast_like_any_float64(name: str, order: str, eps: float) -> None:
    """1 + 2^-8 + 2^-40 lies above the tie of two bfloat16 numbers, but only just: float32 puts it on the tie."""
    tried = scheme("symmetric4", lenient(name).with_values(eps_order=order), torch.bfloat16)
    assert tried is not None
    for dtype in DTYPES:
        assert not compared(directed(tried, dtype, finite=True), replace(tried, eps=eps), fake=False)


# --- what no flip reaches -----------------------------------------------------------------------------------------


def test_zero_scale_has_one_sign_however_many_groups_there_are() -> None:
    tried = scheme("symmetric4", lenient("engine").with_values(eps_target="none"), torch.float32)
    assert tried is not None
    for groups in (1, 5, 8, 16, 17, 33):
        zeros = torch.zeros(groups, 16)
        for signed in (zeros, -zeros, zeros.copysign(torch.arange(16.0) - 7)):
            assert not compared(signed, tried, fake=False)


def test_gradient_mask_takes_the_bounds_of_the_clamp() -> None:
    """In bfloat16 a code beyond 32767 is 32768: the clamp with exact bounds cuts it, so no gradient passes."""
    tried = scheme("asymmetric16", lenient("engine").with_values(code_dtype="input"), torch.float32)
    assert tried is not None
    assert not compared(directed(tried, torch.bfloat16, finite=True), tried, fake=True)


def test_gradient_mask_of_rounded_bounds() -> None:
    tried = scheme("asymmetric16", lenient("torchao"), torch.bfloat16)
    assert tried is not None
    assert not compared(directed(tried, torch.bfloat16, finite=True), tried, fake=True)


def test_reciprocal_of_an_unrounded_scale_is_rounded_once() -> None:
    """1/s lies beside 1 + 3 * 2^-24, a tie of float32, but so near that the float64 nearest to it is the tie."""
    rules = lenient("torchao").with_values(qparam_dtype="float64", code_scale="unrounded")
    tried = scheme("symmetric4", rules, torch.float32)
    assert tried is not None
    inverse = 1 + 3 * 2.0**-24
    halves = torch.tensor([(k + 0.5) / inverse for k in range(1024, 4096)]).reshape(-1, 16)
    wide = replace(tried, bits=16, qmin=-32768, qmax=32767, zero_point_dtype=torch.int32, eps=1 / inverse)
    assert not compared(halves, wide, fake=False)


def test_bounds_beyond_float16_are_refused() -> None:
    """Exact bounds are computed all the same."""
    tried = scheme("unsigned8", lenient("torchao"), torch.float16)
    assert tried is not None
    x, wide = directed(tried, torch.float16, finite=True), replace(tried, bits=16, qmax=65535)
    with pytest.raises(
        ValueError, match=r"^clamp_bound is rounded, codes are clamped in torch.float16 and qmax is 65535"
    ):
        wide.resolved(torch.float16)
    rules = wide.rules.with_values(clamp_bound="exact")
    with pytest.raises(ValueError, match=r"^zero_point_clamp is clamp, zero points are computed in torch.float16 and"):
        replace(wide, rules=rules).resolved(torch.float16)
    for fake in (False, True):
        assert not compared(x, replace(wide, rules=rules.with_values(zero_point_clamp="none")), fake=fake)
