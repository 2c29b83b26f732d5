"""What must not change bits, and what must change them in a known way: relations between two runs of one scheme.

Each holds for every preset, dtype and rule set, or under the condition that its test states, with a counterexample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from quant import (
    Mapping,
    PerGroup,
    Quantized,
    QuantScheme,
    TensorScheme,
    ZeroPointDomain,
    choose_qparams,
    dequantize,
    fake_quantize,
    prepare,
    presets,
    quantize,
    quantize_,
    rules_named,
)
from quant.burn import BlockLevel, BurnScheme, Value, tensor_scheme
from quant.burn_rules import BURN_HEAD_FLEX, BURN_RULE_SETS
from quant.codes import code_values
from quant.decisions import ZeroPointRule
from quant.rule_sets import RULE_SETS
from suites.directed_groups import FLOATS, SIZE, directed, same_bits
from suites.metamorphic_subjects import PRESETS, SUBJECTS, Subject, over, taken, unlike
from suites.quant_layers import numbers

ENGINE = rules_named("engine")[0]
every_subject = over(SUBJECTS)
unordered = over(subject for subject in SUBJECTS if not subject.sums_in_an_order)


# --- what must not change a bit -------------------------------------------------------------------------------------


@unordered
def test_layout_threads_and_a_second_run_change_nothing(subject: Subject) -> None:
    x = subject.x
    wanted = subject.stages(x)
    offset = torch.cat([x.new_zeros(3), x.flatten()])[3:].view_as(x)
    sliced = torch.stack([x, -x], -1)[..., 0]
    for layout in (x, x.t().contiguous().t(), offset, sliced, torch.cat([x, x], 1)[:, : x.shape[1]]):
        assert unlike(subject.stages(layout), wanted) == []
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2 if threads == 1 else 1)
        assert unlike(subject.stages(x), wanted) == []
    finally:
        torch.set_num_threads(threads)


@unordered
def test_rows_groups_and_elements_carry_their_results_along(subject: Subject) -> None:
    """Rows in another order, a batch of fewer rows, groups in another order, a group's elements in another order."""
    x = subject.x
    wanted = subject.stages(x)
    order = numbers((len(x),)).argsort()
    assert unlike(subject.stages(x[order]), taken(wanted, lambda stage: stage[order])) == []
    assert unlike(subject.stages(x[:5]), taken(wanted, lambda stage: stage[:5])) == []
    blocks = wanted[0]
    assert blocks is not None
    if isinstance(subject.scheme.granularity, PerGroup):
        columns = torch.arange(2 * SIZE).reshape(2, SIZE).flip(0).flatten()
        swapped = taken(wanted, lambda stage: stage[:, columns] if stage.shape == x.shape else stage.flip(1))
        assert unlike(subject.stages(x[:, columns]), swapped) == []
    within = numbers((SIZE,)).argsort()
    columns = torch.cat([within, within + SIZE])
    carried = taken(wanted, lambda stage: stage[:, columns] if stage.shape == x.shape else stage)
    assert unlike(subject.stages(x[:, columns]), carried) == []


def test_a_native_mean_depends_on_the_order_of_its_elements() -> None:
    """The one exception to both: torchao's mean|x| of a stretched fp32 grid; the engine's mean is exact."""
    for rules, moves in (("engine", False), ("torchao", True)):
        scheme = presets.stretched_intx_weight_only(rules=rules, group_size=2 * SIZE).weight
        x = numbers((64, 2 * SIZE))
        order = numbers((2 * SIZE,)).argsort()
        assert same_bits(choose_qparams(x, scheme).scale, choose_qparams(x[:, order], scheme).scale) is not moves


# --- powers of two --------------------------------------------------------------------------------------------------


@over(subject for subject in SUBJECTS if subject.scheme.rules.zero_point_rule is not ZeroPointRule.FROM_VALUE)
def test_a_power_of_two_scales_scale_and_values_alone(subject: Subject) -> None:
    """stages(8 x) = (8 scale, zero point or 8 of a float one, codes, 8 values), where eps bounds no group's scale and
    no step leaves the normal numbers: here groups with 1.6 < max|x| < 32.
    """
    size = subject.x.reshape(-1, 2, SIZE).abs().double().amax(2)
    x = 8 * subject.x[((size > 0.2) & (size < 4)).all(1)]
    assert len(x) >= 10
    scale, zero_point, codes, stored, faked = subject.stages(x)
    in_units = subject.scheme.zero_point_domain is ZeroPointDomain.FLOAT
    moved = zero_point * 8 if in_units and zero_point is not None else zero_point
    assert unlike(subject.stages(8 * x), (_times(scale), moved, codes, _times(stored), _times(faked))) == []


def _times(stage: Tensor | None) -> Tensor | None:
    return None if stage is None else 8 * stage


def test_a_power_of_two_shows_where_a_value_becomes_a_code() -> None:
    """zero_point_rule from_value reads a value, in units of x, as a code."""
    scheme = presets.int8_dynamic_intx_weight(rules="torchao_asymmetric_qat").activation
    assert scheme is not None
    x = torch.linspace(-1.0, 3.0, SIZE).unsqueeze(0)
    zero_points = [choose_qparams(factor * x, scheme).zero_point for factor in (1, 8)]
    assert not same_bits(*zero_points)


