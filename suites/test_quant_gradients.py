"""The straight-through gradient: exact inside the grid, zero outside, and the bits of autograd where a rule says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kernels.narrow import narrow
from quant import (
    Mapping,
    PerGroup,
    PerRow,
    PerToken,
    ProductRules,
    QuantScheme,
    Rules,
    TensorScheme,
    ZeroPointDomain,
    choose_qparams,
    fake_quantize,
    presets,
    rules_named,
)
from quant.fake import fake_operand
from quant.linear import FakeQuantizedLinear
from quant.mapping import INTEGER_GRIDS
from quant.product import linear_product
from suites.directed_groups import FLOATS, SIZE, directed, same_bits
from suites.quant_stages import uneven_gradient

ENGINE, TORCHAO = rules_named("engine")[0], rules_named("torchao")[0]


def scheme(rules: Rules, **changes: Any) -> TensorScheme:
    values: dict[str, Any] = {"bits": 4, "qmin": -8, "qmax": 7, "granularity": PerGroup(SIZE), "eps": 1e-6}
    return TensorScheme(**(values | changes), rules=rules)


def gradient(x: Tensor, wanted: TensorScheme, grad: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    fake_quantize(x, wanted).backward(grad)
    assert x.grad is not None
    return x.grad


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_engine_passes_gy_inside_and_zero_outside(dtype: torch.dtype) -> None:
    """Symmetric int4: scale = 15 / 7.5 = 2, so 15 / 2 = 7.5 rounds to 8, off the grid, and -7.5 to -8, on it."""
    x = torch.tensor([[15.0, -15.0, 13.0, 14.875, -0.0, 1.0, 3.0, 0.5]], dtype=dtype)
    grad = torch.tensor([[2.0, -3.0, -0.0, 5e-5, torch.inf, 1 / 3, -1 / 3, 7.0]], dtype=dtype)
    wanted = scheme(ENGINE, granularity=PerToken())
    expected = grad.clone()
    expected[0, 0] = 0.0
    assert same_bits(gradient(x, wanted, grad), expected)


def test_clipped_entries_have_no_gradient_whatever_arrives() -> None:
    """The masked entries are +0.0, also under an infinite or NaN gradient."""
    x = torch.tensor([[15.0, 15.0, 15.0, -15.0]])
    grad = torch.tensor([[torch.inf, torch.nan, -1.0, torch.nan]])
    expected = torch.tensor([[0.0, 0.0, 0.0, torch.nan]])
    for product_rule in ("identity", "scale_over_scale"):
        rules = ENGINE.with_values(gradient_product=product_rule)
        assert same_bits(gradient(x, scheme(rules, granularity=PerToken()), grad), expected)


@pytest.mark.parametrize(
    ("mask", "expected"),
    [("rounded", [0.0, 1.0, 1.0]), ("unrounded", [0.0, 0.0, 1.0]), ("none", [1.0, 1.0, 1.0])],
)
def test_masks(mask: str, expected: list[float]) -> None:
    """15/2 = 7.5 rounds to 8; 14.5/2 = 7.25 lies beyond 7 but rounds to it; 13/2 rounds to 6 at a tie."""
    x, grad = torch.tensor([[15.0, 14.5, 13.0]]), torch.ones(1, 3)
    rules = ENGINE.with_values(gradient_mask=mask)
    assert gradient(x, scheme(rules, granularity=PerToken()), grad).tolist() == [expected]


@pytest.mark.parametrize("add", ["after_round", "before_round"])
def test_unrounded_mask_counts_the_zero_point(add: str) -> None:
    """Asymmetric int4 on [0, 3.75]: scale 0.25, zero point -8; 3.75 / 0.25 - 8 = 7 is inside."""
    x, grad = torch.tensor([[0.0, 3.75, 1.0]]), torch.ones(1, 3)
    rules = ENGINE.with_values(gradient_mask="unrounded", zero_point_add=add)
    wanted = scheme(rules, granularity=PerToken(), mapping=Mapping.ASYMMETRIC)
    assert gradient(x, wanted, grad).tolist() == [[1.0, 1.0, 1.0]]


def test_mask_all_detaches() -> None:
    x = torch.ones(1, 4, requires_grad=True)
    rules = ENGINE.with_values(gradient_mask="all")
    assert not fake_quantize(x, scheme(rules, granularity=PerToken())).requires_grad


def test_no_gradient_is_recorded_when_none_is_wanted() -> None:
    wanted = scheme(ENGINE, granularity=PerToken())
    assert not fake_quantize(torch.ones(1, 4), wanted).requires_grad
    with torch.no_grad():
        assert not fake_quantize(torch.ones(1, 4, requires_grad=True), wanted).requires_grad


class Round(torch.autograd.Function):
    """round() whose gradient is the identity, for the reference below."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


