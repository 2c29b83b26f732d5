"""Rules, products, layers and shapes without meaning, each with what its refusal must say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from quant import (
    PerAxis,
    PerBlock,
    PerGroup,
    PerRow,
    PerTensor,
    PerToken,
    ProductRules,
    QuantScheme,
    TensorScheme,
    choose_qparams,
    dequantize,
    quantize,
    quantize_,
)
from quant.granularity import Stacked
from suites.illegal_tensors import ENGINE, float_domain, halves, rules, scheme

CODES = ProductRules().with_values(product_operands="codes", accumulate="int32", bias_add="after_output_cast")
PRODUCT = ProductRules()


def layer(activation: TensorScheme | None = None, **changes: Any) -> QuantScheme:
    weight = changes.pop("weight", scheme(granularity=PerAxis(0)))
    return QuantScheme(weight=weight, activation=activation, product=changes.pop("product", CODES), **changes)


# (what the sentence must say, the combination)
ILLEGAL_LAYERS: list[tuple[str, Callable[[], object]]] = [
    # two decisions
    ("eps_order is after_storage and eps_target is none", lambda: rules(eps_order="after_storage", eps_target="none")),
    ("zero_scale_at is use and zero_scale is keep", lambda: rules(zero_scale_at="use")),
    (
        "zero_point_add is before_round_fma and code_division is divide",
        lambda: rules(zero_point_add="before_round_fma", code_division="divide", gradient_product="identity"),
    ),
    ("rescale_fusion is fma and rescale_intermediate is output", lambda: rules(rescale_fusion="fma")),
    ("rescale_fusion is fma_offset and rescale_intermediate is output", lambda: rules(rescale_fusion="fma_offset")),
    ("gradient_product is scale_times_reciprocal and code_division is divide", lambda: rules(code_division="divide")),
    (
        "float_gradient_product is scale_times_reciprocal and float_code_division is divide",
        lambda: rules(float_gradient_product="scale_times_reciprocal"),
    ),
    # a product
    ("accumulate is int32 and product_operands is dequantized", lambda: PRODUCT.with_values(accumulate="int32")),
    ("accumulate is native and product_operands is codes", lambda: PRODUCT.with_values(product_operands="codes")),
    (
        "code_product_rescale is input_first and product_operands is dequantized",
        lambda: PRODUCT.with_values(code_product_rescale="input_first"),
    ),
    ("bias_add is in_accumulator and product_operands is codes", lambda: CODES.with_values(bias_add="in_accumulator")),
    (
        "product_output is promoted and product_operands is dequantized",
        lambda: PRODUCT.with_values(product_output="promoted"),
    ),
    (
        "bias_add is before_output_cast and accumulate is native",
        lambda: PRODUCT.with_values(bias_add="before_output_cast"),
    ),
    # a layer
    (
        "output_dtype is torch.float64; use 'model' or one of",
        lambda: layer(product=PRODUCT, output_dtype=torch.float64),
    ),
    (
        "output_dtype is torch.int8; use 'model' or one of",
        lambda: layer(weight=scheme(ENGINE), product=PRODUCT, output_dtype=torch.int8),
    ),
    ("output_dtype is torch.int64, which only an embedding's rows are cut to", lambda: _integers_of_a_product()),
    ("product_operands is codes and the activation scheme is None", lambda: layer()),
    (
        r"product_operands is codes and the weight's granularity is PerGroup\(size=4\)",
        lambda: layer(scheme(granularity=PerToken()), weight=scheme()),
    ),
    (
        r"product_operands is codes and the activation's granularity is PerGroup\(size=4\)",
        lambda: layer(scheme()),
    ),
    (
        r"product_operands is codes and the weight's granularity is PerAxis\(axis=1\): scales along k",
        lambda: layer(scheme(granularity=PerToken()), weight=scheme(granularity=PerAxis(1))),
    ),
    (
        "product_operands is codes and the weight's mapping is stretched",
        lambda: layer(scheme(granularity=PerToken()), weight=halves(granularity=PerTensor())),
    ),
    (
        "product_operands is codes and the activation's mapping is stretched",
        lambda: layer(halves(granularity=PerToken())),
    ),
    (
        "product_operands is codes and the weight's zero_point_domain is float",
        lambda: layer(scheme(granularity=PerToken()), weight=float_domain(granularity=PerTensor())),
    ),
    (
        "product_operands is codes and the activation's zero_point_domain is float",
        lambda: layer(float_domain(granularity=PerToken())),
    ),
    # shapes
    ("group size is 0; it must be at least 1", lambda: PerGroup(0)),
    (r"group size 3 does not divide the last dimension of \(2, 4\)", lambda: PerGroup(3).block_shape((2, 4))),
    (r"axis is 2, but the shape \(2, 4\) has 2 dimensions", lambda: PerAxis(2).block_shape((2, 4))),
    (r"the shape \(4,\) has no rows", lambda: PerRow().block_shape((4,))),
    ("a tensor without dimensions has no tokens", lambda: PerToken().block_shape(())),
    (r"blocks of \(3, 2\) do not tile the shape \(2, 4\)", lambda: PerBlock((3, 2)).block_shape((2, 4))),
    ("a tensor without dimensions is no stack of cases", lambda: Stacked(PerTensor()).block_shape(())),
    (r"the shape \(0, 4\) holds no elements", lambda: choose_qparams(torch.zeros(0, 4), scheme())),
    (r"x of shape \(2, 8\) has groups of shape \(2, 2\), but the scale's shape is \(1, 1\)", lambda: _other_shape()),
    ("dtype is torch.float64; dequantize returns float32, bfloat16 or float16", lambda: _other_output()),
    ("the rules read the unrounded scale, but these qparams hold only the stored one", lambda: _only_stored()),
    ("float_code_origin is min, but these qparams hold no minimum", lambda: _without_minimum()),
    ("1 of 4 values to quantize are NaN; nan_code is raise", lambda: _nan()),
]


def _integers_of_a_product() -> object:
    made = quantize_(nn.Linear(4, 2), layer(product=PRODUCT, output_dtype=torch.int64))
    return made(torch.ones(1, 4))


def _other_shape() -> object:
    return quantize(torch.ones(2, 8), choose_qparams(torch.ones(1, 4), scheme()))


def _other_output() -> object:
    return dequantize(quantize(torch.ones(1, 4), choose_qparams(torch.ones(1, 4), scheme())), torch.float64)


def _only_stored() -> object:
    qparams = choose_qparams(torch.ones(1, 4), scheme(rules(code_scale="unrounded")))
    return quantize(torch.ones(1, 4), replace(qparams, unrounded_scale=None))


def _without_minimum() -> object:
    qparams = choose_qparams(torch.ones(1, 4), float_domain(rules=rules(float_code_origin="min")))
    return quantize(torch.ones(1, 4), replace(qparams, minimum=None))


def _nan() -> object:
    x = torch.tensor([[1.0, 2.0, 3.0, torch.nan]])
    return quantize(x, choose_qparams(x, scheme(rules(nan_code="raise", range_nan="ignore"))))