def test_a_power_of_two_shows_where_eps_bounds_the_scale() -> None:
    scheme = presets.xnnpack_recipe(rules="engine").weight
    x = torch.full((1, SIZE), 2.0**-12)
    small, large = choose_qparams(x, scheme).scale, choose_qparams(8 * x, scheme).scale
    assert small.item() == large.item() == 2.0**-7


def test_a_power_of_two_shows_where_a_doubled_range_overflows() -> None:
    """Burn doubles the largest magnitude before it divides; flex takes what is no number for a range of zeros."""
    x = torch.tensor([2.0**127, 0.0])
    for rules in BURN_RULE_SETS.values():
        scheme = tensor_scheme(BurnScheme(), rules)
        small, large = (choose_qparams(part, scheme).scale.item() for part in (x / 2, x))
        assert small == torch.tensor(2.0**127 / 254).item()
        assert large == (2.0**-126 if rules is BURN_HEAD_FLEX else torch.inf)


def test_a_power_of_two_shows_where_a_scale_is_replaced() -> None:
    """flex stores the smallest normal where the range divided is zero; the other sets store that zero."""
    x = torch.full((2,), 2.0**-149)
    for rules in BURN_RULE_SETS.values():
        scales = [choose_qparams(factor * x, tensor_scheme(BurnScheme(), rules)).scale.item() for factor in (1, 8)]
        assert scales == [2.0**-126 if rules is BURN_HEAD_FLEX else 0.0] * 2


def test_a_power_of_two_shows_where_a_reciprocal_is_subnormal() -> None:
    """flex multiplies by 1 / s: where s passes 2^126 that has fewer bits, and ties fall otherwise than an eighth's."""
    scheme = tensor_scheme(BurnScheme(value=Value.Q2S, level=BlockLevel((2,))), BURN_HEAD_FLEX)
    largest = torch.linspace(1.0, 1.9, 20001) * 2.0**126
    x = torch.stack([largest, (largest / 2).nextafter(torch.zeros(()))], 1)  # a hair below a tie
    moved = {}
    for name, rules in (("flex", scheme.rules), ("ndarray", BURN_RULE_SETS["burn_head_ndarray"])):
        own = replace(scheme, rules=rules)
        codes = [quantize(part, choose_qparams(part, own)).codes for part in (x, x / 8)]
        moved[name] = int((codes[0] != codes[1]).sum())
    assert moved["ndarray"] == 0
    assert moved["flex"] > 0


# --- negation -------------------------------------------------------------------------------------------------------

SYMMETRIC = tuple(s for s in SUBJECTS if s.scheme.mapping is Mapping.SYMMETRIC and s.scheme.qmin < 0)


@over(SYMMETRIC)
def test_negation_turns_codes_round_before_their_clamp(subject: Subject) -> None:
    """Scale(-x) = scale(x) and u(-x) = -u(x) of the codes u before the clamp, under a rounding that is odd."""
    x = subject.x
    qparams, turned = choose_qparams(x, subject.scheme), choose_qparams(-x, subject.scheme)
    assert same_bits(qparams.scale, turned.scale)
    unclamped, codes = code_values(x, qparams)
    minus_unclamped, minus_codes = code_values(-x, turned)
    assert torch.equal(minus_unclamped, -unclamped)
    inside = (unclamped.abs() <= subject.scheme.qmax) | (subject.scheme.qmin == -subject.scheme.qmax)
    assert torch.equal(minus_codes[inside], -codes[inside])


def test_negation_does_not_turn_the_odd_end_of_a_grid() -> None:
    """max|x| lies at 7.5 scales, whose half-even code is 8: clamped to 7 there, and -8 on the other side."""
    x = torch.tensor([[7.5] + [0.0] * (SIZE - 1)])
    scheme = presets.int8_dynamic_intx_weight(rules="engine").weight
    codes = [quantize(sign * x, choose_qparams(sign * x, scheme)).codes[0, 0].item() for sign in (1, -1)]
    assert codes == [7, -8]


@pytest.mark.parametrize(("rounding", "codes"), [("half_up", [1, 0]), ("half_even", [0, 0]), ("half_away", [1, -1])])
def test_negation_needs_an_odd_rounding(rounding: str, codes: list[int]) -> None:
    scheme = _grid(rules=ENGINE.with_values(code_rounding=rounding))
    x = torch.tensor([[7.0, 0.5] + [0.0] * (SIZE - 2)])
    assert [quantize(sign * x, choose_qparams(sign * x, scheme)).codes[0, 1].item() for sign in (1, -1)] == codes


# --- idempotence ----------------------------------------------------------------------------------------------------


def _grid(**changes: Any) -> TensorScheme:
    values: dict[str, Any] = {"bits": 4, "qmin": -7, "qmax": 7, "granularity": PerGroup(SIZE), "eps": 2.0**-126}
    return TensorScheme(**values | {"scale_dtype": torch.float32, "rules": ENGINE} | changes)