@pytest.mark.parametrize("divides", [True, False], ids=["divide", "reciprocal"])
@pytest.mark.parametrize("scale_dtype", [*FLOATS, torch.float64], ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_gradient_is_that_of_autograd_through_the_same_operations(
    dtype: torch.dtype, scale_dtype: torch.dtype, divides: bool
) -> None:
    """clamp(round(x / s) + z) and (q - z) * s as plain torch operations, differentiated by torch."""
    values = {"code_division": "divide", "gradient_product": "scale_over_scale"} if divides else {}
    rules = TORCHAO.with_values(**values)
    for mapping in INTEGER_GRIDS:
        wanted = scheme(rules, mapping=mapping, scale_dtype=scale_dtype, zero_point_dtype=torch.int32)
        data = directed(wanted, dtype)
        qparams = choose_qparams(data, wanted)
        assert qparams.zero_point is not None
        x = data.clone().requires_grad_()
        quotient = x / qparams.scale if divides else x * (1.0 / qparams.scale)
        codes = torch.clamp(Round.apply(quotient) + qparams.zero_point, -8, 7)  # type: ignore[no-untyped-call]  # autograd has no types
        values_back = (codes.to(dtype) - qparams.zero_point.to(dtype)) * qparams.scale
        grad = uneven_gradient(data)
        values_back.to(dtype).backward(grad)
        assert x.grad is not None
        assert same_bits(gradient(data, wanted, grad), x.grad)


@pytest.mark.parametrize("rules", ["engine", "torchao"])
def test_output_may_be_modified_in_place(rules: str) -> None:
    layer = presets.int8_dynamic_intx_weight(rules=rules)
    module = FakeQuantizedLinear(nn.Parameter(torch.randn(4, 32)), None, layer)
    x = torch.randn(2, 32, requires_grad=True)
    module(x).relu_().sum().backward()
    fake_quantize(x, layer.weight).mul_(2).sum().backward()
    assert module.weight.grad is not None


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("operands", ["dequantized", "codes"])
def test_layer_gradients_are_exact_products(dtype: torch.dtype, operands: str) -> None:
    """grad_x = gy @ w, grad_w = gy.T @ x and grad_bias = sum of gy, each rounded once; then the straight-through mask.

    Scales are powers of two and gradients small integers, so that float64 holds every sum.
    """
    product_rules = ProductRules().with_values(accumulate="exact")
    if operands == "codes":
        product_rules = ProductRules().with_values(
            product_operands="codes", accumulate="int32", bias_add="after_output_cast"
        )
    tensor = scheme(ENGINE, granularity=PerRow())
    layer = QuantScheme(weight=tensor, activation=tensor, product=product_rules)
    x = torch.tensor([[15.0, -15.0, 14.5, 3.0], [1.0, 2.0, 3.0, 7.5]], dtype=dtype).requires_grad_()
    weight = nn.Parameter(torch.tensor([[7.5, -7.0, 1.0, 2.0], [2.0, 30.0, -4.0, 1.0], [0.0, 0.0, 0.0, 0.0]]).to(dtype))
    bias = nn.Parameter(torch.tensor([1.0, -2.0, 3.0], dtype=dtype))
    module = FakeQuantizedLinear(weight, bias, layer)
    stages = module.stages(x)
    grad = torch.tensor([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]], dtype=dtype)
    stages.output.backward(grad)
    assert stages.input is not None
    assert x.grad is not None
    w64, x64 = stages.weight.dequantized.detach().double(), stages.input.dequantized.detach().double()
    on_grid_x = torch.tensor([[False, True, True, True], [True, True, True, False]])
    on_grid_w = torch.tensor([[False, True, True, True], [True, False, True, True], [True, True, True, True]])
    zero = torch.zeros((), dtype=dtype)
    assert same_bits(x.grad, torch.where(on_grid_x, narrow(grad.double() @ w64, dtype), zero))
    assert weight.grad is not None
    assert same_bits(weight.grad, torch.where(on_grid_w, narrow(grad.double().t() @ x64, dtype), zero))
    assert bias.grad is not None
    assert same_bits(bias.grad, narrow(grad.double().sum(0), dtype))


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
@pytest.mark.parametrize("accumulate", ["native", "exact", "float32_sequential"])
def test_cut_operands_keep_their_gradients(precision: str, accumulate: str) -> None:
    """The gradient of a product of cut operands is a product of cut operands, not zero."""
    rules = ProductRules().with_values(operand_precision=precision, accumulate=accumulate)
    x = torch.tensor([[1.0 + 2**-20, -3.0]], requires_grad=True)
    w = torch.tensor([[2.0, 0.5 + 2**-20], [1.0, 4.0]], requires_grad=True)
    linear_product(x, w, None, rules, torch.float32).backward(torch.tensor([[1.0, 2.0]]))
    assert x.grad is not None
    assert w.grad is not None
    assert x.grad.tolist() == [[4.0, 8.5]]
    assert w.grad.tolist() == [[1.0, -3.0], [2.0, -6.0]]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_float_domain_gradients(dtype: torch.dtype) -> None:
    """The float domain's own rule: the engine passes gy, scale_over_scale rounds twice in the computing dtype."""
    wanted = scheme(
        ENGINE,
        qmin=0,
        qmax=15,
        mapping=Mapping.ASYMMETRIC,
        zero_point_domain=ZeroPointDomain.FLOAT,
        zero_point_dtype="model",
        preserve_zero=False,
    )
    x = directed(wanted, dtype)
    grad = uneven_gradient(x)
    operand = fake_operand(x.clone().requires_grad_(), wanted)
    passed = gradient(x, wanted, grad)
    inside = passed != 0
    assert same_bits(passed[inside], grad[inside])
    assert operand.dequantized.requires_grad
    divided = replace(wanted, rules=ENGINE.with_values(float_gradient_product="scale_over_scale"))
    assert not same_bits(gradient(x, divided, grad), passed)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_prepare_trains_at_every_number_of_bits(dtype: torch.dtype, bits: int) -> None:
    """A step of SGD through the whole layer moves the weight, and no gradient is NaN."""
    layer = presets.int8_dynamic_intx_weight(bits=bits, group_size=16)
    weight = nn.Parameter(directed(layer.weight, dtype)[40:44, :32].clone())
    module = FakeQuantizedLinear(weight, None, layer)
    module(weight.detach()).float().sum().backward()
    assert weight.grad is not None
    assert weight.grad.isfinite().all()
    assert (weight.grad != 0).any()
