"""Products of the oracle: by hand, against themselves, and against quant under every rule that declares an order."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor

from parity import oracle
from parity.counter import normal_like, words
from parity.oracle import Form
from quant import PerAxis, PerToken, ProductRules, TensorScheme
from quant import decisions as d
from quant.code_linear import code_linear_product
from quant.fake import quantized_operand
from quant.product import linear_product
from suites.oracle_cases import DTYPES, lenient, scheme
from suites.rationals import same_bits

ORDERS = ["exact", "float32_sequential", "float32_sequential_fma", "float16_sequential"]
EXACT = ProductRules(accumulate=d.Accumulate.EXACT)
CODES = ProductRules(
    product_operands=d.ProductOperands.CODES, accumulate=d.Accumulate.INT32, bias_add=d.BiasAdd.BEFORE_OUTPUT_CAST
)


def operands(dtype: torch.dtype, k: int = 24) -> tuple[Tensor, Tensor, Tensor]:
    """x [5, k], w [6, k], bias [6]: near-normal, cancelling pairs, wide exponents, subnormals, zeros, largest."""
    x, w = (normal_like(words(seed, 4 * 6 * k), dtype).reshape(6, k) for seed in (1, 2))
    x[1, 1::2], w[:2, 1::2] = x[1, ::2], -w[:2, ::2]
    x[2] = torch.ldexp(x[2].double(), words(3, k)[0] % 12).to(dtype)
    x[3] = torch.finfo(dtype).smallest_normal * x[3]
    x[4] = 0.0
    w[5, :3] = torch.finfo(dtype).max
    return x[:5], w, normal_like(words(4, 24), dtype).flatten()


def test_exact_sum_has_no_order() -> None:
    """(2^60, 1, -2^60): whichever comes first, the 1 survives; one that is lost in float32 does not."""
    w = torch.ones(1, 3)
    for order in ((0, 1, 2), (1, 0, 2), (0, 2, 1)):
        x = torch.tensor([[2.0**60, 1.0, -(2.0**60)]])[:, order]
        assert oracle.product(x, w, None, EXACT, torch.float32).item() == 1.0
    in_order = replace(EXACT, accumulate=d.Accumulate.FLOAT32_SEQUENTIAL)
    x = torch.tensor([[2.0**60, 1.0, -(2.0**60)]])
    assert oracle.product(x, w, None, in_order, torch.float32).item() == 0.0


def test_a_fused_step_keeps_the_product() -> None:
    """(1 + 2^-12)^2 - (1 + 2^-11) = 2^-24."""
    x, w = torch.tensor([[1 + 2.0**-11, 1 + 2.0**-12]]), torch.tensor([[-1.0, 1 + 2.0**-12]])
    for accumulate, answer in (("float32_sequential", 0.0), ("float32_sequential_fma", 2.0**-24), ("exact", 2.0**-24)):
        rules = EXACT.with_values(accumulate=accumulate)
        assert oracle.product(x, w, None, rules, torch.float32).item() == answer


def test_native_order_is_nobodys_to_declare() -> None:
    x, w, _ = operands(torch.float32)
    with pytest.raises(
        ValueError, match="accumulate is native: a library's own order of summation is declared nowhere"
    ):
        oracle.product(x, w, None, ProductRules(), torch.float32)
    with pytest.raises(ValueError, match="product_operands is codes, so x and w must be traces of oracle"):
        oracle.product(x, w, None, CODES, torch.float32)


@pytest.mark.parametrize("accumulate", ORDERS[1:])
@pytest.mark.parametrize("dtype", DTYPES)
def test_both_forms_sum_alike(accumulate: str, dtype: torch.dtype) -> None:
    x, w, bias = operands(dtype)
    x[0, 0], w[4, 3] = torch.inf, torch.nan
    rules = EXACT.with_values(accumulate=accumulate)
    found = [oracle.product(x, w, bias, rules, dtype, form=form) for form in (Form.RATIONAL, Form.BULK)]
    assert same_bits(*found)


@pytest.mark.parametrize("output", ["direct", "via_float16"])
@pytest.mark.parametrize("bias_add", ["in_accumulator", "before_output_cast", "after_output_cast", "none"])
@pytest.mark.parametrize("accumulate", ORDERS)
def test_quant_sums_as_declared(accumulate: str, bias_add: str, output: str) -> None:
    rules = EXACT.with_values(accumulate=accumulate, bias_add=bias_add, product_output=output)
    for dtype, output_dtype in product(DTYPES, DTYPES):
        x, w, bias = operands(dtype)
        declared = oracle.product(x, w, bias, rules, output_dtype, form=Form.BULK)
        assert same_bits(linear_product(x, w, bias, rules, output_dtype), declared), (dtype, output_dtype)


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_quant_cuts_operands_as_declared(precision: str, dtype: torch.dtype) -> None:
    x, w, bias = operands(dtype)
    rules = EXACT.with_values(operand_precision=precision)
    assert same_bits(linear_product(x, w, bias, rules, dtype), oracle.product(x, w, bias, rules, dtype))


def test_exact_product_of_what_is_not_finite() -> None:
    x, w, bias = operands(torch.float32)
    x[0, 0], x[1, 2], w[3, 5], w[0, 0] = torch.inf, torch.nan, -torch.inf, 0.0
    assert same_bits(linear_product(x, w, bias, EXACT, torch.float32), oracle.product(x, w, bias, EXACT, torch.float32))


def test_bfloat16_precision_has_bfloat16s_range() -> None:
    x, w = torch.full((1, 1), 65504.0, dtype=torch.float16), torch.ones(1, 1, dtype=torch.float16)
    rules = EXACT.with_values(operand_precision="bfloat16")
    declared = oracle.product(x, w, None, rules, torch.float32)
    assert declared.item() == 65536.0
    assert same_bits(linear_product(x, w, None, rules, torch.float32), declared)


def sides(scale_dtype: torch.dtype, **changes: str) -> tuple[TensorScheme, TensorScheme]:
    rules = lenient("engine").with_values(**changes)
    activation, weight = scheme("asymmetric8", rules, scale_dtype), scheme("symmetric4", rules, scale_dtype)
    assert activation is not None
    assert weight is not None
    return replace(activation, granularity=PerToken()), replace(weight, granularity=PerAxis(0))


@pytest.mark.parametrize("output", ["direct", "via_float16", "promoted"])
@pytest.mark.parametrize("bias_add", ["before_output_cast", "after_output_cast", "none"])
@pytest.mark.parametrize("rescale", ["scales_first", "input_first", "weight_first"])
def test_quant_multiplies_codes_as_declared(rescale: str, bias_add: str, output: str) -> None:
    rules = CODES.with_values(code_product_rescale=rescale, bias_add=bias_add, product_output=output)
    turn = len(rescale + bias_add + output)  # the cases take turns with three of the nine pairs
    scale_dtypes = (torch.float32, torch.bfloat16, torch.float64)
    for dtype, scale_dtype in zip(DTYPES, scale_dtypes[turn % 3 :] + scale_dtypes[: turn % 3], strict=True):
        x, w, bias = operands(dtype)
        schemes = sides(scale_dtype)
        found = code_linear_product(*map(quantized_operand, (x, w), schemes), bias, rules, dtype)
        traces = [
            oracle.trace(side, s, fake=False, output_dtype=dtype) for side, s in zip((x, w), schemes, strict=True)
        ]
        assert same_bits(found, oracle.product(*traces, bias, rules, dtype)), (dtype, scale_dtype)


@pytest.mark.parametrize("output", ["direct", "via_float16"])
@pytest.mark.parametrize("accumulate", ["float32_sequential", "float16_sequential"])
def test_codes_are_summed_in_floats_as_declared(accumulate: str, output: str) -> None:
    rules = CODES.with_values(accumulate=accumulate, product_output=output)
    for dtype in DTYPES:
        x, w, bias = operands(dtype)
        schemes = sides(torch.float32)
        found = code_linear_product(*map(quantized_operand, (x, w), schemes), bias, rules, dtype)
        traces = [oracle.trace(t, s, fake=False, output_dtype=dtype) for t, s in zip((x, w), schemes, strict=True)]
        assert same_bits(found, oracle.product(*traces, bias, rules, dtype)), dtype


def test_half_an_accumulator_stops_at_2048_ones() -> None:
    """4,096 products of ones: 2048 + 1 is 2048 in fp16; int32 and fp32 count on."""
    ones = replace(sides(torch.float32)[1], bits=2, qmin=-1, qmax=1, rules=lenient("burn_3042"))
    operand = quantized_operand(torch.ones(1, 4096), ones)
    sums = {
        accumulate: code_linear_product(
            operand, operand, None, CODES.with_values(accumulate=accumulate), torch.float32
        ).item()
        for accumulate in ("int32", "float32_sequential", "float16_sequential")
    }
    assert sums == {"int32": 4096.0, "float32_sequential": 4096.0, "float16_sequential": 2048.0}


@pytest.mark.parametrize(
    "changes",
    [
        {"zero_point_offset": "minus_one"},
        {"dequantize_scale": "unrounded"},
        {"eps_target": "none", "zero_scale": "tenth", "zero_scale_at": "use"},
    ],
)
def test_codes_carry_what_their_tensor_rules_say(changes: dict[str, str]) -> None:
    x, w, bias = operands(torch.bfloat16)
    schemes = sides(torch.bfloat16, **changes)
    found = code_linear_product(*map(quantized_operand, (x, w), schemes), bias, CODES, torch.bfloat16)
    traces = [
        oracle.trace(side, s, fake=False, output_dtype=side.dtype) for side, s in zip((x, w), schemes, strict=True)
    ]
    assert same_bits(found, oracle.product(*traces, bias, CODES, torch.bfloat16))


def test_code_sum_beyond_int32_is_a_sentence() -> None:
    wide = scheme("asymmetric16", lenient("engine"), torch.float32)
    assert wide is not None
    x = torch.cat([torch.zeros(1, 1), torch.ones(1, 3)], -1)
    side = oracle.trace(x, replace(wide, granularity=PerToken()), fake=False, output_dtype=torch.float32)
    with pytest.raises(ValueError, match=r"a sum of code products reaches \d+, beyond int32"):
        oracle.product(side, side, None, CODES, torch.float32)