@every_subject
def test_values_on_the_grid_keep_their_codes(subject: Subject) -> None:
    """codes(dequantize(q)) = q with the same qparams, where the roundings on the way move q - z by less than 1/2.

    k roundings of relative size u move it by at most k * u * |q - z|, and in the FLOAT domain, whose values lie at a
    distance from zero, by k * u * |x| / s. k = 5: the value, the reciprocal, the quotient, and two more of the origin.
    """
    scheme = subject.scheme.resolved(subject.dtype)
    qparams = choose_qparams(subject.x, scheme)
    quantized = quantize(subject.x, qparams)
    values = dequantize(quantized, subject.dtype)
    spread = _spread(qparams.scale, values.shape)
    coarsest = max(torch.finfo(subject.dtype).eps, torch.finfo(scheme.scale_dtype).eps)
    reach = (values.double().abs() / spread.double()).maximum(torch.tensor(float(2**scheme.bits)))
    safe = (
        values.isfinite() & (5 * coarsest / 2 * reach < 0.5) & (spread.double() >= 2.0**-13) & (spread.double() < 2**8)
    )
    again = quantize(values.nan_to_num(), qparams).codes  # some sets refuse a NaN
    assert torch.equal(again[safe], quantized.codes[safe])
    if scheme.bits == 4:
        assert int(safe.sum()) > 200


def _spread(scale: Tensor, shape: torch.Size) -> Tensor:
    return scale.repeat_interleave(shape[-1] // scale.shape[-1], -1).expand(shape)


def test_eight_bits_of_a_bf16_chain_do_not_keep_their_codes() -> None:
    """torchao multiplies by a bf16 reciprocal in bf16: three roundings of 2^-9 move code -119 by more than 1/2."""
    scheme = replace(presets.intx_weight_only(rules="torchao").weight, scale_dtype=torch.bfloat16)
    moved = {}
    for name in ("torchao", "engine"):
        own = replace(scheme, rules=replace(RULE_SETS[name], refuse_lossy=False))
        x = torch.linspace(1.0, 2.0, 128).to(torch.bfloat16).unsqueeze(1) * torch.ones(1, 2, dtype=torch.bfloat16)
        qparams = choose_qparams(x, own)
        codes = torch.arange(-128, 128, dtype=torch.int8).expand(128, -1)
        again = quantize(dequantize(Quantized(codes=codes, qparams=qparams), torch.bfloat16), qparams).codes
        moved[name] = int((again != codes).sum())
    assert moved["engine"] == 0
    assert moved["torchao"] > 0


@pytest.mark.parametrize("scale_dtype", [torch.bfloat16, torch.float16])
def test_fake_quantize_is_idempotent_where_an_end_of_the_grid_is_exact(scale_dtype: torch.dtype) -> None:
    """Without clipping, an element of each group lies at qmin or qmax, and its value q * s, exact in fp32 for a 16-bit
    scale, gives that scale again.
    """
    scheme = _grid(mapping=Mapping.SYMMETRIC_NO_CLIPPING, qmin=-8, scale_dtype=scale_dtype, eps=2.0**-14)
    x = directed(scheme, torch.float32)
    x = x[x.abs().amax(1) < 2.0**10]
    once = fake_quantize(x, scheme)
    assert same_bits(fake_quantize(once, scheme), once)


def test_fake_quantize_is_not_idempotent_where_the_largest_element_is_clipped() -> None:
    scheme = _grid(qmin=-8)
    once = fake_quantize(torch.tensor([[7.5] + [1.0] * (SIZE - 1)]), scheme)
    twice = fake_quantize(once, scheme)
    assert once[0, 0].item() == 7.0
    assert choose_qparams(once, scheme).scale.item() != 1.0
    assert not torch.equal(twice, once)


# --- layers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.__name__)
def test_a_row_of_a_layer_knows_nothing_of_its_batch(preset: Callable[..., QuantScheme], dtype: torch.dtype) -> None:
    """Under the engine's exact product, whose sum has no order; a native product promises no such thing."""
    scheme = preset(rules="engine")
    x = numbers((7, 3 * 2 * SIZE), dtype)
    for make in (_stored, prepare):
        layer = make(_layer(dtype), scheme).eval()
        with torch.no_grad():
            wanted = layer(x)
            order = torch.tensor([4, 0, 6, 2, 5, 1, 3])
            assert same_bits(layer(x[:1]), wanted[:1])
            assert same_bits(layer(x[order]), wanted[order])
            assert same_bits(layer(x.t().contiguous().t()), wanted)
            assert same_bits(layer(x), wanted)


def _layer(dtype: torch.dtype) -> nn.Linear:
    made = nn.Linear(3 * 2 * SIZE, 5, dtype=dtype)
    made.weight = nn.Parameter(numbers((5, 3 * 2 * SIZE), dtype, 1))
    made.bias = nn.Parameter(numbers((5,), dtype, 2))
    return made


def _stored(layer: nn.Linear, scheme: QuantScheme) -> nn.Module:
    return quantize_(layer, scheme)
