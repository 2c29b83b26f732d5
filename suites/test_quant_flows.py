"""Whatever scheme is declared under the engine's rules: prepare == convert == PTQ, codes on the grid, zero kept.

Hypothesis draws a recipe of integers and shrinks it; the numbers themselves come from the counter generator.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from quant import (
    PerRow,
    PerToken,
    Quantized,
    QuantScheme,
    TensorScheme,
    ZeroPointDomain,
    choose_qparams,
    convert,
    dequantize,
    prepare,
    quantize,
    quantize_,
    rules_named,
)
from quant.codes import storage_dtype
from quant.fake import Operand
from quant.linear import LayerStages
from suites.directed_groups import FLOATS, directed, same_bits
from suites.quant_stages import unlike
from suites.recipes import GRANULARITIES, PRODUCTS, ROWS, SCALES, WIDTH, Recipe, recipes

unhurried = settings(deadline=None, max_examples=120)


def three_flows(layer: QuantScheme, weight: Tensor, bias: Tensor | None, x: Tensor) -> dict[str, LayerStages]:
    """The stages of PTQ, prepare and convert on the same float layer."""

    def linear() -> nn.Linear:
        made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=weight.dtype)
        made.weight = nn.Parameter(weight.clone())
        if bias is not None:
            made.bias = nn.Parameter(bias.clone())
        return made

    prepared = prepare(linear(), layer)
    stages = {"prepare": prepared.stages(x)}
    stages["convert"] = convert(prepared).stages(x)
    stages["ptq"] = quantize_(linear(), layer).stages(x)
    return stages


@unhurried
@given(
    weights=recipes(),
    activations=recipes(granularity=st.just(GRANULARITIES.index(PerToken()))),
    product=st.integers(0, len(PRODUCTS) - 1),
    has=st.tuples(st.booleans(), st.booleans()),
    rank=st.integers(1, 4),
)
def test_three_flows_are_one_path(
    weights: Recipe, activations: Recipe, product: int, has: tuple[bool, bool], rank: int
) -> None:
    has_bias, has_activation = has
    weight = weights.tensor((ROWS, WIDTH))
    activations = replace(activations, dtype=weights.dtype)
    x = activations.tensor((2, 3, 2, WIDTH)[4 - rank :])
    bias = weights.tensor((1, ROWS))[0] if has_bias else None
    layer = QuantScheme(
        weight=weights.scheme(),
        activation=activations.scheme() if has_activation else None,
        product=PRODUCTS[product],
    )
    stages = three_flows(layer, weight, bias, x)
    for flow in ("prepare", "convert"):
        assert unlike(stages[flow].weight, stages["ptq"].weight) == []
        if has_activation:
            assert unlike(_input(stages[flow]), _input(stages["ptq"])) == []
        assert same_bits(stages[flow].output, stages["ptq"].output)
    assert stages["ptq"].output.shape == (*x.shape[:-1], ROWS)


def _input(stages: LayerStages) -> Operand:
    assert stages.input is not None
    return stages.input


@unhurried
@given(recipe=recipes())
def test_codes_lie_on_the_grid_in_the_narrowest_dtype(recipe: Recipe) -> None:
    scheme, x = recipe.scheme(), recipe.tensor((ROWS, WIDTH))
    codes = quantize(x, choose_qparams(x, scheme)).codes
    assert codes.dtype is storage_dtype(scheme.qmin, scheme.qmax)
    assert scheme.qmin <= int(codes.min()) <= int(codes.max()) <= scheme.qmax


@unhurried
@given(recipe=recipes())
def test_stored_scales_are_positive_and_zero_points_on_the_grid(recipe: Recipe) -> None:
    scheme, x = recipe.scheme(), recipe.tensor((ROWS, WIDTH))
    qparams = choose_qparams(x, scheme)
    resolved = qparams.scheme
    assert qparams.scale.dtype is resolved.scale_dtype
    smallest = max(torch.finfo(resolved.scale_dtype).smallest_normal, torch.finfo(torch.float32).smallest_normal)
    bound = torch.tensor(resolved.eps, dtype=torch.float32).to(resolved.scale_dtype).item()
    assert float(qparams.scale.min()) >= bound > 0
    assert recipe.eps or bound == smallest  # the default eps
    if scheme.zero_point_domain is ZeroPointDomain.INT:
        assert qparams.zero_point is not None
        assert qparams.zero_point.dtype is resolved.zero_point_dtype
        assert scheme.qmin <= float(qparams.zero_point.min()) <= float(qparams.zero_point.max()) <= scheme.qmax


@unhurried
@given(recipe=recipes(kind=st.integers(0, 4)))
def test_zero_is_kept(recipe: Recipe) -> None:
    """0.0 and -0.0 read back as +0.0 exactly, wherever the range is widened to hold zero."""
    scheme, x = recipe.scheme(), recipe.tensor((ROWS, WIDTH))
    x[:, 3], x[:, 4] = 0.0, -0.0
    back = dequantize(quantize(x, choose_qparams(x, scheme)), x.dtype)
    assert same_bits(back[:, 3:5], torch.zeros_like(back[:, 3:5]))


@unhurried
@given(recipe=recipes(kind=st.integers(0, 4)))
def test_codes_survive_a_round_trip(recipe: Recipe) -> None:
    """quantize(dequantize(codes)) == codes under the same qparams, where rounding to O cannot reach half a step.

    |q - z| <= d makes an error of at most d * 2^-p of a step for a dtype of p bits, twice: so d <= 2^(p - 3).
    """
    scheme, x = recipe.scheme(), recipe.tensor((ROWS, WIDTH))
    qparams = choose_qparams(x, scheme)
    dtype = x.dtype
    info, bits = torch.finfo(dtype), {torch.bfloat16: 8, torch.float16: 11, torch.float32: 24}[dtype]
    quantized = quantize(x, qparams)
    back = dequantize(quantized, dtype)
    span = scheme.qmax - scheme.qmin
    holds = span <= 2 ** (bits - 3)
    holds &= float(qparams.scale.min()) >= info.smallest_normal and float(qparams.scale.max()) * span <= info.max
    if holds:
        assert same_bits(quantize(back, qparams).codes, quantized.codes)


@unhurried
@given(recipe=recipes(kind=st.integers(0, 2), eps=st.just(0), scale=st.just(1)))
def test_error_is_at_most_half_a_step_inside_the_grid(recipe: Recipe) -> None:
    """|x - dequantize(quantize(x))| <= scale / 2 for fp32 where the code is no bound, in exact float64 arithmetic."""
    scheme = recipe.scheme()
    x = replace(recipe, dtype=0).tensor((ROWS, WIDTH))
    quantized = quantize(x, choose_qparams(x, scheme))
    scale = _spread(quantized, x)
    inside = (quantized.codes > scheme.qmin) & (quantized.codes < scheme.qmax)
    error = (x.double() - dequantize(quantized, torch.float32).double()).abs()
    # the quotient and the product are each rounded once, to within 2^-24 of at most 255 steps
    assert (error <= scale * (0.5 + 2 * 255 * 2.0**-24))[inside].all()


def _spread(quantized: Quantized, x: Tensor) -> Tensor:
    scale = quantized.qparams.scale.double()
    for axis, (n, blocks) in enumerate(zip(x.shape, quantized.qparams.scale.shape, strict=True)):
        scale = scale.repeat_interleave(n // blocks, axis)
    return scale


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("kind", range(6))
def test_three_flows_agree_on_directed_groups(dtype: torch.dtype, kind: int) -> None:
    """Ties, zeros, constants, subnormals, the largest finite values: with bias and without."""
    plain = Recipe(
        dtype=FLOATS.index(dtype), bits=4, unsigned=0, kind=kind, scale=0, zero_point=2, granularity=1, eps=0,
        narrowed=0, magnitude=0, seed=0,
    )  # fmt: skip
    for scale in range(len(SCALES)):
        scheme = replace(plain, scale=scale).scheme()
        weight = directed(scheme, dtype)
        layer = QuantScheme(weight=scheme, product=PRODUCTS[0])
        x = torch.zeros(1, weight.shape[1], dtype=dtype)
        stages = three_flows(layer, weight, None, x)
        for flow in ("prepare", "convert"):
            assert unlike(stages[flow].weight, stages["ptq"].weight) == []


def test_rules_with_float_codes_may_part_in_prepare() -> None:
    """The property is the engine's: torchao's prepare keeps a negative zero that its integers lose."""
    rules, product = rules_named("torchao")
    weight = torch.tensor([[-1e-3, 7.5, -7.5, 1.0]])
    scheme = TensorScheme(
        bits=4,
        qmin=-8,
        qmax=7,
        granularity=PerRow(),
        zero_point_domain=ZeroPointDomain.NONE,
        zero_point_dtype=None,
        eps=1e-6,
        rules=rules,
    )
    stages = three_flows(QuantScheme(weight=scheme, product=product), weight, None, torch.zeros(1, 4))
    fake, stored = stages["prepare"].weight.dequantized, stages["ptq"].weight.dequantized
    assert same_bits(stages["convert"].weight.dequantized, stored)
    assert torch.equal(fake, stored)
    assert not same_bits(fake, stored)
